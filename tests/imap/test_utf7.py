"""Modified UTF-7 (RFC 3501 §5.1.3; R094)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap import utf7


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", b"INBOX"),
        ("a&b", b"a&-b"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("😀", b"&2D3eAA-"),
        ("Entwürfe", b"Entw&APw-rfe"),
        ("&&", b"&-&-"),
        ("", b""),
        ('"x"\\ y', b'"x"\\ y'),
    ],
)
def test_R094_names_as_they_are_written(name: str, wire: bytes) -> None:
    assert utf7.encoded(name) == wire
    assert utf7.decoded(wire) == name


@pytest.mark.parametrize(
    "wire",
    [
        b"&",
        b"a&b",
        b"&A-",
        b"&AP-",
        b"&AP",
        b"&2D0-",
        b"&3gA-",
        b"&AAA-",
        b"&AAo-",
        b"\xe4",
        b"&/-",
    ],
)
def test_R094_what_is_no_name(wire: bytes) -> None:
    with pytest.raises(ValueError):
        utf7.decoded(wire)


@pytest.mark.parametrize(
    ("wire", "name"), [(b"&AGE-", "a"), (b"&AOQ-&APY-", "äö"), (b"&ACY-", "&")]
)
def test_spellings_that_are_not_canonical_are_understood(wire: bytes, name: str) -> None:
    assert utf7.decoded(wire) == name


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_name_comes_back(name: str) -> None:
    wire = utf7.encoded(name)
    assert wire.isascii()
    assert utf7.decoded(wire) == name


@given(st.binary(max_size=40))
def test_any_octets_are_a_name_or_a_value_error(wire: bytes) -> None:
    try:
        name = utf7.decoded(wire)
    except ValueError:
        return
    assert utf7.decoded(utf7.encoded(name)) == name
