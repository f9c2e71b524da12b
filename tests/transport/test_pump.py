"""The pump over a transport in memory, with threads and time in the test's hands."""

from __future__ import annotations

import pytest

from maa.networks import Networks
from maa.transport.guessers import LATE_SECONDS
from maa.transport.sessions import GIVE_BACK_SECONDS, Limits
from maa.transport.slices import SLICE_OCTETS
from maa.transport.stream import WAITING_OCTETS
from tests.transport.net import Client, Net


@pytest.fixture
def net() -> Net:
    return Net()


def test_a_burst_of_commands_is_one_step_and_one_write(net: Net) -> None:
    client = net.greeted()
    writes: list[bytes] = []
    client.wire.write = writes.append  # type: ignore[method-assign,assignment]
    client.send(b"echo one\r\necho two\r\necho three\r\n")
    assert writes == [b"one\r\ntwo\r\nthree\r\n"]
    assert net.sessions.counters.steps == 1


def test_commands_split_anywhere_are_answered_all_the_same(net: Net) -> None:
    client = net.greeted()
    answers = b"".join(client.send(bytes([octet])) for octet in b"echo one\r\necho two\r\n")
    assert answers == b"one\r\ntwo\r\n"


def test_a_step_in_memory_needs_no_thread(net: Net) -> None:
    net.greeted().send(b"echo one\r\n")
    assert net.users.jobs == net.strangers.jobs == []


@pytest.mark.parametrize(
    ("address", "owner"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8:0:1::7", "2001:db8:0:1::/64"), ("10.0.0.1", None)],
)
def test_R222_strangers_have_a_share_of_the_login_lane(address: str, owner: str | None) -> None:
    net = Net(Limits(exempt=Networks.parse(["10.0.0.1"])))
    owners: list[object] = []
    net.strangers.put = lambda job, owner, late: owners.append(owner)  # type: ignore[method-assign]
    net.client(address).send(b"slow work\r\n")
    assert owners == [owner]


def test_R222_who_guessed_comes_behind_strangers_from_elsewhere() -> None:
    net = Net(Limits(exempt=Networks.parse(["10.0.0.1"])))
    for address in ("2001:db8:0:1::7", "10.0.0.1"):
        net.greeted(address).send(b"guess\r\n")
        net.strangers.run()
    # Whoever waits for a maildrop has guessed nothing.
    net.greeted("192.0.2.9").send(b"delay work\r\n")
    for address in ("2001:db8:0:1::8", "2001:db8:0:2::7", "10.0.0.1", "192.0.2.9"):
        net.greeted(address).send(b"slow work\r\n")
    assert net.strangers.late_seconds == [0, 0, LATE_SECONDS, 0, 0, 0]


def test_a_slow_step_goes_on_where_it_stopped_on_a_thread(net: Net) -> None:
    client = net.greeted()
    assert client.send(b"slow work\r\n") == b"going to "
    assert client.wire.take() == b""
    net.strangers.run()
    assert client.wire.take() == b"work\r\n"


def test_users_and_strangers_have_threads_of_their_own(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow work\r\n")
    assert (len(net.strangers.jobs), len(net.users.jobs)) == (1, 0)
    net.strangers.run()
    client.send(b"login\r\n")
    client.send(b"slow work\r\n")
    assert (len(net.strangers.jobs), len(net.users.jobs)) == (0, 1)


def test_what_is_pipelined_behind_a_login_is_a_users(net: Net) -> None:
    client = net.greeted()
    client.send(b"login\r\nslow work\r\n")
    assert net.sessions.strangers() == 0
    assert (len(net.strangers.jobs), len(net.users.jobs)) == (0, 1)


def test_R045_input_during_a_step_waits_and_is_not_fed(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow work\r\n")
    client.talk.entered = 1  # Talk.feed refuses while this is set
    assert client.send(b"echo next\r\n") == b""
    client.talk.entered = 0
    net.strangers.run()
    assert client.wire.take() == b"work\r\nnext\r\n"


def test_R045_reading_pauses_while_much_input_waits_for_a_step(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow work\r\n")
    client.send(b"echo " + b"y" * (WAITING_OCTETS - 7) + b"\r\n")
    assert client.wire.producerState == "paused"
    net.strangers.run()
    assert client.wire.producerState == "producing"
    assert client.wire.take().endswith(b"yyy\r\n")


def test_R226_no_slice_is_taken_while_the_transport_is_full(net: Net) -> None:
    client = net.greeted()
    client.pump.pauseProducing()
    client.send(b"much 3\r\n")
    assert client.talk.taken == 0
    client.pump.resumeProducing()
    assert client.talk.taken == 3


def test_R226_a_full_transport_stops_a_step_between_slices(net: Net) -> None:
    client = net.greeted()
    write = client.wire.write

    def full(data: bytes) -> None:
        write(data)
        client.pump.pauseProducing()

    client.wire.write = full  # type: ignore[method-assign]
    client.send(b"much 3\r\necho next\r\n")
    for slices in (1, 2, 3):
        assert client.talk.taken == slices
        client.pump.resumeProducing()
    assert client.wire.value().endswith(b"\r\nenough\r\nnext\r\n")


def test_a_slice_is_about_64_KiB(net: Net) -> None:
    client = net.greeted()
    writes: list[int] = []
    client.wire.write = lambda data: writes.append(len(data))  # type: ignore[method-assign]
    client.send(b"much 2\r\n")
    assert writes == [SLICE_OCTETS, SLICE_OCTETS, len(b"\r\nenough\r\n")]


def test_a_slow_step_begins_only_when_the_transport_has_room(net: Net) -> None:
    client = net.greeted()
    client.wire.write = lambda data: client.pump.pauseProducing()  # type: ignore[method-assign]
    client.send(b"slow work\r\n")
    assert net.strangers.jobs == []
    client.pump.resumeProducing()
    assert len(net.strangers.jobs) == 1


def test_R222_a_delay_holds_no_thread(net: Net) -> None:
    client = net.greeted()
    assert client.send(b"delay later\r\necho next\r\n") == b""
    assert net.strangers.jobs == []
    net.clock.advance(5)
    assert client.wire.take() == b"later\r\nnext\r\n"


def test_quit_closes_behind_the_answer_and_hears_nothing_more(net: Net) -> None:
    client = net.greeted()
    assert client.send(b"quit\r\necho next\r\n") == b"bye\r\n"
    assert client.wire.disconnecting or not client.wire.connected
    assert client.talk.heard == ["quit"]


def test_an_error_of_ours_ends_that_connection_alone(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    client, other = net.greeted(), net.greeted()
    assert client.send(b"crash\r\n") == b"now\r\n"
    assert not client.wire.connected
    assert "a bug of ours" in caplog.text
    assert other.send(b"echo here\r\n") == b"here\r\n"


def test_a_lost_connection_is_given_back_once_on_a_thread(net: Net) -> None:
    client = net.greeted()
    client.hang_up()
    net.clock.advance(GIVE_BACK_SECONDS)
    assert client.talk.heard == []
    net.users.run()
    assert client.talk.heard == ["lost"]


def test_a_connection_lost_during_a_step_is_given_back_behind_it(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow work\r\n")
    client.hang_up()
    net.clock.advance(GIVE_BACK_SECONDS)
    assert net.users.jobs == []
    net.strangers.run()
    net.clock.advance(GIVE_BACK_SECONDS)
    net.users.run()
    assert client.talk.heard == ["slow work", "lost"]


def test_a_connection_lost_during_a_delay_leaves_no_timer(net: Net) -> None:
    client = net.greeted()
    client.send(b"delay later\r\n")
    client.hang_up()
    net.clock.advance(GIVE_BACK_SECONDS)
    net.users.run()
    assert client.talk.heard == ["delay later", "lost"]
    net.tick(10)
    assert net.clock.getDelayedCalls() == []


def idler(net: Net, every: float) -> Client:
    client = net.greeted()
    client.talk.keepalive_seconds = every
    client.send(b"login\r\n")
    client.talk.silence_seconds = 1e6
    client.talk.idling = True
    return client


def test_R073_who_idles_hears_a_word_at_its_moments(net: Net) -> None:
    client = idler(net, 840)
    heard = []
    for _ in range(3000):
        net.clock.advance(1)
        if client.wire.take() == b"still here\r\n":
            heard.append(net.clock.seconds())
    assert heard == [841, 1681, 2521]  # the first tick after the moment
    assert not net.users.jobs


def test_R073_connections_of_one_moment_speak_in_the_same_turn(net: Net) -> None:
    clients = []
    for _ in range(5):
        clients.append(idler(net, 840))
        net.clock.pump([1] * 37)
    net.clock.pump([1] * (841 - 5 * 37 - 1))
    assert [client.wire.take() for client in clients] == [b""] * 5
    net.clock.advance(1)
    assert [client.wire.take() for client in clients] == [b"still here\r\n"] * 5
    assert not net.users.jobs


def test_R073_who_does_not_idle_hears_nothing(net: Net) -> None:
    client = idler(net, 840)
    client.talk.idling = False
    net.clock.pump([1] * 900)
    assert client.wire.take() == b""


def test_R038_a_word_from_the_server_is_no_sign_of_the_client(net: Net) -> None:
    client = idler(net, 50)
    client.talk.silence_seconds = 120
    client.send(b"echo x\r\n")
    net.clock.pump([1] * 130)
    assert client.wire.take() == b"still here\r\n" * 2 + b"too slow\r\n"


def test_a_poke_reaches_an_idle_session(net: Net) -> None:
    client = net.greeted()
    client.send(b"idle\r\n")
    client.talk.wake()
    assert client.wire.take() == b"poked\r\n"


def test_a_poke_during_a_step_is_kept(net: Net) -> None:
    client = net.greeted()
    client.send(b"idle\r\n")
    client.send(b"slow work\r\n")
    client.talk.wake()
    net.strangers.run()
    assert client.wire.take() == b"work\r\npoked\r\n"


def test_many_wakes_are_one_poke(net: Net) -> None:
    calls: list[object] = []
    net.sessions.call_from_thread = lambda call, *arguments: calls.append(call)
    client = net.greeted()
    for _ in range(5):
        client.talk.wake()
    assert len(calls) == 1


def test_R249_many_who_wake_at_once_leave_the_reactor_to_others(net: Net) -> None:
    calls: list[object] = []
    net.sessions.call_from_thread = lambda call, *arguments: calls.append(call)
    clients = [net.greeted() for _ in range(10)]
    for client in clients:
        client.send(b"idle\r\n")
        client.wire.take()
        client.talk.wake()
    assert len(calls) == 1
    times = iter(range(10_000))
    net.sessions.seconds = lambda: 0.002 * next(times)  # each look at the clock takes 2 ms
    net.sessions._wake_all()
    first = sum(client.wire.value() != b"" for client in clients)
    assert 0 < first < 10
    for _ in range(10):
        net.clock.advance(0)
    assert [client.wire.take() for client in clients] == [b"poked\r\n"] * 10


def test_a_client_that_sends_no_more_is_answered_and_let_go(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow work\r\n")
    client.pump.readConnectionLost()
    assert client.wire.connected
    net.strangers.run()
    assert client.wire.take() == b"work\r\n"
    assert not client.wire.connected


def test_R038_a_silent_user_is_told_and_let_go(net: Net) -> None:
    client = net.greeted()
    client.send(b"login\r\n")
    net.tick(999)
    assert client.wire.take() == b""
    net.tick(65)
    assert client.wire.take() == b"too slow\r\n"
    assert not client.wire.connected


def test_R038_any_octet_of_a_user_resets_the_time(net: Net) -> None:
    client = net.greeted()
    client.send(b"login\r\n")
    for _ in range(3):
        net.tick(990)
        client.send(b"x")
    assert client.wire.connected


def test_R222_dripping_octets_do_not_extend_the_time_for_login(net: Net) -> None:
    client = net.greeted()
    for _ in range(13):
        net.tick(10)
        client.send(b"x")
    assert not client.wire.connected
    assert net.sessions.counters.timed_out == 1


def test_R222_answers_that_wait_do_not_extend_the_time_for_login(net: Net) -> None:
    client = net.greeted()
    client.send(b"delay x\r\n" * 1000)
    net.tick(95)
    assert client.wire.take() == b"x\r\n" * 19
    assert client.wire.connected
    net.tick(10)
    assert client.wire.aborted


def test_R222_answers_that_are_not_taken_do_not_extend_the_time_for_login(net: Net) -> None:
    client = net.greeted()
    client.pump.pauseProducing()
    for _ in range(3):
        net.tick(30)
        client.pump.resumeProducing()
        client.pump.pauseProducing()
    assert not client.wire.aborted
    net.tick(15)
    assert client.wire.aborted


def test_R222_a_stranger_whose_login_is_being_worked_on_is_not_cut_off(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow x\r\n")
    net.tick(500)
    assert net.strangers.run() == 1
    assert client.wire.take() == b"x\r\n"
    net.tick(65)
    assert not client.wire.connected


def test_R222_a_handshake_has_a_minute(net: Net) -> None:
    late, done = net.client(tls=True), net.client(tls=True)
    done.pump.handshakeCompleted()
    net.tick(62)
    assert late.wire.aborted
    assert not done.wire.aborted


def test_R226_a_reader_that_takes_nothing_for_ten_minutes_is_cut_off(net: Net) -> None:
    client = net.greeted()
    client.send(b"login\r\n")
    client.pump.pauseProducing()
    net.tick(595)
    assert not client.wire.aborted
    net.tick(70)
    assert client.wire.aborted


def test_one_timer_serves_all_connections(net: Net) -> None:
    for _ in range(50):
        net.greeted()
    assert len(net.clock.getDelayedCalls()) == 1


def test_R222_with_too_many_strangers_the_oldest_goes() -> None:
    net = Net(Limits(strangers=2))
    first, second = net.greeted("192.0.2.1"), net.greeted("192.0.2.2")
    third = net.greeted("192.0.2.3")
    assert first.wire.aborted
    assert second.send(b"echo 2\r\n") == b"2\r\n"
    assert third.send(b"echo 3\r\n") == b"3\r\n"


def test_R222_an_address_with_too_many_strangers_loses_its_own_oldest() -> None:
    net = Net(Limits(strangers_per_address=2))
    other = net.greeted("192.0.2.9")
    clients = [net.greeted("192.0.2.1") for _ in range(3)]
    assert [client.wire.aborted for client in clients] == [True, False, False]
    assert not other.wire.aborted


def test_R222_a_network_of_ipv6_has_one_clients_share() -> None:
    net = Net(Limits(strangers_per_address=2))
    other = net.greeted("2001:db8:0:1::1")
    clients = [net.greeted(f"2001:db8::{number:x}") for number in range(3)]
    assert [client.wire.aborted for client in clients] == [True, False, False]
    assert not other.wire.aborted
    few = Net(Limits(per_address=2))
    for number in range(3):
        few.client(f"2001:db8::{number:x}")
    assert few.sessions.counters.refused == 1


def test_R222_who_has_logged_in_is_never_dropped_for_a_stranger() -> None:
    net = Net(Limits(strangers=1))
    user = net.greeted()
    user.send(b"login\r\n")
    net.greeted()
    net.greeted()
    assert user.send(b"echo here\r\n") == b"here\r\n"


def test_beyond_the_limit_a_connection_is_refused_politely() -> None:
    net = Net(Limits(connections=1))
    net.greeted()
    refused = net.client()
    assert refused.wire.take() == b"too many\r\n"
    assert not refused.wire.connected
    assert refused.talks == []


def test_R252_the_stop_takes_leave_of_everybody(net: Net) -> None:
    clients = [net.greeted() for _ in range(3)]
    stopped = net.sessions.stop(30)
    assert [client.wire.take() for client in clients] == [b"stopping\r\n"] * 3
    assert stopped.called
    assert all(not client.wire.connected for client in clients)


def test_R252_a_step_under_way_is_answered_before_the_farewell(net: Net) -> None:
    client = net.greeted()
    client.send(b"slow work\r\n")
    stopped = net.sessions.stop(30)
    assert not stopped.called
    net.strangers.run()
    assert client.wire.take() == b"work\r\nstopping\r\n"
    assert stopped.called


def test_R252_a_message_being_sent_may_end(net: Net) -> None:
    client = net.greeted()
    client.send(b"append\r\n")
    stopped = net.sessions.stop(30)
    assert client.send(b"appended\r\n") == b"appended\r\n"
    assert stopped.called


def test_R252_who_does_not_take_the_farewell_is_cut_off_soon(net: Net) -> None:
    client = net.greeted()
    client.wire.loseConnection = lambda: None  # type: ignore[method-assign]
    stopped = net.sessions.stop(30)
    assert client.wire.take() == b"stopping\r\n"
    del client.wire.loseConnection
    net.clock.advance(5)
    assert client.wire.aborted
    assert stopped.called


def test_R252_who_does_not_end_is_cut_off(net: Net) -> None:
    client = net.greeted()
    client.send(b"append\r\n")
    stopped = net.sessions.stop(30)
    net.clock.advance(29)
    assert not stopped.called
    net.clock.advance(1)
    assert stopped.called
    assert client.wire.aborted


def logged_in(net: Net, user: str, address: str = "192.0.2.1") -> Client:
    client = net.greeted(address)
    client.send(b"login " + user.encode() + b"\r\n")
    net.tick(1)
    return client


def test_a_users_newest_session_ends_the_one_that_was_idle_for_longest() -> None:
    net = Net(Limits(per_user=3))
    first, second, third = (logged_in(net, "joe", f"192.0.2.{n}") for n in range(3))
    first.send(b"echo still here\r\n")
    newest = logged_in(net, "joe", "192.0.2.9")
    assert second.wire.take() == b"crowded\r\n" and not second.wire.connected
    assert all(client.wire.connected for client in (first, third, newest))
    assert net.sessions.counters.crowded_out == 1
    other = logged_in(net, "ann", "192.0.2.1")
    assert other.send(b"echo hello\r\n") == b"hello\r\n"
    assert net.sessions.counters.crowded_out == 1


def test_the_limit_of_a_device_ends_that_devices_sessions_only() -> None:
    net = Net(Limits(per_device=2))
    elsewhere = logged_in(net, "joe", "192.0.2.77")
    here = [logged_in(net, "joe") for _ in range(3)]
    assert [client.wire.connected for client in here] == [False, True, True]
    assert elsewhere.wire.connected


def test_a_session_that_is_being_answered_is_not_the_one_that_ends() -> None:
    net = Net(Limits(per_device=1))
    busy = logged_in(net, "joe")
    busy.send(b"slow work\r\n")
    newest = logged_in(net, "joe")
    assert busy.wire.connected and newest.wire.connected


def test_sessions_that_ended_count_no_more() -> None:
    net = Net(Limits(per_user=2, per_address=3))
    for _ in range(5):
        logged_in(net, "joe").hang_up()
    kept = [logged_in(net, "joe") for _ in range(2)]
    assert all(client.wire.connected for client in kept)


def test_R222_connections_of_one_address_are_bounded_but_for_exempt_ones() -> None:
    net = Net(Limits(per_address=2, per_device=1, exempt=Networks.parse(["192.0.2.7"])))
    for _ in range(2):
        net.greeted()
    refused = net.client()
    assert refused.wire.take() == b"too many\r\n"
    assert net.sessions.counters.refused == 1
    net.greeted("192.0.2.2")
    many = [logged_in(net, "joe", "192.0.2.7") for _ in range(5)]
    assert all(client.wire.connected for client in many)
