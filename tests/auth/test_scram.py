"""maa.auth.scram against a client of RFC 5802."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maa.auth.decoys import Decoys
from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials, Disabled, NotAuthorised
from maa.auth.mechanisms import MECHANISMS
from maa.auth.new_hashes import new_hash
from maa.auth.sasl import Malformed
from maa.auth.verifiers import ScramVerifier, Shape
from maa.conversation import TlsFacts
from maa.user import User
from tests.auth.exchanges import PEER, Desk
from tests.auth.scram_client import ScramClient

FACTS = TlsFacts("TLSv1.3", "x", None, (), b"exported octets", b"hash of a certificate")
BOUND = replace(PEER, tls_facts=lambda: FACTS)


def passwords() -> str:
    return "".join(
        f"{name}:{stored}\n"
        for name, stored in (
            ("joe", "{PLAIN}sesame"),
            ("ann", new_hash(b"sesame", "SCRAM-SHA-256")),
            ("eve", new_hash(b"sesame", "SCRAM-SHA-1")),
            ("comma,name", "{PLAIN}x"),
            ("hash", "$apr1$KowSof/5$mqmiVspozTGTmEXUMCp88."),
            ("old", "!{PLAIN}sesame"),
            ("bad", "{SCRAM-SHA-256}rubbish"),
            ("admin", "{PLAIN}sesame"),
        )
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, passwords(), BOUND, proxies=("admin",))


def logged_in(desk: Desk, name: bytes, client: ScramClient) -> User:
    exchange = MECHANISMS[name].begin(desk.admission)
    answers: list[Callable[[bytes], bytes]] = [
        lambda said: client.first,
        client.final,
        lambda said: b"" if said == client.signature else b"the server does not know the secret",
    ]
    said = next(exchange)
    try:
        while True:
            said = exchange.send(answers.pop(0)(said) if isinstance(said, bytes) else b"")
    except StopIteration as end:
        assert not answers
        return end.value


@pytest.mark.parametrize(
    ("mechanism", "digest", "name"),
    [
        (b"SCRAM-SHA-256", "sha256", "joe"),
        (b"SCRAM-SHA-256", "sha256", "ann"),
        (b"SCRAM-SHA-1", "sha1", "joe"),
        (b"SCRAM-SHA-1", "sha1", "eve"),
    ],
)
def test_client_and_server_prove_each_other_the_secret(
    desk: Desk, mechanism: bytes, digest: str, name: str
) -> None:
    assert logged_in(desk, mechanism, ScramClient(name, "sesame", digest)) == User(name)
    with pytest.raises(BadCredentials) as refused:
        logged_in(desk, mechanism, ScramClient(name, "sesam", digest))
    assert refused.value.name == name


@pytest.mark.parametrize("name", ["nobody", "hash", "eve", "../x", "safe"])
def test_R033_a_name_without_a_secret_is_asked_on_like_any_other(desk: Desk, name: str) -> None:
    salts = set()
    for _ in range(2):
        salts.add(challenge(desk, name).split(b",s=")[1])
    assert len(salts) == 1
    with pytest.raises(BadCredentials):
        logged_in(desk, b"SCRAM-SHA-256", ScramClient(name, "sesame"))


@pytest.mark.parametrize("iterations", [10_000, 4096])
def test_R033_a_name_without_a_secret_has_a_salt_and_costs_like_those_with_one(
    tmp_path: Path, iterations: int
) -> None:
    made = ScramVerifier.of_password(b"sesame", "sha256", bytes(24), iterations).text()
    desk = Desk(tmp_path, f"ann:{{SCRAM-SHA-256}}{made}\njoe:{{SCRAM-SHA-256}}{made}\n", BOUND)
    shown = {name: challenge(desk, name) for name in ("ann", "joe", "nobody", "../x")}
    assert {said.rpartition(b",i=")[2] for said in shown.values()} == {b"%d" % iterations}
    salts = [said.split(b",s=")[1].partition(b",")[0] for said in shown.values()]
    assert {len(base64.b64decode(salt)) for salt in salts} == {24}
    assert len(set(salts)) == 3


def test_the_shape_of_a_decoy_stays_while_users_come() -> None:
    few = {Shape(4096, 16, clear=False), Shape(10_000, 24, clear=False)}
    decoys = Decoys(lambda: b"secret")
    names = [f"user{number}" for number in range(50)]
    before = [decoys.shape(name, few) for name in names]
    assert set(before) == few
    new = Shape(5000, 16, clear=True)
    after = [decoys.shape(name, {*few, new}) for name in names]
    assert new in after
    assert all(now in (then, new) for then, now in zip(before, after, strict=True))


def challenge(desk: Desk, name: str) -> bytes:
    exchange = MECHANISMS[b"SCRAM-SHA-256"].begin(desk.admission)
    next(exchange)
    said: object = exchange.send(ScramClient(name, "sesame").first)
    while not isinstance(said, bytes):
        said = exchange.send(b"")
    return said


def test_a_disabled_user_hears_so_only_with_the_proof(desk: Desk) -> None:
    with pytest.raises(Disabled):
        logged_in(desk, b"SCRAM-SHA-256", ScramClient("old", "sesame"))
    with pytest.raises(BadCredentials):
        logged_in(desk, b"SCRAM-SHA-256", ScramClient("old", "sesam"))


def test_R251_a_damaged_secret_is_no_wrong_password(desk: Desk) -> None:
    with pytest.raises(AuthUnavailable):
        logged_in(desk, b"SCRAM-SHA-256", ScramClient("bad", "sesame"))


@pytest.mark.parametrize(
    ("kind", "octets"),
    [(b"tls-exporter", FACTS.exporter), (b"tls-server-end-point", FACTS.server_end_point)],
)
def test_plus_binds_to_the_connection(desk: Desk, kind: bytes, octets: bytes) -> None:
    bound = ScramClient("joe", "sesame", header=b"p=%b,," % kind, bound=octets)
    assert logged_in(desk, b"SCRAM-SHA-256-PLUS", bound) == User("joe")
    elsewhere = ScramClient("joe", "sesame", header=b"p=%b,," % kind, bound=b"of another one")
    with pytest.raises(BadCredentials, match="binding"):
        logged_in(desk, b"SCRAM-SHA-256-PLUS", elsewhere)


@pytest.mark.parametrize(
    ("mechanism", "header"),
    [
        (b"SCRAM-SHA-256-PLUS", b"n,,"),
        (b"SCRAM-SHA-256-PLUS", b"y,,"),
        (b"SCRAM-SHA-256-PLUS", b"p=tls-unique,,"),
        (b"SCRAM-SHA-256", b"p=tls-exporter,,"),
        (b"SCRAM-SHA-256", b"x,,"),
        (b"SCRAM-SHA-256", b""),
        (b"SCRAM-SHA-256", b"n,joe,"),
    ],
)
def test_a_wrong_header_is_malformed(desk: Desk, mechanism: bytes, header: bytes) -> None:
    with pytest.raises(Malformed):
        logged_in(desk, mechanism, ScramClient("joe", "sesame", header=header))


def test_who_hides_plus_from_a_client_is_found_out(tmp_path: Path) -> None:
    client = ScramClient("joe", "sesame", header=b"y,,")
    bound = Desk(tmp_path, "joe:{PLAIN}sesame\n", BOUND)
    bound.authenticator.load()
    with pytest.raises(Malformed, match="PLUS"):
        logged_in(bound, b"SCRAM-SHA-256", client)
    clear = Desk(tmp_path, "joe:{PLAIN}sesame\n", replace(PEER, tls=False))
    clear.authenticator.load()
    assert logged_in(clear, b"SCRAM-SHA-256", client) == User("joe")


def test_R032_authzid(desk: Desk) -> None:
    nobody_else = ScramClient("joe", "sesame", header=b"n,a=,")  # as libgsasl has it
    assert logged_in(desk, b"SCRAM-SHA-256", nobody_else) == User("joe")
    as_joe = ScramClient("admin", "sesame", header=b"n,a=joe,")
    assert logged_in(desk, b"SCRAM-SHA-256", as_joe) == User("joe")
    with pytest.raises(NotAuthorised):
        logged_in(desk, b"SCRAM-SHA-256", ScramClient("joe", "sesame", header=b"n,a=ann,"))


def test_names_are_escaped(desk: Desk) -> None:
    # No account can have such a name, but it must arrive as it is.
    with pytest.raises(BadCredentials) as refused:
        logged_in(desk, b"SCRAM-SHA-256", ScramClient("comma=2Cname=3D", "x"))
    assert refused.value.name == "comma,name="
    with pytest.raises(Malformed):
        logged_in(desk, b"SCRAM-SHA-256", ScramClient("stray=name", "x"))


def decoded(final: bytes) -> tuple[bytes, bytes]:
    """Base64 of 32 octets has bits to spare, which mean nothing."""
    bare, _, proof = final.rpartition(b",p=")
    try:
        return bare, base64.b64decode(proof)
    except ValueError:
        return final, b""


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bent_messages_never_log_in(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    desk = Desk(tmp_path_factory.mktemp("bent"), "joe:{PLAIN}sesame\n", BOUND)
    client = ScramClient("joe", "sesame")
    exchange = MECHANISMS[b"SCRAM-SHA-256"].begin(desk.admission)
    next(exchange)

    def bent(message: bytes) -> bytes:
        at = data.draw(st.integers(0, len(message) - 1))
        return message[:at] + data.draw(st.binary(max_size=3)) + message[at + 1 :]

    first = data.draw(st.booleans())
    try:
        said: object = exchange.send(bent(client.first) if first else client.first)
        while not isinstance(said, bytes):
            said = exchange.send(b"")
        final = client.final(said)
        wrong = bent(final)
        if first or decoded(wrong) == decoded(final):
            return
        said = exchange.send(wrong)
        while not isinstance(said, bytes):
            said = exchange.send(b"")
    except (Malformed, AuthError, AssertionError):
        return
    raise AssertionError(wrong)
