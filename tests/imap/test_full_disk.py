"""A command that was carried out is not refused for what could not be done after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from maa.store.errors import NoSpace
from maa.store.index import Change
from maa.user import User
from tests.imap.world import SessionWorld
from tests.store.account_cases import deliver


def test_an_append_is_acknowledged_though_the_selected_mailbox_cannot_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SessionWorld(tmp_path, messages=[])
    client = world.client(1)
    client.ask(b"a CREATE Other")
    client.ask(b"b SELECT INBOX")
    index = world.accounts.open(User("joe")).ledger.index
    inbox, apply = index.mailboxes()["INBOX"].id, index.apply

    def full(mailbox_id: int, change: Change) -> None:
        if mailbox_id == inbox:
            raise NoSpace("the index cannot grow")
        apply(mailbox_id, change)

    with monkeypatch.context() as patched:
        patched.setattr(index, "apply", full)
        deliver(world.inbox)
        said = client.ask(b"c APPEND Other {15+}\r\nSubject: x\r\n\r\nx")
        assert said.splitlines()[-1].startswith(b"c OK [APPENDUID ")
        assert client.ask(b"d NOOP").splitlines()[-1].startswith(b"d OK")
    said = client.ask(b"e NOOP")
    assert b"* 1 EXISTS\r\n" in said
