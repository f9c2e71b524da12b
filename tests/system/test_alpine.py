"""alpine: open, read, flag, save elsewhere, delete, expunge, and new mail while it is open."""

from __future__ import annotations

from pathlib import Path

from . import messages
from .clients import imap
from .server import Server
from .terminal import Terminal
from .users import User, give

RC = """personal-name=Test
inbox-path={{localhost:{port}/imap/ssl/novalidate-cert/user="{user}"}}INBOX
folder-collections=Mail {{localhost:{port}/imap/ssl/novalidate-cert/user="{user}"}}[]
last-version-used=9.99z
feature-list=enable-flag-cmd,quit-without-confirm,expunge-without-confirm,
  no-enable-incoming-folders,enable-fast-recent-test,no-save-will-advance
nntp-range=0
mail-check-interval=15
rsh-open-timeout=0
ssh-open-timeout=0
index-format=MSGNO STATUS SUBJECT
"""


def started(folder: Path, server: Server, user: User) -> Terminal:
    rc = folder / "pinerc"
    rc.write_text(RC.format(port=server.imaps, user=user.name))
    give(rc)
    screen = Terminal(["alpine", "-p", rc, "-i"], folder)
    while screen.wait("PASSWORD", "Version of Alpine", "Enter", "Password") == "Enter":
        screen.type("\r")
    screen.type(user.password + "\r")
    screen.wait("Preserve password")
    screen.type("n")
    return screen


def test_a_users_round(server: Server, user: User, scratch: Path) -> None:
    for number in range(1, 5):
        user.deliver(messages.numbered(number))
    with started(scratch, server, user) as screen:
        screen.wait("number 4 words")
        screen.type("1\r\r")
        screen.wait("The quick brown fox")
        screen.type("i")
        screen.wait("MESSAGE INDEX")
        screen.type("2\r*")
        screen.wait("Flag New")
        screen.type("*")
        screen.wait("Flagged message 2")
        screen.type("3\rs")
        screen.wait("SAVE ")
        screen.type("\x15Kept\r")
        screen.wait("Create?")
        screen.type("y")
        screen.wait("D number 3")
        screen.type("4\rd")
        screen.wait("D number 4", "D   number 4")
        screen.type("x")
        screen.gone("number 4 words")
        user.deliver(messages.numbered(9))
        screen.wait("number 9 words")  # its own check, every 15 s
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
    before = sorted(path.name for path in user.settled())
    session.logout()

    with started(scratch, server, user) as screen:
        screen.wait("number 9 words")
        screen.type("q")
        screen.ends()
    assert sorted(path.name for path in user.settled()) == before
