"""What counts as fetched again, and where passwords come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from maa.cli import main
from maa.cli.compare import Difference, imap_difference, imap_differences, pop3_difference
from maa.cli.remote import Box, Message, Shown, _identity, _listed, _messages


def box(uidvalidity: int, **messages: int) -> Box:
    """Messages by what they are, each with its UID."""
    return Box(uidvalidity, {uid: Message(name.encode()) for name, uid in messages.items()})


def test_the_same_numbers_are_not_fetched_again() -> None:
    assert imap_difference(box(7, a=1, b=2), box(7, a=1, b=2)) == Difference(2)


def test_another_uidvalidity_is_everything_again() -> None:
    found = imap_difference(box(7, a=1, b=2), box(8, a=1, b=2, c=3))
    assert (found.again, found.messages) == (3, 3)


def test_other_uids_are_again_and_new_mail_is_not() -> None:
    found = imap_difference(box(7, a=1, b=2, gone=3), box(7, a=1, b=5, new=6))
    assert (found.again, found.arrived, found.missing) == (1, 1, 1)


def test_a_uid_that_means_another_message_is_told() -> None:
    found = imap_difference(box(7, a=1, b=2), box(7, b=1, a=2))
    assert found.again == 2 and found.notes == ("2 UIDs mean another message",)


def test_flags_are_counted() -> None:
    old, new = box(7, a=1), Box(7, {1: Message(b"a", frozenset({b"\\seen"}))})
    assert imap_difference(old, new).flags == 1


def test_pop3_names() -> None:
    old = {b"x": Message(b"a"), b"y": Message(b"b"), b"z": Message(b"c")}
    new = {b"x": Message(b"a"), b"q": Message(b"b"), b"r": Message(b"new"), b"z": Message(b"d")}
    found = pop3_difference(old, new)
    assert (found.again, found.arrived, found.missing) == (2, 1, 1)
    assert found.notes == ("1 names mean another message",)


def test_mailboxes_prefixes_and_subscriptions() -> None:
    inbox, work, gone = ("INBOX",), ("Work", "Deep"), ("Gone",)
    old = Shown({work: box(7, a=1), inbox: box(1), gone: box(2, a=1)}, frozenset({work}), "INBOX.")
    new = Shown({work: box(7, a=1), inbox: box(1)}, refused=("X cannot be opened: why",))
    found = dict(imap_differences(old, new))
    assert list(found) == ["INBOX", "Gone", "Work/Deep", "here", "names"]
    assert found["Gone"].missing == 1
    assert found["Work/Deep"].notes == ("not subscribed any more",)
    assert "INBOX.NAME there" in found["names"].notes[0]


def test_what_servers_answer_is_read_in_any_of_its_forms() -> None:
    listing = [
        b'(\\HasNoChildren) "." "INBOX.Arch&AOk-ve.\\"x\\""',
        (b'(\\Noselect) "/" {5}', b"a b/c"),
        b"() NIL INBOX",
        b"nonsense",
        None,
    ]
    assert list(_listed(("OK", listing), b"INBOX.")) == [
        (b"\\HasNoChildren", ("Archéve", '"x"'), b'INBOX.Arch&AOk-ve."x"'),
        (b"\\Noselect", ("a b", "c"), b"a b/c"),
        (b"", ("INBOX",), b"INBOX"),
    ]
    rows = [
        (b"1 (UID 5 FLAGS (\\Seen \\Recent) BODY[] {3}", b"Message-ID:\r\n <a@b>\r\nX: y\r\n"),
        b")",
        (b"2 (BODY[] {3}", b"Date: x\r\n"),
        b" UID 6 FLAGS ())",
    ]
    assert _messages(rows) == {
        5: Message(b"message-id:<a@b>", frozenset({b"\\seen"})),
        6: Message(b"date:x"),
    }
    assert _identity(b"Subject: a\r\n  b\r\nFROM:c") == _identity(b"from: c\nSubject: a b\n\n")


def test_passwords_that_others_can_read_are_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "passwords"
    file.write_text("joe:secret\n")
    file.chmod(0o644)
    arguments = ["compare", "--with", "old.example.org", "--passwords", str(file), "--user"]
    assert main([*arguments, "joe"]) == 2
    assert "chmod 600" in capsys.readouterr().err
    file.chmod(0o600)
    assert main([*arguments, "joe", "ann"]) == 2
    assert "no line for ann" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAA_PASSWORD", "x")
    arguments = ["compare", "--with", "127.0.0.1", "--with-imap", "1", "--user", "joe"]
    assert main(arguments) == 2
    assert "joe: imap at 127.0.0.1:1: " in capsys.readouterr().err
