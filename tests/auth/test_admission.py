"""maa.auth.admission: what is offered on which connection."""

from __future__ import annotations

import base64
import hmac
from dataclasses import replace
from pathlib import Path

import pytest

from maa.auth.admission import Admission
from maa.auth.credentials import AUTOMATIC, Authenticator
from maa.auth.errors import AuthError, BadCredentials, Throttled
from maa.auth.names import Names
from maa.auth.new_hashes import new_hash
from maa.auth.password_file import PasswordFile
from maa.auth.penalties import Free, Penalties
from maa.auth.sasl import HEAR, PrivacyRequired
from maa.auth.saslauthd import Saslauthd
from tests.auth.exchanges import PEER, Desk

CLEAR = replace(PEER, tls=False)
PASSWORDS = {b"PLAIN", b"LOGIN"}
SCRAM = {b"SCRAM-SHA-256", b"SCRAM-SHA-1"}
PLUS = {b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-1-PLUS"}


def offered(tmp_path: Path, passwords: str, peer=PEER, **choices) -> set[bytes]:
    desk = Desk(tmp_path, passwords, peer, **choices)
    desk.authenticator.load()
    return set(desk.admission.mechanisms())


def test_clear_passwords_serve_every_challenge(tmp_path: Path) -> None:
    passwords = "joe:{PLAIN}x\nann:{CLEAR}y\nsafe:!\n"
    assert offered(tmp_path, passwords) == PASSWORDS | SCRAM | PLUS | {b"CRAM-MD5"}
    # No password crosses, so these do without TLS.
    assert offered(tmp_path, passwords, CLEAR) == SCRAM | {b"CRAM-MD5"}


def test_what_is_offered_works_for_every_user(tmp_path: Path) -> None:
    scram = new_hash(b"x", "SCRAM-SHA-256")
    assert offered(tmp_path, f"joe:{{PLAIN}}x\nann:{scram}\n") == (
        PASSWORDS | {b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS"}
    )
    assert offered(tmp_path, f"joe:{{SHA}}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\nann:{scram}\n") == PASSWORDS
    assert offered(tmp_path, "") == PASSWORDS
    assert offered(tmp_path, "", CLEAR) == set()


def test_what_is_asked_for_by_name_need_work_for_one_user(tmp_path: Path) -> None:
    passwords = "joe:{PLAIN}x\nann:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n"
    wanted = (b"PLAIN", b"CRAM-MD5", b"DIGEST-MD5")
    assert offered(tmp_path, passwords, mechanisms=wanted) == set(wanted)
    nobody = "ann:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n"
    assert offered(tmp_path, nobody, mechanisms=wanted) == {b"PLAIN"}


def test_saslauthd_judges_passwords_only(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("joe:{PLAIN}x\n")
    authenticator = Authenticator(
        [PasswordFile(str(tmp_path / "passwd")), Saslauthd(str(tmp_path / "mux"))]
    )
    authenticator.load()
    assert set(Admission(authenticator, PEER, "imap", "never").mechanisms()) == PASSWORDS


@pytest.mark.parametrize(
    ("passwords", "mechanisms", "apop"),
    [
        ("joe:{PLAIN}x\n", (AUTOMATIC,), True),
        ("joe:{PLAIN}x\nann:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n", (AUTOMATIC,), False),
        ("joe:{PLAIN}x\nann:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n", (b"APOP",), True),
        ("joe:{PLAIN}x\n", (b"PLAIN",), False),
        (f"joe:{new_hash(b'x', 'CRAM-MD5')}\n", (AUTOMATIC,), False),
    ],
)
def test_R197_apop_needs_clear_passwords(
    tmp_path: Path, passwords: str, mechanisms: tuple[bytes, ...], apop: bool
) -> None:
    desk = Desk(tmp_path, passwords, mechanisms=mechanisms)
    desk.authenticator.load()
    assert desk.admission.apop_offered() is apop


def test_where_tls_is_required_nobody_comes_in_without(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "joe:{PLAIN}x\n", CLEAR)
    desk.authenticator.load()
    desk.authenticator.wanted |= {b"APOP"}
    assert desk.admission.mechanisms() and desk.admission.apop_offered()
    strict = replace(desk.admission, tls_required=True, plaintext_login="always")
    assert strict.mechanisms() == () and not strict.apop_offered()
    logins = [strict.by_mechanism(name, None) for name in sorted(SCRAM | {b"CRAM-MD5", b"PLAIN"})]
    logins += [strict.by_apop(b"<1@x>", b"joe", b"0" * 32), strict.by_password("joe", "x")]
    for login in logins:
        with pytest.raises(PrivacyRequired):
            next(login)
    assert replace(strict, peer=PEER).mechanisms()


def refused(desk: Desk, password: str) -> AuthError:
    """How a CRAM-MD5 login as joe ends."""
    talk = desk.admission.by_mechanism(b"CRAM-MD5", None)
    answer: bytes | None = None
    with pytest.raises(AuthError) as caught:
        while True:
            said = talk.send(answer)
            answer = None
            if isinstance(said, bytes):
                challenge = base64.b64decode(said[2:])
            elif said is HEAR:
                digest = hmac.digest(password.encode(), challenge, "md5").hex()
                answer = base64.b64encode(f"joe {digest}".encode())
    return caught.value


def test_R222_an_account_has_one_debt_however_it_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("example.org\n")
    penalties = Penalties(free=Free(per_address=1000, per_account=1))
    names = Names("", str(tmp_path / "hosts"))
    desk = Desk(tmp_path, "joe:{PLAIN}x\n", penalties=penalties, names=names)
    waits = []
    for number, name in enumerate(("joe", "joe@example.org", "joe@Example.org", "joe@EXAMPLE.org")):
        with pytest.raises(BadCredentials) as caught:
            desk.authenticator.check(name, "wrong", "imap", f"192.0.2.{number}")
        waits.append(caught.value.wait_seconds)
    assert waits[0] == 0 < waits[2] < waits[3]


def test_R222_a_wrong_proof_is_a_guess(tmp_path: Path) -> None:
    penalties = Penalties(free=Free(per_address=3, per_account=1))
    desk = Desk(tmp_path, "joe:{PLAIN}x\n", penalties=penalties)
    desk.authenticator.load()
    waits = []
    while not isinstance(error := refused(desk, "wrong"), Throttled):
        assert isinstance(error, BadCredentials) and len(waits) < 20
        waits.append(error.wait_seconds)
    assert waits[0] == 0 and waits[-1] > 0 and waits == sorted(waits)
    # Nor does who guesses learn that the last guess was right.
    assert isinstance(refused(desk, "x"), Throttled)


def test_R222_an_address_in_debt_has_no_work_done_for_it(tmp_path: Path) -> None:
    penalties = Penalties(free=Free(per_address=1, per_account=1))
    desk = Desk(tmp_path, "joe:{PLAIN}x\nann:{PLAIN}y\n", penalties=penalties)
    desk.authenticator.load()
    for number in range(5):
        penalties.failed(PEER.address, f"user{number}", None)
    with pytest.raises(Throttled):
        next(desk.admission.by_mechanism(b"SCRAM-SHA-256", None))
    with pytest.raises(Throttled):
        next(desk.admission.by_apop(b"<banner>", b"joe", bytes(32)))
    # Where ann is known she is heard, and others only until they say who they are.
    penalties.succeeded(PEER.address, "ann")
    talk = desk.admission.by_mechanism(b"SCRAM-SHA-256", base64.b64encode(b"n,,n=ann,r=abc"))
    assert any(b"r=" in base64.b64decode(said[2:]) for said in talk if isinstance(said, bytes))
    talk = desk.admission.by_mechanism(b"SCRAM-SHA-256", base64.b64encode(b"n,,n=joe,r=abc"))
    with pytest.raises(Throttled) as caught:
        list(talk)
    assert caught.value.name == "joe"


def test_R033_the_right_proof_from_a_forbidden_network_makes_nobody_known(tmp_path: Path) -> None:
    penalties = Penalties(free=Free(per_address=4, per_account=100))
    passwords = "joe:{PLAIN}x::::::allow_nets=198.51.100.0/24\n"
    desk = Desk(tmp_path, passwords, penalties=penalties)
    desk.authenticator.load()
    for number in range(3):
        penalties.failed(PEER.address, f"user{number}", None)
    waits = [refused(desk, password).wait_seconds for password in ("wrong", "x", "wrong", "x")]
    assert waits == sorted(waits) and waits[-1] > waits[1]
    with pytest.raises(Throttled):
        penalties.wait_seconds(PEER.address, "joe")


def test_R028_a_password_in_the_clear_is_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path, "joe:{PLAIN}secret\n", replace(CLEAR, address="198.51.100.27"))
    desk.authenticator.load()
    with pytest.raises(PrivacyRequired):
        next(desk.admission.by_password("joe", "secret"))
    initial = base64.b64encode(b"\0joe\0secret")
    other = replace(desk.admission, peer=replace(CLEAR, address="198.51.100.28"))
    with pytest.raises(PrivacyRequired):
        next(other.by_mechanism(b"PLAIN", None))
    with pytest.raises(PrivacyRequired):
        next(other.by_mechanism(b"PLAIN", initial))
    lines = [record.getMessage() for record in caplog.records if "anybody" in record.getMessage()]
    assert len(lines) == 2 and "'joe'" in lines[0]
    assert "secret" not in caplog.text and "198.51.100.28" in lines[1]
