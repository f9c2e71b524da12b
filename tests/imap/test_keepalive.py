"""IDLE is kept alive, and a phone's radio wakes once for all its connections (R073, L-28)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.keepalive import next_moment
from maa.imap.states import Connection, ImapSettings
from maa.quirks import Chosen, chosen
from maa.transport.pump import Pump
from tests.imap.world import PEERS, SessionClient, SessionWorld
from tests.transport.net import Net, Wire

World = Callable[..., SessionWorld]
NET, MOBILE = 29 * 60, 14 * 60
STILL_HERE = b"* OK Still here\r\n"


def connection(
    address: str, phone: bool = False, settings: ImapSettings | None = None
) -> Connection:
    quirks = chosen({"os": "iOS"}) if phone else Chosen()
    peer = replace(PEERS["tls"], address=address)
    nobody: list[object] = [None, None]
    return Connection(*nobody, peer, settings or ImapSettings(), lambda: None, quirks=quirks)  # type: ignore[arg-type]


@given(
    st.floats(0, 1e8), st.sampled_from(["192.0.2.1", "2001:db8::1", ""]), st.text(), st.booleans()
)
def test_R073_the_next_moment_is_never_further_than_the_interval(
    now: float, address: str, user: str, phone: bool
) -> None:
    every = MOBILE if phone else NET
    first = next_moment(connection(address, phone), user, now)
    assert now < first <= now + every
    second = next_moment(connection(address, phone), user, first + 0.5)
    assert second - first == pytest.approx(every, abs=0.01)


@given(st.floats(0, 1e6), st.floats(0, 1))
def test_L28_connections_of_a_device_share_their_moments(now: float, part: float) -> None:
    one, other = connection("192.0.2.1", True), connection("192.0.2.1", True)
    moment = next_moment(one, "joe", now)
    between = now + part * (moment - now)
    if between < moment - 0.001:  # else rounding decides
        assert next_moment(other, "joe", between) == pytest.approx(moment, abs=0.01)


def test_L28_devices_do_not_speak_all_at_once() -> None:
    moments = {next_moment(connection(f"192.0.2.{n}"), "joe", 0.0) for n in range(200)}
    assert len(moments) > 150


def test_keepalive_can_be_turned_off() -> None:
    off = ImapSettings(keepalive_seconds=0)
    assert next_moment(connection("192.0.2.1", settings=off), "joe", 5.0) == inf
    assert next_moment(connection("192.0.2.1", True, off), "joe", 5.0) < inf


def kept_alive(client: SessionClient) -> bytes:
    client.session.keep_alive()
    client._take(client.session.steps())
    return client.take()


def test_R073_only_idle_says_a_word(make_world: World) -> None:
    client = make_world().client(1)
    assert kept_alive(client) == b""
    client.ask(b"a SELECT INBOX")
    assert kept_alive(client) == b""
    client.send(b"b LOGIN {3}\r\n")
    client.take()
    assert kept_alive(client) == b""
    assert b"\r\nb" not in client.ask(b"c NOOP")
    client.ask(b"d IDLE")
    assert kept_alive(client) == STILL_HERE
    client.world.deliver("three.eml")
    assert client.take() == b"* 3 EXISTS\r\n* 3 RECENT\r\n"
    assert kept_alive(client) == STILL_HERE
    assert client.ask(b"DONE") == b"d OK IDLE completed\r\n"
    assert kept_alive(client) == b""


def test_R073_idle_without_a_mailbox_and_with_notify_is_kept_alive_too(make_world: World) -> None:
    client = make_world().client(1)
    client.ask(b"a IDLE")
    assert kept_alive(client) == STILL_HERE
    assert client.ask(b"DONE") == b"a OK IDLE completed\r\n"
    client.ask(b"b NOTIFY SET (PERSONAL (MessageNew MessageExpunge))")
    client.ask(b"c IDLE")
    assert kept_alive(client) == STILL_HERE
    assert client.ask(b"DONE") == b"c OK IDLE completed\r\n"


def test_R073_a_word_in_the_middle_of_done_harms_nothing(make_world: World) -> None:
    client = make_world().client(1)
    client.ask(b"a IDLE")
    client.send(b"DO")
    assert kept_alive(client) == STILL_HERE
    assert client.ask(b"NE") == b"a OK IDLE completed\r\n"


def test_L28_phones_are_known_by_their_id(make_world: World) -> None:
    session = make_world().client(1).session
    before = session.keepalive_at(0.0)
    assert session.keepalive_at(before) == pytest.approx(before + NET)
    session.feed(b'a ID ("name" "iPhone Mail" "version" "22C152" "os" "iOS")\r\n')
    list(session.steps())
    phone = session.keepalive_at(0.0)
    assert session.keepalive_at(phone) == pytest.approx(phone + MOBILE)


def test_before_login_nothing_is_kept_alive(make_world: World) -> None:
    world = make_world()
    assert SessionClient(world, PEERS["loopback"], world.settings).session.keepalive_at(0.0) == inf


def test_L28_connections_of_a_device_speak_in_the_same_second(make_world: World) -> None:
    """Real sessions in pumps: four mailboxes of a phone, opened at different times."""
    world, net = make_world(), Net()
    wires = []
    for number, name in enumerate((b"INBOX", b"Sent", b"Drafts", b"Trash")):
        wire = idling(world, net, name)
        wires.append(wire)
        net.clock.pump([1] * (7 + 11 * number))
    net.users.run()  # what the login left behind
    for wire in wires:
        wire.take()
    words: list[list[float]] = [[] for _ in wires]
    for _ in range(2 * MOBILE):
        net.clock.advance(1)
        assert not net.users.jobs, "nobody needs a thread for it"
        for wire, heard in zip(wires, words, strict=True):
            if wire.take() == STILL_HERE:
                heard.append(net.clock.seconds())
    assert len(words[0]) == 2
    assert words[0][1] - words[0][0] == pytest.approx(MOBILE, abs=1)
    assert words == [words[0]] * 4


def idling(world: SessionWorld, net: Net, mailbox: bytes) -> Wire:
    """A phone's connection over a pump, in IDLE."""

    def converse(peer: object, wake: Callable[[], None]) -> object:
        client = SessionClient(world, PEERS["tls"], world.settings)
        client.session._connection = replace(client.session._connection, wake=wake)
        return client.session

    pump = Pump(net.sessions, converse, "192.0.2.1")  # type: ignore[arg-type]
    wire = Wire()
    wire.protocol = pump  # type: ignore[assignment]
    pump.makeConnection(wire)  # type: ignore[arg-type]
    for line in (b"a LOGIN joe secret", b'b ID ("os" "iOS")', b"c SELECT " + mailbox, b"d IDLE"):
        pump.dataReceived(line + b"\r\n")
        while net.users.run() or net.strangers.run():
            pass
    assert wire.take().endswith(b"+ idling\r\n")
    return wire
