"""The header in which a balancer says whose connection it passes on (PROXY protocol, v1 and v2).

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt; whether the balancer is to be
believed is not decided here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

V1_OCTETS_MAX: Final = 107
"""Of a line with its CRLF, as the specification has it."""
V2_OCTETS_MAX: Final = 4096
"""Of what follows the first 16 octets: addresses, and what else the balancer tells."""
_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = struct.Struct("!12sBBH")
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_NO_ADDRESS: Final = (0x00, 0x31)  # unspecified; a Unix socket of the balancer's
_PORT_MAX: Final = 65535


class NoHeader(Exception):
    """What came is no header of the PROXY protocol; says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says, and how long it was."""

    octets: int
    host: str = ""
    """The client's address; empty: the connection is the balancer's own (a health check)."""
    port: int = 0


def read(data: bytes) -> Header | None:
    """The header at the beginning; None: it is not whole yet. NoHeader."""
    for start, parse in ((_V1, _v1), (_V2, _v2)):
        if data[: len(start)] == start[: len(data)]:
            return parse(data) if len(data) >= len(start) else None
    raise NoHeader("it does not begin like one")


def _v1(data: bytes) -> Header | None:
    end = data.find(b"\n", 0, V1_OCTETS_MAX)
    if end < 0:
        if len(data) >= V1_OCTETS_MAX:
            raise NoHeader("its line has no end")
        return None
    match = _LINE.fullmatch(data[: end + 1])
    if match is None:
        raise NoHeader("its line is damaged")
    family, source, target, *ports = match.groups()
    if family is None:
        return Header(end + 1)
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        host, _ = kind(source.decode("ascii")), kind(target.decode("ascii"))
    except ValueError:
        raise NoHeader("it has no valid addresses") from None
    if max(map(int, ports)) > _PORT_MAX:
        raise NoHeader("it has no valid ports")
    return Header(end + 1, _plain(host), int(ports[0]))


def _v2(data: bytes) -> Header | None:
    if len(data) < _V2_HEAD.size:
        return None
    _, command, family, octets = _V2_HEAD.unpack_from(data)
    if command not in (_LOCAL, _PROXY):
        raise NoHeader(f"version and command are {command:#x}")
    if octets > V2_OCTETS_MAX:
        raise NoHeader(f"it has {octets} octets")
    end = _V2_HEAD.size + octets
    if len(data) < end:
        return None
    if command == _LOCAL or family in _NO_ADDRESS:
        return Header(end)
    kind, size = (IPv4Address, 4) if family == _TCP4 else (IPv6Address, 16)
    if family not in (_TCP4, _TCP6) or octets < 2 * size + 4:
        raise NoHeader(f"it has {octets} octets for addresses of the family {family:#x}")
    host = kind(data[_V2_HEAD.size : _V2_HEAD.size + size])
    (port,) = struct.unpack_from("!H", data, _V2_HEAD.size + 2 * size)
    return Header(end, _plain(host), port)


def _plain(host: IPv4Address | IPv6Address) -> str:
    """As `maa.networks.plain`: balancers that listen by IPv6 show IPv4 clients mapped."""
    return str(getattr(host, "ipv4_mapped", None) or host)
