"""What Alpine 2.26 (c-client) and Dovecot 2.3 wrote into mbox files."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from maa.store.foreign import uw

FILES = Path(__file__).parent / "files"


def headers(name: str) -> list[bytes]:
    data = (FILES / name).read_bytes()
    return [part.partition(b"\n\n")[0] for part in re.split(rb"(?m)^From .*\n", data)[1:]]


def test_alpine() -> None:
    found = [uw.noted(header) for header in headers("alpine.mbox")]
    assert found[0].base == (1795634288, 4)
    assert [row.uid for row in found] == [1, 2, 3, 4]
    assert not any(row.keywords for row in found)


def test_dovecot() -> None:
    found = [uw.noted(header) for header in headers("dovecot.mbox")]
    assert found[0].base == (1795634223, 5)
    assert [row.uid for row in found] == [1, 2, 3, 4, 5]
    assert [set(row.keywords) for row in found] == [
        {"$Label1", "work"},
        set(),
        {"Junk"},
        set(),
        set(),
    ]


def test_the_message_in_front_of_uw_mailboxes() -> None:
    found = uw.noted(b"Subject: DON'T DELETE THIS MESSAGE\nX-IMAP: 1795634288 0000000000 Junk\n")
    assert found.base == (1795634288, 0) and found.uid is None


def test_what_is_no_number_is_none() -> None:
    for text in (b"x", b"0 5", b"5", b"9999999999 1", b"5 99999999999", b"-1 2"):
        assert uw.noted(b"X-IMAPbase: " + text).base is None
    for text in (b"", b"0", b"x", b"2147483648", b"1 2"):
        assert uw.noted(b"X-UID: " + text).uid is None
    assert uw.noted(b"X-UID: 7\nX-UID: 8").uid == 7
    assert uw.noted(b"X-Keywords: ok \\Seen (x) ok").keywords == {"ok"}


def test_mailboxlist() -> None:
    assert uw.mailboxlist(b"INBOX\nmail/Arch&AOk-ve\n\n") == ["INBOX", "mail/Archéve"]


@given(st.binary(max_size=300))
def test_no_octets_break_the_readers(data: bytes) -> None:
    for header in (data, b"X-IMAPbase: " + data, b"X-UID: " + data, b"X-Keywords: " + data):
        found = uw.noted(header)
        assert found.uid is None or 0 < found.uid < 2**31
    uw.mailboxlist(data)
