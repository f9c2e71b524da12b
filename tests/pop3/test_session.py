"""maa.pop3.session: what a dialogue alone does not show."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from maa.auth.penalties import THROTTLED_SECONDS
from maa.conversation import CLOSE
from maa.pop3 import login, maildrop, transaction
from maa.pop3.states import Pop3Settings
from maa.pop3.wire import LINE_OCTETS_MAX
from tests.pop3.world import PEERS, World

MESSAGE = b"From: a@example.org\nSubject: %d\n\nbody of %d\n"


def world_of(directory: Path, count: int = 3, **options: object) -> World:
    world = World(directory, **options)  # type: ignore[arg-type]
    for number in range(1, count + 1):
        world.add(MESSAGE % (number, number))
    return world


def bodies(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if line.startswith(b"body")]


# --- what is removed, and when


@pytest.mark.parametrize("end", ["timed_out", "stopping", "lost"])
def test_R208_nothing_is_removed_without_quit(tmp_path: Path, end: str) -> None:
    world = world_of(tmp_path)
    client = world.client()
    client.ask(b"DELE 1")
    if end != "lost":
        assert list(getattr(client.session, end)()) == [CLOSE]
    client.session.lost()
    assert len(world.files()) == 3
    del world.clients[1]
    assert world.client().ask(b"STAT").startswith(b"+OK 3 ")
    world.close()


def test_R213_a_silent_client_is_left_without_a_word(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    client = world.client()
    assert client.session.silence_seconds <= 180
    client.ask(b"USER joe\r\nPASS secret")
    assert client.session.logged_in
    assert client.session.silence_seconds >= 600
    assert list(client.session.timed_out()) == [CLOSE]
    world.close()


def test_R209_quit_says_so_when_a_message_cannot_be_removed(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    client.ask(b"DELE 1\r\nDELE 2")
    (stuck,) = [path for path in world.files() if ".M1P1." in path.name]
    stuck.unlink()
    stuck.mkdir()
    assert client.ask(b"QUIT").startswith(b"-ERR [SYS/")
    assert client.closed
    assert [".M2P1." in path.name for path in world.files()] == [False, False]
    world.close()


def test_R205_seen_is_given_at_quit_where_wanted(tmp_path: Path) -> None:
    for wanted in (True, False):
        directory = tmp_path / str(wanted)
        world = world_of(directory, settings=Pop3Settings(retr_marks_seen=wanted))
        client = world.client()
        client.ask(b"RETR 2\r\nTOP 3 0\r\nQUIT")
        client = world.client(2)
        client.ask(b"RETR 1\r\nDELE 1\r\nRETR 2")
        mailbox = client.session._state.maildrop.mailbox
        assert client.ask(b"QUIT").startswith(b"+OK")
        flags = [mailbox.snapshot.flags(place) for place in range(2)]
        assert ["\\Seen" in found for found in flags] == [wanted, False]
        world.close()


# --- the lock


def test_R199_the_lock_is_free_when_quit_was_answered(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    client.ask(b"DELE 1")
    client.session.feed(b"QUIT\r\n")
    for step in client.session.steps():
        if isinstance(step, bytes):
            assert world.client(2).delays == []
    world.close()


def test_R199_a_lost_connection_frees_the_lock(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.client(1).session.lost()
    assert world.client(2).delays == []
    world.close()


def test_L29_a_second_login_waits_for_the_first_to_end(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    first, second = world.client(1), world.client(2)
    first.ask(b"USER joe\r\nPASS secret")
    second.session.feed(b"USER joe\r\nPASS secret\r\nSTAT\r\n")
    steps = second.session.steps()
    waited = 0.0
    while waited < 5:
        step = next(steps)
        if isinstance(step, login.Delay):
            waited += step.seconds
    first.ask(b"QUIT")
    second.output.clear()
    second.take(steps)
    assert second.output.startswith(b"+OK 3 messages\r\n+OK 3 ")
    world.close()


def test_L29_it_waits_no_longer_than_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = world_of(tmp_path, logged_in=False)
    world.client(1).ask(b"USER joe\r\nPASS secret")
    second = world.client(2)
    with caplog.at_level("INFO", "maa.auth.refusals"):
        assert b"[IN-USE]" in second.ask(b"USER joe\r\nPASS secret")
    # The password was right, which whoever guessed it knows by now.
    assert "pop login of user 'joe'" in caplog.text and "not served" in caplog.text
    assert sum(second.delays) == pytest.approx(10)
    assert not second.session.logged_in
    world.close()


def test_a_connection_lost_while_it_waits_holds_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    first, second = world.client(1), world.client(2)
    first.ask(b"USER joe\r\nPASS secret")
    second.session.feed(b"USER joe\r\nPASS secret\r\n")
    steps = second.session.steps()
    while not isinstance(next(steps), login.Delay):
        pass
    steps.close()
    second.session.lost()
    first.ask(b"QUIT")
    assert b"+OK 3 messages" in world.client(3).ask(b"USER joe\r\nPASS secret")
    world.close()


def test_a_mailbox_that_cannot_be_opened_is_not_held(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    world.client(1).ask(b"USER joe\r\nPASS secret\r\nQUIT")
    aside = world.inbox.rename(world.inbox.parent / "aside")
    world.inbox.write_text("no directory")
    second = world.client(2)
    assert b"-ERR [SYS/" in second.ask(b"USER joe\r\nPASS secret")
    assert not second.session.logged_in
    world.inbox.unlink()
    aside.rename(world.inbox)
    assert b"+OK 3 messages" in world.client(3).ask(b"USER joe\r\nPASS secret")
    world.close()


# --- failed logins


def test_R222_failed_logins_take_longer_and_longer_then_end_the_session(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    client = world.client()
    client.output.clear()
    for _ in range(3):
        client.ask(b"USER joe\r\nPASS wrong")
    assert [round(seconds) for seconds in client.delays] == [1, 2, 4]
    assert client.closed
    world.close()


def test_R222_who_only_begins_to_log_in_is_sent_away(tmp_path: Path) -> None:
    client = (world := world_of(tmp_path, logged_in=False)).client()
    for _ in range(5):
        assert not client.closed
        assert b"-ERR" in client.ask(b"AUTH PLAIN\r\n*")
    assert client.closed
    world.close()


def test_R222_an_address_that_guessed_is_not_heard(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    for number in range(24):
        world.authenticator.penalties.failed("127.0.0.1", f"user{number}", "guess")
    client = world.client()
    client.output.clear()
    for _ in range(4):
        assert b"-ERR [SYS/TEMP] Too many failed" in client.ask(b"USER joe\r\nPASS secret")
    assert client.delays == [THROTTLED_SECONDS] * 4
    world.close()


def test_R251_no_delay_and_no_end_when_passwords_cannot_be_checked(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    client = world.client()
    for _ in range(4):
        assert b"[SYS/TEMP]" in client.ask(b"USER bad\r\nPASS x")
    assert client.delays == []
    assert not client.closed
    world.close()


def test_R200_an_unexpected_error_is_ours_and_has_a_reference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    client = world.client()

    def broken(uids: object) -> list[bytes]:
        raise ZeroDivisionError

    monkeypatch.setattr(client.session._state.maildrop.mailbox, "uidls", broken)
    answer = client.ask(b"UIDL 1")
    assert answer.startswith(b"-ERR [SYS/TEMP] internal error ")
    assert client.closed
    assert answer.split()[-1].decode() in caplog.text
    world.close()


def test_an_answer_that_cannot_be_finished_ends_the_session(tmp_path: Path) -> None:
    world = World(tmp_path)
    message = world.add(b"A: b\n\n" + b"line\n" * 400_000)
    client = world.client()
    client.session.feed(b"RETR 1\r\nNOOP\r\n")
    steps = client.session.steps()
    while b"line" not in client.output:
        client.take(iter((next(steps),)))
    with message.open("r+b") as file:
        file.truncate(100_000)
    client.take(steps)
    assert client.closed
    assert b"-ERR" not in client.output
    assert not client.output.endswith(b".\r\n")
    world.close()


# --- lines


def test_R222_an_endless_line_ends_the_session(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    client = world.client()
    client.output.clear()
    for _ in range(LINE_OCTETS_MAX // 1000 + 1):
        client.send(b"x" * 1000)
    assert client.output == b"-ERR line too long\r\n"
    assert client.closed
    client.send(b"\r\nQUIT\r\n")
    assert client.output == b"-ERR line too long\r\n"
    world.close()


def test_R198_long_lines_within_the_limit_are_understood(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    client = world.client()
    client.output.clear()
    assert client.ask(b"USER " + b"x" * 8000) == b"+OK Send PASS\r\n"
    assert client.ask(b"AUTH PLAIN " + b"A" * 11_000).startswith(b"-ERR ")
    assert not client.closed
    world.close()


def test_a_bare_lf_ends_a_line_too(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    client.send(b"NOOP\nNOOP\r\n")
    assert client.output.count(b"+OK") == 2
    world.close()


def test_R026_octets_between_stls_and_the_handshake_are_dropped(tmp_path: Path) -> None:
    world = world_of(
        tmp_path, logged_in=False, peer=PEERS["remote"], settings=Pop3Settings(starttls=True)
    )
    client = world.client()
    client.output.clear()
    client.send(b"STLS\r\nCAPA\r\n")
    client.send(b"USER joe\r\n")
    assert client.output == b"+OK Begin TLS negotiation\r\n"
    assert client.session.held_octets == 0
    client.output.clear()
    client.start_tls()
    assert client.ask(b"PASS secret") == b"-ERR USER comes first\r\n"
    assert b"STLS" not in client.ask(b"CAPA")
    world.close()


def test_nothing_is_heard_after_quit(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    client.send(b"QUIT\r\nNOOP\r\nNOOP")
    assert client.output == b"+OK bye\r\n"
    assert client.session.held_octets == 0
    world.close()


# --- speed: memory answers at once


def test_a_warm_session_needs_no_thread(tmp_path: Path) -> None:
    world = world_of(tmp_path, 1000, logged_in=False)
    for _ in range(2):
        world.clients.clear()
        client = world.client()
        client.output.clear()
        client.send(b"USER joe\r\nPASS secret\r\nSTAT\r\nUIDL\r\nLIST\r\nQUIT\r\n")
        assert client.closed
    assert client.slow == 0
    assert client.output.count(b"\r\n") == 2 * 1002 + 4
    world.close()


def test_a_listing_of_a_thousand_is_one_piece_between_its_ends(tmp_path: Path) -> None:
    world = world_of(tmp_path, 1000)
    client = world.client()
    client.ask(b"STAT")
    for command in (b"UIDL\r\n", b"LIST\r\n"):
        client.session.feed(command)
        first, lines, last = client.session.steps()
        assert (first, last) == (b"+OK 1000 messages\r\n", b".\r\n")
        assert isinstance(lines, bytes)
        assert lines.count(b"\r\n") == 1000
    world.close()


def test_R249_a_listing_of_very_many_comes_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "LINES_AT_ONCE", 7)
    world = world_of(tmp_path, 20)
    client = world.client()
    names = client.ask(b"UIDL").split(b"\r\n")
    assert [line.split(b" ")[0] for line in names[1:-2]] == [b"%d" % n for n in range(1, 21)]
    client.ask(b"DELE 7\r\nDELE 8\r\nDELE 20")
    assert client.ask(b"UIDL").split(b"\r\n") == [
        b"+OK 17 messages", *names[1:7], *names[9:20], *names[21:]
    ]  # fmt: skip
    client.session.feed(b"LIST\r\n")
    assert len([step for step in client.session.steps() if isinstance(step, bytes)]) == 5
    world.close()


def test_retr_of_one_after_the_other_reads_ahead(tmp_path: Path) -> None:
    world = world_of(tmp_path, 100)
    client = world.client()
    client.ask(b"DELE 3\r\nSTAT")
    before = client.slow
    numbers = [number for number in range(1, 101) if number != 3]
    answer = client.ask(b"\r\n".join(b"RETR %d" % number for number in numbers))
    assert bodies(answer) == [b"body of %d" % number for number in numbers]
    assert client.slow - before <= 2
    world.close()


def test_retr_in_any_order_is_right(tmp_path: Path) -> None:
    world = world_of(tmp_path, 10)
    client = world.client()
    order = [1, 2, 9, 10, 3, 2, 1, 1, 5, 6, 7, 4]
    answer = client.ask(b"\r\n".join(b"RETR %d" % number for number in order))
    assert bodies(answer) == [b"body of %d" % number for number in order]
    world.close()


def test_read_ahead_is_bounded(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(30):
        world.add(b"From: a\n\n" + b"x" * 60_000 + b"\n")
    client = world.client()
    client.ask(b"RETR 1")
    held = client.session._state.maildrop._ahead.values()
    assert 0 < sum(wire.size for wire in held) <= maildrop.AHEAD_OCTETS + 2 * 65536
    world.close()


def test_the_note_of_unended_headers_outlives_memory(tmp_path: Path) -> None:
    world = World(tmp_path, ["header-only.eml", "one.eml", "header-only.eml"])
    client = world.client()
    assert client.ask(b"LIST").split(b"\r\n")[1:4] == [b"1 47", b"2 214", b"3 47"]
    client.ask(b"DELE 1\r\nQUIT")
    assert world.client(2).ask(b"LIST").split(b"\r\n")[1:3] == [b"1 214", b"2 47"]
    world.client(2).ask(b"QUIT")
    maildrop._notes.clear()
    world.add(b"X: y\n")
    del world.clients[1]
    client = world.client()
    assert client.ask(b"LIST").split(b"\r\n")[1:4] == [b"1 214", b"2 47", b"3 8"]
    for number, size in ((1, 214), (2, 47), (3, 8)):
        assert client.ask(b"RETR %d" % number).startswith(b"+OK %d octets" % size)
    world.close()


def test_sizes_known_from_imap_need_only_the_headers(tmp_path: Path) -> None:
    world = World(tmp_path, ["header-only.eml", "one.eml"])
    mailbox = world.accounts.open(world.authenticator.find("joe")).open("INBOX")
    assert mailbox.sizes(list(mailbox.snapshot.uids)) == [45, 214]
    assert world.client().ask(b"STAT") == b"+OK 2 261\r\n"
    world.close()


# --- what happens on disk meanwhile


def test_R202_a_message_removed_before_its_size_is_known_counts_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    world.remove(2)
    size = len(MESSAGE % (1, 1)) + 4
    assert client.ask(b"LIST").split(b"\r\n")[1:4] == [b"1 %d" % size, b"2 0", b"3 %d" % size]
    assert client.ask(b"RETR 2") == b"-ERR The message was removed meanwhile\r\n"
    assert not client.closed
    assert client.ask(b"RETR 2") == b"-ERR The message was removed meanwhile\r\n"
    assert client.closed
    world.close()


def test_R220_top_of_a_message_removed_meanwhile(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    world.remove(2)
    assert client.ask(b"TOP 2 0") == b"-ERR The message was removed meanwhile\r\n"
    assert client.ask(b"TOP 1 0").startswith(b"+OK")
    assert client.ask(b"TOP 2 5") == b"-ERR The message was removed meanwhile\r\n"
    assert client.closed
    world.close()


def test_a_message_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client = world.client()
    (path,) = [path for path in world.files() if ".M2P1." in path.name]
    path.unlink()
    path.mkdir()
    client.ask(b"STAT")
    for _ in range(3):
        answer = client.ask(b"RETR 1\r\nRETR 2\r\nRETR 3")
        assert bodies(answer) == [b"body of 1", b"body of 3"]
        assert answer.count(b"-ERR ") == 1
    assert bodies(client.ask(b"RETR 1\r\nRETR 3")) == [b"body of 1", b"body of 3"]
    world.close()


def test_R211_uidls_are_the_same_in_every_session_and_never_given_again(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    names = world.client(1).ask(b"UIDL").split(b"\r\n")[1:-2]
    world.client(1).ask(b"DELE 3\r\nQUIT")
    world.add(b"X: new\n\n")
    again = world.client(2).ask(b"UIDL").split(b"\r\n")[1:-2]
    assert again[:2] == names[:2]
    assert again[2].split()[1] not in {name.split()[1] for name in names}
    for line in names + again:
        uidl = line.split(b" ")[1]
        assert 1 <= len(uidl) <= 70
        assert all(0x21 <= octet <= 0x7E for octet in uidl)
    world.close()


# --- APOP


def test_R197_apop_is_in_the_greeting_when_it_can_be_checked(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False, peer=PEERS["remote"])
    world.authenticator.load()
    banners = []
    for number, (name, secret) in enumerate([(b"joe", b"wrong"), (b"joe", b"secret")], 1):
        client = world.client(number)
        greeting = client.line()
        match = re.search(rb"<[^>]+@mail\.example\.org>$", greeting or b"")
        assert match, greeting
        banners.append(match[0])
        digest = hashlib.md5(match[0] + secret).hexdigest().encode()
        answer = client.ask(b"APOP %b %b" % (name, digest))
        assert answer.startswith(b"+OK 3 " if secret == b"secret" else b"-ERR [AUTH] ")
    assert banners[0] != banners[1]
    assert world.client(1).ask(b"APOP joe rubbish") == b"-ERR not an APOP digest\r\n"
    world.close()


def test_R197_without_clear_passwords_there_is_no_apop(tmp_path: Path) -> None:
    world = world_of(tmp_path, logged_in=False)
    client = world.client()
    assert b"<" not in (client.line() or b"")
    assert client.ask(b"APOP joe " + b"0" * 32) == b"-ERR APOP is not offered\r\n"
    world.close()
