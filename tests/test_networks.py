"""Addresses and networks."""

from __future__ import annotations

import pytest

from maa.networks import Networks, loopback, neighbourhood, plain

SOME = Networks.parse(["192.168.1.0/24", "10.0.0.1", "2001:db8::/32", "::ffff:172.16.0.0/108"])


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.77",
        "10.0.0.1",
        "2001:db8::5",
        "::ffff:192.168.1.1",
        "172.16.200.1",
        "2001:DB8::1",
    ],
)
def test_an_address_is_in_a_network(host: str) -> None:
    assert host in SOME


@pytest.mark.parametrize("host", ["192.168.2.1", "10.0.0.2", "2001:db9::1", "::1", "", "nonsense"])
def test_an_address_is_in_none(host: str) -> None:
    assert host not in SOME


@pytest.mark.parametrize("text", ["192.168.1.1/24", "10.0.0", "::g", "10.0.0.1/33", ""])
def test_what_is_no_network_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        Networks.parse([text])


def test_no_networks_are_false() -> None:
    assert not Networks()
    assert SOME


def test_addresses_are_plain() -> None:
    assert plain("::ffff:192.0.2.1") == plain("192.0.2.1") == "192.0.2.1"
    assert plain("fe80::1%eth0") == "fe80::1"
    assert loopback("127.0.0.1") and loopback("::1") and not loopback("192.0.2.1")


def test_a_client_of_ipv6_has_a_whole_network() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1") == "2001:db8::/64"
    assert neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8::1")
    assert neighbourhood("192.0.2.1") == "192.0.2.1"
