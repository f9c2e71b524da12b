"""neomutt with its header cache: read, flag, move, delete, and then nothing is fetched twice."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from . import messages
from .clients import imap
from .server import Server
from .terminal import Terminal
from .users import User, give

RC = """
set folder = "imaps://{user}@localhost:{port}"
set spoolfile = "+INBOX"
set imap_user = "{user}"
set imap_pass = "{password}"
set ssl_force_tls = yes
set certificate_file = "{certificate}"
set ssl_verify_host = no
set header_cache = "{folder}/headers"
set message_cachedir = "{folder}/bodies"
set imap_condstore = yes
set imap_qresync = yes
set imap_idle = yes
set mail_check = 1
set timeout = 1
set record = ""
set trash = ""
set confirm_append = no
set confirm_create = no
set delete = yes
set move = no
set quit = yes
set sort = mailbox-order
set index_format = "%3C <%S> %s"
set wait_key = no
set beep = no
"""


def started(folder: Path, server: Server, user: User) -> Terminal:
    rc = folder / "neomuttrc"
    password = user.password.replace("\\", "\\\\")
    rc.write_text(
        RC.format(
            folder=folder,
            user=user.name,
            port=server.imaps,
            password=password,
            certificate=server.certificate,
        )
    )
    give(rc)
    for name in ("headers", "bodies"):
        if not (folder / name).exists():
            (folder / name).mkdir()
            give(folder / name)
    return Terminal(["neomutt", "-n", "-F", rc], folder)


def test_a_users_round_and_a_second_start_from_the_cache(
    server: Server, user: User, scratch: Path
) -> None:
    for number in range(1, 5):
        user.deliver(messages.numbered(number))
    with started(scratch, server, user) as screen:
        screen.wait("number 4 words")
        screen.type("\r")
        screen.wait("The quick brown fox")
        screen.type("q")
        screen.wait("1 <")
        screen.type("2\rF")  # flag the second
        screen.type("3\rs")  # save the third elsewhere, which deletes it here
        screen.wait("Save to")
        screen.type("\x15=Kept\r")
        screen.type("4\rd")  # and the fourth
        screen.type("$")
        screen.gone("number 4 words")
        user.deliver(messages.numbered(9))
        screen.wait("number 9 words")  # by IDLE, while nobody touches a key
        screen.type("q")
        screen.ends()
    session = imap(server, user)
    session.select()
    flags = session.fetch("1:2", "(FLAGS)")[1]
    assert rb"\Seen" in flags[0]
    assert rb"\Flagged" in flags[1]
    kept = [messages.numbered(number) for number in (1, 2, 9)]
    assert sorted(user.contents()) == sorted(kept)
    assert user.contents("Kept") == [messages.numbered(3)]
    session.logout()

    maa = Path(sys.executable).with_name("maa")
    subprocess.run(
        [maa, "rawlog", "--config", server.folder / "maa.toml", "--user", user.name],
        check=True,
        capture_output=True,
    )
    time.sleep(1.5)  # the server looks every second
    with started(scratch, server, user) as screen:
        screen.wait("number 9 words")
        screen.type("q")
        screen.ends()
    said = b"".join(path.read_bytes() for path in (server.folder / "state/rawlog").glob("*.log"))
    assert b"SELECT" in said
    # It resynchronises by QRESYNC, and knows all but what came by IDLE.
    assert b"* VANISHED (EARLIER) 3:4" in said
    assert re.findall(rb"a[0-9]+ FETCH (\S+) \(UID [^\r]*HEADER.FIELDS", said) in ([], [b"3"])
    subprocess.run(
        [maa, "rawlog", "--config", server.folder / "maa.toml", "--off"],
        check=True,
        capture_output=True,
    )
