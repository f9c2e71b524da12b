"""IMAP4rev2 beside IMAP4rev1: who did not enable it cannot tell that somebody else did.

What IMAP4rev2 itself is, is in the transcripts rev2*.txt.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maa.imap import utf7
from tests.imap.test_sync_model import without_literals
from tests.imap.world import SessionWorld

NAMES = ("Entwürfe", "日本語", "a&b", "😀")
# Of two worlds that are made one after the other, times and ids made of them differ.
TIMES = re.compile(rb"[0-9]{6,}|\(F[0-9a-f]+\)")
SCRIPT = """
2 CREATE {0}
1 LIST "" *
1 LIST "" * RETURN (STATUS (MESSAGES RECENT) CHILDREN)
2 CREATE {2}
2 SUBSCRIBE {0}
1 LSUB "" *
1 NOTIFY SET (personal (MailboxName SubscriptionChange MessageNew MessageExpunge FlagChange))
2 CREATE {3}
2 RENAME {0} {1}
1 NOOP
2 SELECT {1}
2 SELECT INBOX
1 SELECT inbox
1 GETQUOTAROOT {1}
2 STORE 1 +FLAGS (\\Flagged $Forwarded)
1 NOOP
2 SEARCH ALL
1 SEARCH RETURN (SAVE) FLAGGED
1 SEARCH ALL
1 UID SEARCH $
1 SEARCH CHARSET UTF-8 SUBJECT x
1 SORT (DATE) UTF-8 ALL
D global.eml
1 NOOP
1 FETCH 1:* (FLAGS BODY BODYSTRUCTURE ENVELOPE)
2 FETCH 1:* (FLAGS BODY BODYSTRUCTURE ENVELOPE)
1 FETCH 1:* (FLAGS BODY BODYSTRUCTURE ENVELOPE)
2 COPY 1 {1}
1 STATUS {1} (MESSAGES RECENT UIDNEXT UNSEEN SIZE)
2 STORE 2 +FLAGS.SILENT (\\Deleted)
2 EXPUNGE
1 FETCH 1 FLAGS
1 NOOP
2 DELETE {1}
1 NOOP
1 SELECT {3}
1 CLOSE
1 CAPABILITY
"""


def heard(directory: Path, rev2: bool, mbox: bool) -> bytes:
    """All that connection 1 hears, while connection 2 speaks IMAP4rev2 or not."""
    world = SessionWorld(directory, messages=["one.eml", "two.eml", "global.eml"], mbox=mbox)
    told = b""
    try:
        one, two = world.client(1), world.client(2)
        if rev2:
            assert b"ENABLED IMAP4rev2" in two.ask(b"e ENABLE IMAP4rev2")
        for number, step in enumerate(SCRIPT.strip().splitlines()):
            who, command = step.split(" ", 1)
            if who == "D":
                world.deliver(command)
                continue
            utf8 = who == "2" and rev2
            names = [name if utf8 else utf7.encoded(name).decode() for name in NAMES]
            line = command.format(*(f'"{name}"' for name in names))
            answer = (one if who == "1" else two).ask(b"t%d %b" % (number, line.encode()))
            status = re.search(rb"^t%d (\w+)" % number, answer, re.MULTILINE)
            assert status is not None and status[1] == b"OK", (step, answer)
            told += answer + one.take() if who == "1" else one.take()
    finally:
        world.close()
    return TIMES.sub(b"#", told)


@pytest.mark.parametrize("mbox", [False, True], ids=["maildir", "mbox"])
def test_R041_nothing_of_rev2_is_heard_by_who_did_not_enable_it(tmp_path: Path, mbox: bool) -> None:
    beside_rev1 = heard(tmp_path / "rev1", rev2=False, mbox=mbox)
    beside_rev2 = heard(tmp_path / "rev2", rev2=True, mbox=mbox)
    assert beside_rev2.splitlines() == beside_rev1.splitlines()
    # What messages have in their headers comes in literals; the rest is ASCII (RFC 9051 App. A).
    assert without_literals(beside_rev2).isascii()
    assert re.findall(rb"^\* ESEARCH.*", beside_rev2, re.MULTILINE) == []
    assert beside_rev2.count(b" RECENT\r\n") >= 2
    assert utf7.encoded("日本語") in beside_rev2
