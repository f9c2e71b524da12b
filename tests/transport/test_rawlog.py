"""Recordings: what they show, what they must never show, and where they are written."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.conversation import Redactor
from maa.imap import redact as imap
from maa.pop3 import redact as pop3
from maa.transport import rawlog
from maa.transport.rawlog import (
    NOTHING,
    Rawlogs,
    Record,
    Wanted,
    Wish,
    read_recording,
    read_wanted,
    write_wanted,
)
from tests.transport.net import Net

PASSWORD = "Hunter2 NOOP"
"""It could pass for a command."""
BASE64 = "AGpvZQBIdW50ZXIyIE5PT1A="

IMAP_LOGINS = [
    f'a LOGIN joe "{PASSWORD}"\r\n',
    f"a LOGIN joe {{{len(PASSWORD)}}}\r\n{PASSWORD}\r\n",
    f"a LOGIN {{3+}}\r\njoe {{{len(PASSWORD)}+}}\r\n{PASSWORD}\r\n",
    f"a LOGIN {{0+}}\r\n {{{len(PASSWORD) + 2}+}}\r\n{PASSWORD}\r\n\r\n",
    f"a AUTHENTICATE PLAIN {BASE64}\r\n",
    f"a AUTHENTICATE PLAIN\r\n{BASE64}\r\n",
    f"a authenticate LOGIN\r\nam9l\r\n{BASE64}\r\n",
    f"\r\na LOGIN joe {PASSWORD}",
]
POP3_LOGINS = [
    f"USER joe\r\nPASS {PASSWORD}\r\n",
    f"user joe\r\npass {PASSWORD}\r\n",
    f"AUTH PLAIN {BASE64}\r\n",
    f"AUTH PLAIN\r\n{BASE64}\r\n",
    f"APOP joe {BASE64}\r\n",
    f"PASSWORD {PASSWORD}\r\n",
]


def pieces(redactor: Redactor, data: bytes, cuts: list[int]) -> Iterator[tuple[bytes, int]]:
    for cut in cuts:
        yield from redactor.before_login(data[:cut])
        data = data[cut:]
    yield from redactor.before_login(data)


CUTS = st.lists(st.integers(0, 9), max_size=20)


@given(st.lists(st.sampled_from(IMAP_LOGINS), min_size=1, max_size=4), CUTS)
def test_no_password_of_imap_is_shown_wherever_packets_end(
    logins: list[str], cuts: list[int]
) -> None:
    check_secrets(imap.redactors(bodies=True)[0], "".join(logins).encode(), cuts)


@given(st.lists(st.sampled_from(POP3_LOGINS), min_size=1, max_size=4), CUTS)
def test_no_password_of_pop3_is_shown_wherever_packets_end(
    logins: list[str], cuts: list[int]
) -> None:
    check_secrets(pop3.redactors(bodies=True)[0], "".join(logins).encode(), cuts)


@given(st.integers(0, 60))
def test_no_password_is_shown_that_is_said_again_after_login(cut: int) -> None:
    for module, said in (
        (imap, f"a NOOP\r\nb LOGIN joe {PASSWORD}\r\nc NOOP\r\n"),
        (imap, f"a NOOP\r\nb LOGIN {{3+}}\r\njoe {{{len(PASSWORD)}+}}\r\n{PASSWORD}\r\nc NOOP\r\n"),
        (imap, f"a NOOP\r\nb AUTHENTICATE PLAIN {BASE64}\r\nc NOOP\r\n"),
        (pop3, f"NOOP\r\nPASS {PASSWORD}\r\nNOOP\r\n"),
    ):
        client, _ = module.redactors(bodies=True)
        data = said.encode()
        found = [*client.shown(data[:cut]), *client.shown(data[cut:])]
        shown = b"".join(piece for piece, _ in found)
        assert PASSWORD.encode() not in shown and BASE64.encode() not in shown
        assert shown.count(b"NOOP\r\n") == 2
        assert sum(len(piece) + hidden for piece, hidden in found) == len(data)


def check_secrets(client: Redactor, said: bytes, cuts: list[int]) -> None:
    found = list(pieces(client, said, cuts))
    shown = b"".join(piece for piece, _ in found)
    for secret in (b"Hunter2", b"AGpvZQ", b"MiBOT09Q"):
        assert secret not in shown
    # Nothing is lost: an operator sees how much was said.
    held = len(said) - sum(len(piece) + hidden for piece, hidden in found)
    assert 0 <= held <= max(map(len, said.split(b"\n")))


def test_what_is_harmless_before_login_is_shown() -> None:
    client, _ = imap.redactors(bodies=True)
    said = b'a CAPABILITY\r\nb ID ("name" "x")\r\nc AUTHENTICATE PLAIN\r\n'
    assert [piece for piece, _ in client.before_login(said)] == [
        b"a CAPABILITY\r\n",
        b'b ID ("name" "x")\r\n',
        b"c AUTHENTICATE PLAIN",
    ]


def test_bodies_are_hidden_where_that_is_wished() -> None:
    client, server = imap.redactors(bodies=False)
    assert list(client.shown(b"a APPEND x {5}\r\n")) == [(b"a APPEND x {5}\r\n", 0)]
    assert list(client.shown(b"hel")) == [(b"", 3)]
    assert list(client.shown(b"lo\r\nb NOOP\r\n")) == [(b"", 2), (b"\r\n", 0), (b"b NOOP\r\n", 0)]
    answer = b"* 1 FETCH (BODY[] {6}\r\nsecret FLAGS ())\r\n"
    assert b"secret" not in b"".join(shown for shown, _ in server.shown(answer))
    _, server = pop3.redactors(bodies=False)
    answer = b"+OK 12 octets\r\nSubject: secret\r\n\r\nsecret\r\n.\r\n"
    shown = b"".join(shown for shown, _ in server.shown(answer))
    assert shown == b"+OK 12 octets\r\n.\r\n"


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans(), st.sampled_from([imap, pop3]))
def test_any_octets_are_shown_or_counted_once(
    said: list[bytes], bodies: bool, module: object
) -> None:
    for redactor in module.redactors(bodies=bodies):  # type: ignore[attr-defined]
        for name in ("shown", "before_login"):
            octets = sum(len(a) + b for one in said for a, b in getattr(redactor, name)(one))
            assert octets <= sum(map(len, said)) * 2


def test_wishes_are_found_by_whoever_looks_and_end_by_themselves(tmp_path: Path) -> None:
    directory = str(tmp_path / "rawlog")
    rawlogs = Rawlogs(directory)
    assert not rawlogs.look()
    lasting, ended = Wish(time.time() + 60, True), Wish(time.time() - 1, True)
    write_wanted(directory, Wanted({"joe": lasting, "ann": ended}, {"192.0.2.1": lasting}))
    assert rawlogs.look()
    assert not rawlogs.look()
    rawlogs.reload()
    assert rawlogs.wanted == Wanted({"joe": lasting}, {"192.0.2.1": lasting})
    assert (tmp_path / "rawlog").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"users": 1}', '{"users": {"a": {}}}'])
def test_a_damaged_file_of_wishes_means_none(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wanted.json").write_text(text)
    assert read_wanted(str(tmp_path)) == NOTHING
    assert "nothing is recorded" in caplog.text


class TalkRedactor:
    """Of `tests.transport.talk`: everything may be shown."""

    def shown(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        yield data, 0

    def before_login(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        yield b"", len(data)


def recorded(tmp_path: Path, wanted: Wanted) -> tuple[Net, Rawlogs]:
    rawlogs = Rawlogs(str(tmp_path))
    rawlogs.wanted = wanted
    net = Net()
    net.recording = (rawlogs, lambda *, bodies: (TalkRedactor(), TalkRedactor()))
    return net, rawlogs


def records(tmp_path: Path) -> list[Record]:
    (file,) = tmp_path.glob("*.log")
    assert file.stat().st_mode & 0o777 == 0o600
    return list(read_recording(file.read_bytes()))


def test_an_address_is_recorded_from_the_greeting_and_without_the_login(tmp_path: Path) -> None:
    net, rawlogs = recorded(tmp_path, Wanted({}, {"192.0.2.1": Wish(time.time() + 9, True)}))
    client = net.client()
    client.send(b"login\r\n")
    client.send(b"slow work\r\n")
    net.users.run()
    client.hang_up()
    net.users.run()
    rawlogs.close()
    found = [(record.who, record.said, record.octets) for record in records(tmp_path)]
    assert found == [
        ("S", b"hello\r\n", 7),
        ("C", None, 7),
        ("S", b"welcome\r\n", 9),
        ("C", b"slow work\r\n", 11),
        ("S", b"going to ", 9),
        ("S", b"work\r\n", 6),
    ]


def test_a_user_is_recorded_from_the_login_on_and_others_are_not(tmp_path: Path) -> None:
    net, rawlogs = recorded(tmp_path, Wanted({"joe": Wish(time.time() + 9, True)}, {}))
    for owner in ("joe", "ann"):
        client = net.client()
        client.talk.owner = owner
        client.send(b"login\r\necho one\r\n")
        client.send(b"echo two\r\n")
        client.hang_up()
    rawlogs.close()
    said = b"".join(record.said or b"" for record in records(tmp_path))
    assert said == b"welcome\r\none\r\necho two\r\ntwo\r\n"


def test_a_disk_that_does_not_take_it_costs_the_client_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "missing"
    net, rawlogs = recorded(missing, Wanted({}, {"192.0.2.1": Wish(time.time() + 9, True)}))
    client = net.client()
    client.wire.take()
    assert client.send(b"echo one\r\n") == b"one\r\n"
    rawlogs.close()
    assert "not recorded" in caplog.text


def test_a_recording_ends_at_its_size_and_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rawlog, "WAITING_OCTETS_MAX", 1000)
    rawlogs = Rawlogs(str(tmp_path))
    rawlogs.wanted = Wanted({"joe": Wish(time.time() + 9, True)}, {})
    net = Net()
    recording = rawlogs.by_user("joe", net.client().talk.peer)
    assert recording is not None
    recording.note(b"S", [(b"x" * 2000, 0)])
    recording.note(b"S", [(b"small", 0)])
    rawlogs.close()
    text = b"".join(path.read_bytes() for path in tmp_path.glob("*.log"))
    assert re.search(rb" - 20[0-9]{2} octets are missing here\n.* S 5\nsmall\n", text)
    assert [record.who for record in read_recording(text)] == ["-", "S"]


@given(st.binary(max_size=300))
def test_any_file_is_read_as_far_as_it_is_a_recording(data: bytes) -> None:
    assert len(list(read_recording(data))) <= len(data)
    good = b"10:00:00.000001 C 3\nabc\n"
    assert next(read_recording(good + data)) == Record(36000.000001, "C", 3, b"abc")


def test_names_of_files_are_safe(tmp_path: Path) -> None:
    rawlogs = Rawlogs(str(tmp_path))
    rawlogs.wanted = Wanted({"../../etc/x": Wish(time.time() + 9, True)}, {})
    recording = rawlogs.by_user("../../etc/x", Net().client().talk.peer)
    assert recording is not None
    assert os.path.dirname(recording.path) == str(tmp_path)
