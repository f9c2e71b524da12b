"""Who has to wait, and who has not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from maa.auth.errors import AuthUnavailable, Throttled
from maa.auth.penalties import (
    FAILURE_SECONDS,
    KNOWN_SECONDS,
    LONGEST_DEBT_SECONDS,
    LONGEST_WAIT_SECONDS,
    Free,
    Ledgers,
    Penalties,
)
from maa.auth.shared_times import SharedTimes
from maa.networks import Networks

HERE, THERE = "192.0.2.1", "198.51.100.1"


@dataclass
class Town:
    """Penalties, and time in the test's hands."""

    now: float = 1000.0
    free: Free = field(default_factory=lambda: Free(per_address=4, per_account=2))

    def __post_init__(self) -> None:
        self.penalties = Penalties(Ledgers(), self.free, seconds=lambda: self.now)
        self.guesses = 0

    def guess(self, address: str, name: str, times: int = 1) -> None:
        for _ in range(times):
            self.guesses += 1
            self.penalties.failed(address, name, f"guess {self.guesses}")

    def wait(self, address: str, name: str) -> float:
        return self.penalties.wait_seconds(address, name)


@pytest.fixture
def town() -> Town:
    return Town()


def test_R222_some_failures_are_free_then_the_wait_grows(town: Town) -> None:
    waits = []
    for _ in range(4):
        waits.append(town.wait(HERE, "joe"))
        town.guess(HERE, "joe")
    assert waits == [0, 0, 0, FAILURE_SECONDS]


def test_R222_an_address_that_goes_on_is_refused_unlooked_at(town: Town) -> None:
    for number in range(8):
        town.guess(HERE, f"user{number}")
    with pytest.raises(Throttled):
        town.wait(HERE, "somebody new")
    assert town.wait(THERE, "somebody new") == 0


def test_time_pays_the_debt_whatever_was_done(town: Town) -> None:
    town.guess(HERE, "joe", 1000)
    town.now += LONGEST_DEBT_SECONDS - LONGEST_WAIT_SECONDS
    assert town.wait(HERE, "ann") == LONGEST_WAIT_SECONDS
    town.now += LONGEST_WAIT_SECONDS
    assert town.wait(HERE, "ann") == town.wait(HERE, "joe") == 0


def test_a_network_of_ipv6_is_one_client(town: Town) -> None:
    for number in range(20):
        town.guess(f"2001:db8::{number:x}", f"user{number}")
    with pytest.raises(Throttled):
        town.wait("2001:db8::ffff", "joe")
    assert town.wait("2001:db8:0:1::1", "joe") == 0


def test_a_site_of_many_networks_is_refused_too(town: Town) -> None:
    for number in range(60):
        town.guess(f"2001:db8:7:{number:x}::1", f"user{number}")
    with pytest.raises(Throttled):
        town.wait("2001:db8:7:ffff::1", "joe")
    assert town.wait("2001:db8:8::1", "joe") == 0


def test_who_is_known_and_guessed_at_falls_back_to_the_addresss_debt(town: Town) -> None:
    town.penalties.succeeded(HERE, "joe")
    heard = 0
    with pytest.raises(Throttled):
        for _ in range(100):
            town.wait(HERE, "joe")
            town.guess(HERE, "joe")
            heard += 1
    assert heard <= 2 + 3 + 4 + 3
    town.now += LONGEST_WAIT_SECONDS + FAILURE_SECONDS
    assert town.wait(HERE, "joe") <= LONGEST_WAIT_SECONDS


def test_an_address_where_nobody_is_known_is_refused_before_it_names_anybody(town: Town) -> None:
    town.penalties.ensure_heard(HERE)
    town.guess(HERE, "ann", 50)
    with pytest.raises(Throttled):
        town.penalties.ensure_heard(HERE)
    town.penalties.ensure_heard(THERE)
    town.penalties.succeeded(HERE, "joe")
    town.penalties.ensure_heard(HERE)
    with pytest.raises(Throttled):
        town.wait(HERE, "sue")


def test_nobody_can_lock_a_user_out_from_elsewhere(town: Town) -> None:
    for number in range(200):
        town.guess(f"10.0.{number}.1", "joe")
    assert town.wait(THERE, "joe") == LONGEST_WAIT_SECONDS
    town.penalties.succeeded(HERE, "joe")
    assert town.wait(HERE, "joe") == 0


def test_a_user_who_is_known_does_not_wait_for_the_neighbours(town: Town) -> None:
    town.penalties.succeeded(HERE, "joe")
    town.guess(HERE, "ann", 50)
    assert town.wait(HERE, "joe") == 0
    with pytest.raises(Throttled):
        town.wait(HERE, "sue")
    town.guess(HERE, "joe", 4)
    assert town.wait(HERE, "joe") == 2 * FAILURE_SECONDS
    town.now += KNOWN_SECONDS + 1
    town.guess(HERE, "ann", 50)
    with pytest.raises(Throttled):
        town.wait(HERE, "joe")


def test_a_phone_with_an_old_password_guesses_once(town: Town) -> None:
    for _ in range(500):
        town.penalties.failed(HERE, "joe", "last year's")
        town.now += 2
    assert town.wait(HERE, "joe") == 0
    # Nor is the work of a hash for nothing, as often as somebody likes.
    with pytest.raises(Throttled):
        for _ in range(500):
            town.wait(HERE, "joe")
            town.penalties.failed(HERE, "joe", "last year's")


def test_exempt_networks_owe_nothing_but_accounts_do() -> None:
    town = Town(free=Free(4, 2, Networks.parse(["192.0.2.0/24"])))
    for number in range(100):
        town.guess(HERE, f"user{number}")
    assert town.wait(HERE, "ann") == 0
    town.guess(HERE, "joe", 4)
    assert town.wait(HERE, "joe") > 0


def test_R033_a_name_that_nobody_has_waits_like_any_other(town: Town) -> None:
    for name in ("joe", "nobody-at-all"):
        town.guess(HERE, name, 3)
    assert town.wait(THERE, "joe") == town.wait(THERE, "nobody-at-all") == FAILURE_SECONDS


def test_R251_a_refusal_is_no_wrong_password() -> None:
    assert issubclass(Throttled, AuthUnavailable)


def test_debts_are_every_workers() -> None:
    ledgers = Ledgers()
    here = Penalties(ledgers, Free(4, 2))
    child = os.fork()
    if not child:
        other = Penalties(ledgers, Free(4, 2))
        for number in range(10):
            other.failed(HERE, f"user{number}", "guess")
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(Throttled):
        here.wait_seconds(HERE, "joe")


def test_a_full_table_forgets_what_is_earliest() -> None:
    times = SharedTimes(8)
    for number in range(8):
        times.put(100.0 + number, "key", str(number))
    times.put(200.0, "late")
    assert times.get("key", "0") == 0
    assert times.get("key", "1") == 101
    times.put(300.0, "key", "1")
    assert times.get("key", "1") == 300
    assert times.get("late") == 200
    assert times.get("never") == 0
