"""What a dialogue cannot show: lanes, limits, ends, and what becomes of things half done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maa.auth.penalties import THROTTLED_SECONDS, Free
from maa.conversation import CLOSE, SLOW, START_TLS, Peer
from maa.imap import listing, table, updates
from maa.imap.list_command import ListMailboxes
from maa.imap.session import BAD_MAX, Session
from maa.imap.states import Answer, ImapSettings, LoggedOut, Selected
from maa.store.errors import Unavailable
from tests.imap.world import PEERS, SessionClient, SessionWorld

World = Callable[..., SessionWorld]


def stranger(world: SessionWorld, peer: Peer = PEERS["loopback"]) -> SessionClient:
    client = SessionClient(world, peer, world.settings)
    client.take()
    return client


def test_a_warm_session_needs_no_thread(make_world: World) -> None:
    world = make_world()
    world.client(1).ask(b"a SELECT INBOX")
    warm = stranger(world)
    for line in (b"a LOGIN joe secret", b"b SELECT INBOX", b"c NOOP", b"d CHECK", b"e LOGOUT"):
        assert b" OK " in warm.ask(line)
    assert warm.slow == 0


def test_a_cold_session_says_slow_before_it_may_block(make_world: World) -> None:
    world = make_world()
    client = world.client(1)
    assert client.slow == 2  # the password, the account
    client.ask(b"a SELECT INBOX")
    assert client.slow == 3


def test_a_delivery_makes_the_next_command_look_at_the_disk_once(make_world: World) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    before = client.slow
    world.deliver("three.eml")
    assert b"* 3 EXISTS" in client.ask(b"b NOOP")
    assert client.slow == before + 1
    client.ask(b"c NOOP")
    assert client.slow == before + 1


def test_R249_what_may_be_long_to_tell_is_told_from_a_thread(
    make_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    world.client(2).ask(b"a SELECT INBOX")
    for large, slow in ((2, 0), (1, 1)):
        monkeypatch.setattr(updates, "LARGE", large)
        world.client(2).ask(b"b STORE 1:2 +FLAGS (large%d)" % large)
        before = client.slow
        assert client.ask(b"b NOOP").count(b" FETCH (FLAGS (") == 2
        assert client.slow == before + slow


def test_R249_a_pattern_is_read_on_a_thread(
    make_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_world().client(1)
    seen: list[int] = []
    real = listing._matcher

    def matcher(command: ListMailboxes, separator: str) -> Callable[[str], bool]:
        seen.append(client.slow)
        return real(command, separator)

    monkeypatch.setattr(listing, "_matcher", matcher)
    for line in (b'a LIST "" "I%"', b'b LSUB "" "I%"'):
        before = client.slow
        assert b"INBOX" in client.ask(line)
        assert seen.pop() == before + 1


def test_R222_failed_logins_are_delayed_more_each_time(make_world: World) -> None:
    client = stranger(make_world(logged_in=False))
    for _ in range(3):
        client.ask(b"a LOGIN joe wrong")
    first, second, third = client.delays
    assert 0 < first < second < third
    assert client.closed


def test_R222_who_guessed_before_waits_longer_and_is_then_not_heard(make_world: World) -> None:
    world = make_world(logged_in=False, peer=PEERS["remote"])
    penalties = world.authenticator.penalties
    for number in range(Free().per_address + 1):
        penalties.failed(PEERS["remote"].address, f"user{number}", "guess")
    client = stranger(world, PEERS["tls"])
    assert client.ask(b"a LOGIN joe wrong").startswith(b"a NO [AUTHENTICATIONFAILED] ")
    assert client.delays.pop() > 1 + 5  # its own second, and what is left of the debt
    for number in range(2):
        penalties.failed(PEERS["remote"].address, f"more{number}", "guess")
    for _ in range(5):
        assert client.ask(b"a LOGIN joe secret").startswith(b"a NO [UNAVAILABLE] Too many ")
    assert client.delays == [THROTTLED_SECONDS] * 5
    assert not client.closed


def test_R251_an_unreachable_source_is_no_wrong_password(make_world: World) -> None:
    world = make_world(logged_in=False)
    client = stranger(world)
    (world.directory / "passwd").unlink()
    for _ in range(5):
        assert client.ask(b"a LOGIN joe secret").startswith(b"a NO [UNAVAILABLE] ")
    assert not client.delays
    assert not client.closed


def test_names_and_passwords_that_are_no_utf8_are_wrong_ones(make_world: World) -> None:
    client = stranger(make_world(logged_in=False))
    answer = client.ask(b"a LOGIN {3+}\r\n\xff\xfe\xfd {1+}\r\n\xe4")
    assert answer.startswith(b"a NO [AUTHENTICATIONFAILED]")


def test_R026_what_is_pipelined_behind_starttls_is_forgotten(make_world: World) -> None:
    world = make_world(
        logged_in=False,
        peer=PEERS["remote"],
        settings=ImapSettings(starttls=True, plaintext_login="never"),
    )
    client = stranger(world, PEERS["remote"])
    client.feed(b"a STARTTLS\r\nb LOGIN joe secret\r\nc CAPABI")
    assert client.take() == b"a OK Begin TLS negotiation now\r\n"
    answer = client.ask(b"d CAPABILITY")
    assert b"STARTTLS" not in answer
    assert answer.endswith(b"d OK CAPABILITY completed\r\n")


def test_R038_silence_is_shorter_before_login_and_ends_with_bye(make_world: World) -> None:
    world = make_world()
    before, after = stranger(world).session, world.client(1).session
    assert 60 <= before.silence_seconds <= 180
    assert after.silence_seconds >= 30 * 60
    assert not before.logged_in
    assert after.logged_in
    farewell = list(after.timed_out())
    assert isinstance(farewell[0], bytes)
    assert farewell[0].startswith(b"* BYE ")
    assert farewell[1] is CLOSE


def test_R252_a_stopping_server_says_bye(make_world: World) -> None:
    session = make_world().client(1).session
    assert list(session.stopping()) == [b"* BYE [UNAVAILABLE] The server is restarting\r\n", CLOSE]
    session.feed(b"a NOOP\r\n")
    assert list(session.steps()) == []
    assert list(session.stopping()) == []


def test_R252_a_message_being_appended_is_taken_before_the_server_stops(
    make_world: World,
) -> None:
    client = make_world().client(1)
    client.feed(b"a APPEND INBOX {10}\r\nA: b\r\n")
    assert list(client.session.stopping()) == []
    client.feed(b"\r\nxy\r\nb NOOP\r\n")
    lines = client.take().split(b"\r\n")
    assert lines[0].startswith(b"+ ")
    assert lines[1].startswith(b"a OK [APPENDUID ")
    assert lines[2:] == [b"* BYE [UNAVAILABLE] The server is restarting", b""]
    assert client.closed


@pytest.mark.parametrize("octets", [5, 100_000])
def test_R119_an_append_torn_in_the_middle_leaves_nothing(make_world: World, octets: int) -> None:
    world = make_world(messages=[])
    client = world.client(1)
    client.feed(b"a APPEND INBOX {%d}\r\n" % (octets + 1))
    client.feed(b"x" * octets)
    client.session.lost()
    folders = [world.inbox / name for name in ("tmp", "new", "cur")]
    assert [path for folder in folders for path in folder.iterdir()] == []
    assert b"* 0 EXISTS" in world.client(2).ask(b"a SELECT INBOX")


def test_R120_append_stores_octets_as_given(make_world: World) -> None:
    world = make_world(messages=[])
    message = b"Subject: x\nbare\rCR\r\n\r\n\xff\xfe" + b"y" * 300_000 + b"\n.\n"
    client = world.client(1)
    answer = client.ask(b"a APPEND INBOX {%d+}\r\n%b" % (len(message), message))
    assert b"a OK [APPENDUID " in answer
    (stored,) = world.inbox.glob("[nc]*/*")
    assert stored.read_bytes() == message


def test_R222_lines_before_login_are_short_and_later_long(make_world: World) -> None:
    world = make_world()
    client = stranger(world)
    assert client.ask(b"a LOGIN joe " + b"x" * 9000).startswith(
        b"a BAD [CLIENTBUG] the line is too long"
    )
    assert client.ask(b"b NOOP") == b"b OK NOOP completed\r\n"
    user = world.client(1)
    user.ask(b"a SELECT INBOX")
    numbers = b",".join(b"%d" % number for number in range(1, 12_500))
    assert 60_000 < len(numbers) < 65_000
    assert user.ask(b"b UID STORE %b FLAGS.SILENT (\\Seen)" % numbers).endswith(
        b"b OK STORE completed\r\n"
    )
    answer = user.ask(b"c UID STORE %b,%b FLAGS (\\Seen)" % (numbers, numbers))
    assert answer == b"c BAD [CLIENTBUG] the line is too long\r\n"


@pytest.mark.parametrize("begun", [b"", b"a AUTHENTICATE PLAIN\r\n", b"a LOGIN joe {3+}\r\nabc "])
def test_R222_an_endless_line_before_login_ends_the_session(
    make_world: World, begun: bytes
) -> None:
    client = stranger(make_world())
    client.feed(begun)
    client.take()
    for _ in range(20):
        client.feed(b"x" * 10_000)
    assert client.take() == b"* BYE [TOOBIG] The line has no end\r\n"
    assert client.closed
    assert client.session.held_octets == 0


def test_R031_sasl_lines_before_login_may_have_12_kib(make_world: World) -> None:
    client = stranger(make_world())
    token = b"A" * 12_288
    answer = client.ask(b"a AUTHENTICATE GSSAPI " + token)
    assert answer == b"a NO [CANNOT] this mechanism is not offered\r\n"
    assert (
        client.ask(b"b AUTHENTICATE PLAIN " + token)
        == b"b BAD [CLIENTBUG] not a PLAIN response\r\n"
    )
    assert client.ask(b"c AUTHENTICATE PLAIN") == b"+ \r\n"
    assert client.ask(token) == b"c BAD [CLIENTBUG] not a PLAIN response\r\n"
    assert (
        client.ask(b"d AUTHENTICATE PLAIN " + b"A" * 20_000)
        == b"d BAD [CLIENTBUG] the line is too long\r\n"
    )


def test_R005_bare_lf_is_bad_unless_allowed(make_world: World) -> None:
    world = make_world()
    client = stranger(world)
    client.feed(b"a NOOP\n")
    assert client.take() == b"a BAD [CLIENTBUG] a line must end with CRLF\r\n"
    lax = SessionClient(world, world.peer, replace(world.settings, bare_lf=True))
    lax.take()
    lax.feed(b"a NOOP\n")
    assert lax.take() == b"a OK NOOP completed\r\n"


def test_R223_the_text_behind_a_literal_is_bounded_too(make_world: World) -> None:
    client = make_world().client(1)
    answer = client.ask(b"a SELECT {5+}\r\nINBOX" + b"x" * 70_000)
    assert answer == b"a BAD [CLIENTBUG] the line is too long\r\n"


def test_a_poke_may_come_between_the_chunks_of_a_literal(make_world: World) -> None:
    client = make_world().client(1)
    for piece in (b"a SELECT {5+}\r\nINB", b"OX", b"\r\n"):
        client.session.poke()
        client.feed(piece)
    assert b"a OK [READ-WRITE]" in client.take()


def test_R045_what_is_held_is_an_unfinished_line_at_most(make_world: World) -> None:
    client = make_world().client(1)
    client.feed(b"a NOOP\r\nb NO")
    assert client.session.held_octets == 4
    client.feed(b"OP\r\n")
    assert client.session.held_octets == 0


def test_R249_long_arguments_are_read_on_a_thread(make_world: World) -> None:
    client = make_world().client(1)
    for count, blocking in ((100, False), (8000, True)):
        client.session.feed(b"b ENABLE" + b" X-Y" * count + b"\r\n")
        assert (SLOW in list(client.session.steps())) is blocking


def test_many_literals_count_together(make_world: World) -> None:
    client = make_world().client(1)
    client.ask(b"a SELECT INBOX")
    piece = b" {1000+}\r\n" + b"x" * 1000
    answer = client.ask(b"b SEARCH" + b" SUBJECT".join([b"", *[piece] * 200]))
    assert answer == b"b NO [TOOBIG] the arguments are too long\r\n"
    assert client.ask(b"c NOOP") == b"c OK NOOP completed\r\n"


def test_R222_literals_before_login_count_together_and_less(make_world: World) -> None:
    client = stranger(make_world())
    piece = b" {%d+}\r\n%b"
    fits = b"a LOGIN" + (piece % (4000, b"x" * 4000)) * 2
    assert client.ask(fits).startswith(b"a NO [AUTHENTICATIONFAILED] ")
    many = b"b LOGIN" + (piece % (4096, b"x" * 4096)) * 2
    assert client.ask(many) == b"b NO [TOOBIG] the arguments are too long\r\n"
    assert client.ask(b"c NOOP") == b"c OK NOOP completed\r\n"


def test_our_own_bugs_are_logged_under_a_reference(
    make_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(state: object, command: object) -> Answer:
        yield b"* OK so far\r\n"
        raise RuntimeError("a bug")

    row = table.COMMANDS[b"CHECK"]
    monkeypatch.setitem(table.COMMANDS, b"CHECK", replace(row, handler=broken))
    client = make_world().client(1)
    client.ask(b"a SELECT INBOX")
    with caplog.at_level(logging.ERROR):
        lines = client.ask(b"b CHECK").split(b"\r\n")
    assert lines[0] == b"* OK so far"
    assert lines[1].startswith(b"b NO [SERVERBUG] ")
    assert lines[2].startswith(b"* BYE ")
    assert client.closed
    reference = lines[1].rpartition(b" ")[2].decode()
    (record,) = caplog.records
    assert reference in record.getMessage()
    assert record.exc_info is not None


def test_R228_what_id_says_cannot_forge_log_lines(
    make_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_world().client(1)
    with caplog.at_level(logging.INFO, "maa.imap"):
        client.ask(b'a ID ("name" {12+}\r\nx\r\nroot: ok\n)')
    (record,) = [record for record in caplog.records if record.name.startswith("maa.imap")]
    assert "\n" not in record.getMessage()
    assert "\r" not in record.getMessage()


def test_R061_an_expunge_pipelined_before_fetch_does_not_leak_into_it(make_world: World) -> None:
    world = make_world(messages=["one.eml", "two.eml", "three.eml"])
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    world.remove(1)
    client.send(b"b FETCH 1 UID\r\nc NOOP\r\nd FETCH 1 UID\r\n")
    lines = client.take().split(b"\r\n")
    assert [line for line in lines if b"EXPUNGE" in line] == [b"* 1 EXPUNGE"]
    assert lines.index(b"* 1 EXPUNGE") == lines.index(b"c OK NOOP completed") - 1
    assert lines[lines.index(b"c OK NOOP completed") + 1] == b"* 1 FETCH (UID 2)"


def test_idle_listens_only_while_it_lasts(make_world: World) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    state = client.session.state
    assert isinstance(state, Selected)
    assert not state.mailbox.listened
    client.ask(b"b IDLE")
    assert state.mailbox.listened
    client.ask(b"DONE")
    assert not state.mailbox.listened
    client.ask(b"c IDLE")
    client.session.lost()
    assert not state.mailbox.listened
    assert isinstance(client.session.state, LoggedOut)


def test_a_poke_of_an_idle_session_is_cheap(make_world: World) -> None:
    """Thousands of sessions may idle: a poke reads memory and nothing else."""
    world = make_world()
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    client.ask(b"b IDLE")
    slow = client.slow
    begun = time.process_time()
    for _ in range(1000):
        client.session.poke()
        assert list(client.session.steps()) == []
    assert time.process_time() - begun < 0.5
    world.deliver("three.eml")
    assert b"* 3 EXISTS" in client.take()
    assert client.slow == slow


def test_a_poke_without_idle_says_nothing(make_world: World) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    world.deliver("three.eml")
    client.session.poke()
    assert list(client.session.steps()) == []
    client.session.feed(b"b APPEND INBOX {10}\r\nA: b\r\n")
    list(client.session.steps())
    client.session.poke()
    assert list(client.session.steps()) == []


def test_what_is_fed_during_the_handshake_is_nobodys(make_world: World) -> None:
    peer, offered = PEERS["remote"], ImapSettings(starttls=True)
    world = make_world(logged_in=False, peer=peer, settings=offered)
    session = stranger(world, peer).session
    session.feed(b"a STARTTLS\r\n")
    steps = session.steps()
    assert next(steps) == b"a OK Begin TLS negotiation now\r\n"
    assert next(steps) is START_TLS
    session.feed(b"b NOOP\r\n")
    assert list(steps) == []
    session.secured()
    session.feed(b"c NOOP\r\n")
    assert list(session.steps()) == [b"c OK NOOP completed\r\n"]


def test_Q37_twenty_bad_commands_end_the_session(make_world: World) -> None:
    client = make_world().client(1)
    client.send(b"a FROBNICATE\r\n" * (BAD_MAX + 5))
    lines = client.take().split(b"\r\n")
    assert len(lines) == BAD_MAX + 2
    assert lines[-2].startswith(b"* BYE ")
    assert client.closed


def test_a_burst_is_answered_at_least_as_fast_as_promised(make_world: World) -> None:
    """20,000 pipelined NOOPs: the promise is 150,000 a second; here a tenth must do."""
    client = make_world().client(1)
    data = b"".join(b"t%d NOOP\r\n" % number for number in range(20_000))
    begun = time.process_time()
    client.feed(data)
    seconds = time.process_time() - begun
    assert client.take().count(b" OK NOOP completed\r\n") == 20_000
    assert seconds < 20_000 / 15_000


WORDS = st.sampled_from(
    [b"\r\n", b"\r\n", b"\r\n", b"a ", b"b ", b"NOOP", b"LOGIN joe secret", b"IDLE", b"DONE",
     b"APPEND INBOX {5+}\r\nhello", b"APPEND INBOX {9}\r\n", b"SELECT INBOX", b"FETCH 1 (FLAGS)",
     b"UID FETCH 1:* BODY[]", b"STORE 1 +FLAGS (\\Seen)", b"SEARCH ALL", b'LIST "" *', b"{3+}",
     b"{3}", b"AUTHENTICATE PLAIN", b"*", b"COPY 1 INBOX", b"EXPUNGE", b"CLOSE", b"\x00\xff", b"("]
)  # fmt: skip


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.one_of(WORDS, st.binary(max_size=8)), max_size=30).map(b"".join))
def test_no_octets_make_a_session_fail(shared_world: SessionWorld, data: bytes) -> None:
    """Before login and after: answers, or a farewell; never SERVERBUG."""
    for login in (b"", b"login LOGIN joe secret\r\nsel SELECT INBOX\r\n"):
        client = stranger(shared_world)
        client.feed(login)
        client.take()
        client.feed(data)
        answer = client.take()
        client.session.lost()
        assert b"SERVERBUG" not in answer
        assert answer == b"" or answer.endswith(b"\r\n")


@pytest.fixture
def shared_world(make_world: World) -> SessionWorld:
    world = make_world()
    assert isinstance(world.client(1).session, Session)
    return world


def test_what_is_no_mbox_is_said_to_be_damaged(make_world: World) -> None:
    world = make_world(messages=[], mbox=True)
    assert world.spool is not None
    world.spool.write_bytes(b"\x7fELF no mail at all\n")
    assert world.client(1).ask(b"a SELECT INBOX").startswith(b"a NO [CORRUPTION] ")
    assert world.spool.read_bytes() == b"\x7fELF no mail at all\n"


def test_a_right_password_whose_mail_cannot_be_opened_is_noted(
    make_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(logged_in=False)

    def failing(user: object) -> None:
        raise Unavailable("the disk is away")

    monkeypatch.setattr(world.accounts, "opened", lambda user: None)
    monkeypatch.setattr(world.accounts, "open", failing)
    with caplog.at_level("INFO", "maa.auth.refusals"):
        assert b"\r\na NO [UNAVAILABLE] " in world.client(1).ask(b"a LOGIN joe secret")
    assert "imap login of user 'joe'" in caplog.text
    assert "not served: the disk is away" in caplog.text
