"""Addresses and networks, as operators write them and as sockets say them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

_MAPPED: Final = "::ffff:"


def plain(host: str) -> str:
    """An address without a zone, and an IPv4 address that IPv6 sockets show as `::ffff:` plain."""
    if host.startswith(_MAPPED) and "." in host:
        return host[len(_MAPPED) :]
    return host.partition("%")[0]


def loopback(host: str) -> bool:
    """Whether a plain address is this machine's own."""
    return host.startswith("127.") or host == "::1"


@dataclass(frozen=True, slots=True)
class Networks:
    """Some networks; false when there are none."""

    v4: tuple[IPv4Network, ...] = ()
    v6: tuple[IPv6Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Networks:
        """Of `192.168.1.0/24`, `2001:db8::/32` or single addresses; ValueError says what is bad."""
        v4: list[IPv4Network] = []
        v6: list[IPv6Network] = []
        for text in texts:
            network = ip_network(text)
            if isinstance(network, IPv4Network):
                v4.append(network)
            else:
                inner = _unmapped(network)
                if inner is None:
                    v6.append(network)
                else:
                    v4.append(inner)
        return cls(tuple(v4), tuple(v6))

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def __contains__(self, host: str) -> bool:
        """Whether an address is in one of them; what is no address is in none."""
        address = _address(host)
        if isinstance(address, IPv4Address):
            return any(address in network for network in self.v4)
        return address is not None and any(address in network for network in self.v6)


def neighbourhood(host: str) -> str:
    """What one client can have of addresses: one of IPv4, a /64 of IPv6 (RFC 4291 §2.5.4)."""
    if ":" not in host:
        return host
    address = _address(host)
    if not isinstance(address, IPv6Address):
        return host if address is None else str(address)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def site(host: str) -> str | None:
    """What a customer can have at most, where that is more: a /48 of IPv6 (RFC 6177)."""
    address = _address(host) if ":" in host else None
    if not isinstance(address, IPv6Address):
        return None
    return str(IPv6Network((int(address) >> 80 << 80, 48)))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(plain(host))
    except ValueError:
        return None


def _unmapped(network: IPv6Network) -> IPv4Network | None:
    inner = network.network_address.ipv4_mapped
    if inner is None or network.prefixlen < 96:
        return None
    return IPv4Network((inner, network.prefixlen - 96))


NOWHERE: Final = Networks()
LOOPBACK: Final = Networks.parse(["127.0.0.0/8", "::1"])
