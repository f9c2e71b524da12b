"""maa.auth.verifiers and maa.auth.md5_state: secrets of challenges, from known answers."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac

import passlib.hash
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maa.auth import md5_state, verifiers
from maa.auth.verifiers import NoVerifier, ScramVerifier


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_hmac_md5_from_its_two_states(key: bytes, message: bytes) -> None:
    states = md5_state.hmac_states(key)
    assert md5_state.hmac_md5(states, message) == hmac.digest(key, message, "md5")


def test_the_keys_of_rfc_7677() -> None:
    # RFC 7677 §3: the server's last word there is made with this key.
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = ScramVerifier.of_password(b"pencil", "sha256", salt, 4096)
    exchange = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(verifier.server_key, exchange, "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_verifier_is_read_as_it_was_written() -> None:
    text = verifiers.new_scram(b"sesame", "sha1")
    assert ScramVerifier.parse(text, "sha1").text() == text
    with pytest.raises(NoVerifier):
        ScramVerifier.parse(text, "sha256")


def test_what_a_stored_password_serves() -> None:
    every = {"SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5", "DIGEST-MD5", "PLAIN"}
    assert verifiers.serves("{CLEAR}x") == every
    assert verifiers.serves("{SCRAM-SHA-256}...") == {"SCRAM-SHA-256"}
    assert verifiers.serves("{HMAC-MD5}...") == {"CRAM-MD5"}
    assert verifiers.serves("$6$abc") == verifiers.serves("{SSHA}abc") == frozenset()
    libpass = passlib.hash.scram.using(rounds=4096).hash("sesame")
    assert verifiers.serves(libpass) == {"SCRAM-SHA-1", "SCRAM-SHA-256"}


def test_the_scram_hash_of_libpass_holds_verifiers() -> None:
    stored = passlib.hash.scram.using(rounds=4096).hash("sesame")
    for mechanism, digest in verifiers.SCRAM_DIGESTS.items():
        found = verifiers.scram(stored, mechanism, b"")
        assert found is not None
        assert found == ScramVerifier.of_password(b"sesame", digest, found.salt, 4096)


def test_R034_scram_prepares_a_password_and_leaves_what_it_cannot() -> None:
    assert verifiers.prepared("I\u00adX".encode()) == b"IX"
    assert verifiers.prepared("\u2168".encode()) == b"IX"
    assert verifiers.prepared(b"caf\xe9") == b"caf\xe9"
    assert verifiers.prepared(b"\x07") == b"\x07"


def test_a_digest_md5_secret_is_good_for_its_own_realm() -> None:
    stored = "{DIGEST-MD5}" + hashlib.md5(b"joe:example.org:sesame").hexdigest()
    assert verifiers.digest_md5(stored, "joe", "example.org", "example.org") is not None
    assert verifiers.digest_md5(stored, "joe", "example.org", "example.net") is None
    assert (
        verifiers.digest_md5("{PLAIN}sesame", "joe", "", "example.org")
        == hashlib.md5(b"joe:example.org:sesame").digest()
    )
    assert verifiers.digest_md5("$6$x", "joe", "", "") is None


@example("$scram$", "SCRAM-SHA-256")
@example("$scram$6400$x", "PLAIN")
@given(st.text(max_size=80), st.sampled_from(["SCRAM-SHA-256", "CRAM-MD5", "DIGEST-MD5", "PLAIN"]))
def test_any_text_is_a_verifier_or_told(text: str, scheme: str) -> None:
    stored = f"{{{scheme}}}{text}"
    verifiers.serves(stored)
    for read in (
        lambda: verifiers.scram(stored, "SCRAM-SHA-256", b"salt"),
        lambda: verifiers.cram_md5(stored),
        lambda: verifiers.digest_md5(stored, "joe", "", ""),
    ):
        with contextlib.suppress(NoVerifier):
            read()
