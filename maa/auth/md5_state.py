"""MD5 from the middle: what {CRAM-MD5} stores is not a password but two states of the hash.

HMAC begins with one block made of the key (RFC 2104 §2). Whoever has the state of MD5 after that
block, for the inner and the outer hash, can compute every HMAC with the key, without the key:
that is how Dovecot keeps secrets for CRAM-MD5. hashlib neither gives a state away nor takes one,
so the compression function stands here (RFC 1321 §3.4); a login costs four calls of it.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import Final

State = tuple[int, int, int, int]

BLOCK_OCTETS: Final = 64
_BEGIN: Final[State] = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SINES: Final = tuple(int(abs(math.sin(i + 1)) * 2**32) for i in range(64))
_SHIFTS: Final = (
    (7, 12, 17, 22) * 4 + (5, 9, 14, 20) * 4 + (4, 11, 16, 23) * 4 + (6, 10, 15, 21) * 4
)  # fmt: skip
_MASK: Final = 0xFFFFFFFF


def compressed(state: State, block: bytes) -> State:
    """The state after one block more."""
    words = struct.unpack("<16I", block)
    a, b, c, d = state
    for i in range(64):
        if i < 16:
            mixed, word = (b & c) | (~b & d), i
        elif i < 32:
            mixed, word = (d & b) | (~d & c), (5 * i + 1) % 16
        elif i < 48:
            mixed, word = b ^ c ^ d, (3 * i + 5) % 16
        else:
            mixed, word = c ^ (b | (~d & _MASK)), (7 * i) % 16
        total = (a + (mixed & _MASK) + _SINES[i] + words[word]) & _MASK
        shift = _SHIFTS[i]
        turned = ((total << shift) | (total >> (32 - shift))) & _MASK
        a, b, c, d = d, (b + turned) & _MASK, b, c
    first, second, third, fourth = state
    return (first + a) & _MASK, (second + b) & _MASK, (third + c) & _MASK, (fourth + d) & _MASK


def finished(state: State, rest: bytes) -> bytes:
    """The digest of one block that led to `state`, and of `rest` behind it."""
    octets = BLOCK_OCTETS + len(rest)
    padded = rest + b"\x80" + bytes(-(len(rest) + 9) % BLOCK_OCTETS) + struct.pack("<Q", 8 * octets)
    for at in range(0, len(padded), BLOCK_OCTETS):
        state = compressed(state, padded[at : at + BLOCK_OCTETS])
    return struct.pack("<4I", *state)


def hmac_states(key: bytes) -> tuple[State, State]:
    """The states after the blocks that begin the outer and the inner hash of HMAC-MD5."""
    if len(key) > BLOCK_OCTETS:
        key = hashlib.md5(key, usedforsecurity=False).digest()
    key = key.ljust(BLOCK_OCTETS, b"\0")
    outer = bytes(octet ^ 0x5C for octet in key)
    inner = bytes(octet ^ 0x36 for octet in key)
    return compressed(_BEGIN, outer), compressed(_BEGIN, inner)


def hmac_md5(states: tuple[State, State], message: bytes) -> bytes:
    """HMAC-MD5 of the message with the key of the states (RFC 2104)."""
    outer, inner = states
    return finished(outer, finished(inner, message))
