"""maa.auth.hashes: every scheme Dovecot's passwd-files use, from known answers."""

from __future__ import annotations

from collections.abc import Iterator

import passlib.hash
import passlib.registry
import pytest

from maa.auth import hashes, libcrypt, new_hashes, schemes

# "sesame", as `doveadm pw -s SCHEME` of Dovecot 2.3 writes it.
DOVECOT = [
    "{SHA512-CRYPT}$6$Hqy.pKWnYaLK04Qe$F02Qx2EqLpIU2d7XsUsu/0ronX6ZIFNFFmwJl16paOpCGUoUIFJThig0qxGiKLg5KkUkFQQwJTRbQeUkOFi96/",
    "{SHA256-CRYPT}$5$.os9HdlXDRQiFVrR$QNwDRjRm55mM0rxMv0s5asqFC7kOUqVIzBHBpkuXs/0",
    "{MD5-CRYPT}$1$kdhx2MWu$ShBCm/YEojZG9axqr0hIu/",
    "{BLF-CRYPT}$2y$05$1/UvxTZzu5QcPzkqAIi/POJkx5WG6jMzf1g3pj4r0Cg9hAir4cRd2",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$kcCkmme/kJNTZUp8IjLrqA$kVO0GFf8hFKo2hxWPX0lWp5h46g77Iexgre+OEHg358",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$S0/XZfWuGBx53p1j0QRL1w$jDryIvEAb/4ik5R0W9ymLSDry83If3lgihfxI0XHfKI",
    "{PBKDF2}$1$8aj8tptdY1144R7R$5000$9adc920fb61ef28214ed1dbacf573e33f9c62ded",
    "{SSHA}SFv8S5trO8dQ/S7CrVlWfPaqZ+VJNv1l",
    "{SSHA256}6pL+luCCr2KSG0qceoKhdOjOBv4CAw0gcvCQHh4haspsLiV4",
    "{SSHA512}xTZLLSJQMofvAV/Aw3vp5vLH4m+ULSOJw+nC38TXGGPHMc7tzjgdfU2eXBmLe+A7k4o9fqyrpXb8ZYujRRVb/LP190o=",
    "{SSHA256.HEX}d0dbc27fb518273141572afe29a55cdfc438b13d350125656b44342472558706e1ff609e",
    "{SMD5}V9q6nVVp2GCSAdGaPvzUrwNVvLo=",
    "{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=",
    "{SHA256}0MBPSxlR5K6q7IIj7SA55ULzqugFpvp/bXlOWv/10nI=",
    "{SHA512.HEX}bb947e9c96a5620c696bd175a1b28eea6337fa8ca6c3dd19efb65e2cb1a4dfee0256cc87c21589354f1a9f5887af5d23ce05d72a143ae2f1efea9c455bf3d056",
    "{LDAP-MD5}yNrhxQ4JLz2HcZL8VVsdzw==",
    "{PLAIN-MD5}c8dae1c50e092f3d877192fc555b1dcf",
    "{DES-CRYPT}0W846m0Lgwt/s",
    "{CRYPT}$2y$05$Jmzqp8ab.hXkjvpylkgRCekFnxyp1uVIjat9C09J1OKcCtDSeHdLu",
    "{PLAIN}sesame",
    "{SCRAM-SHA-1}4096,8QJ/WFXboy8ZG5FUr9/kmg==,ogEouVuOF6pWpAYAthCX0IluFTI=,AXVN929Dj68a2Rs5wkxwnyl+auE=",
    "{SCRAM-SHA-256}4096,LhMFh2DZbAD/pjVQIFdYug==,RWy/KzOPkBtKOHrQ0s5t1wsWLurYSzgeheyc9IyU+WM=,nRxzF3iFICsaWO2u2Ab51U/5nientr4ls9cuYYpzPFY=",
    "{CRAM-MD5}c06486eb23448c26ecccb57ea835cb2bece48cb9aaeb56d997ef9fc87fc5a563",
    "{HMAC-MD5}c06486eb23448c26ecccb57ea835cb2bece48cb9aaeb56d997ef9fc87fc5a563",
    "{DIGEST-MD5}4aaa815ce7e3689cb6f09badbb8f3211",
    "{MD5}$1$kdhx2MWu$ShBCm/YEojZG9axqr0hIu/",
    "{MD5}yNrhxQ4JLz2HcZL8VVsdzw==",
    "{PLAIN-MD4}e2de92b3cf3e44d0c6cec1d6423f8771",
]
# As other programs store them: openssl passwd -6, yescrypt by libxcrypt, bare traditional crypt.
BARE = [
    "$6$pfVfSce5FBWHxcKS$RtuhT7O3drMY4UKaIL2aQaKDY.i/AapM81LplZu06HjsOM17X4eU20FOS9vp68up35gWdQqhWoCdAeLfbCLAM1",
    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$2XG8TbeFGEUHepjXSRRwTEN/pknneEfp/PquC6DSDN4",
    "0W846m0Lgwt/s",
]
# htpasswd -nbm, -nbB, -nbs and -nbd.
HTPASSWD = [
    "$apr1$KowSof/5$mqmiVspozTGTmEXUMCp88.",
    "$2y$05$1/UvxTZzu5QcPzkqAIi/POJkx5WG6jMzf1g3pj4r0Cg9hAir4cRd2",
    "{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=",
    "0W846m0Lgwt/s",
]
USER = "joe@example.org"
LIBPASS = sorted({*passlib.registry.list_crypt_handlers()} - schemes.NOT_OF_LIBPASS)
"""All that libpass reads but clear passwords, what is no password, and htdigest with its realm."""
CHEAP = {
    "argon2": {"rounds": 1, "memory_cost": 64},
    "bcrypt": {"rounds": 4},
    "bcrypt_sha256": {"rounds": 4},
    "django_argon2": {"rounds": 1, "memory_cost": 64},
    "django_bcrypt": {"rounds": 4},
    "django_bcrypt_sha256": {"rounds": 4},
    "ldap_bcrypt": {"rounds": 4},
    "phpass": {"rounds": 7},
    "bsdi_crypt": {"rounds": 101},
    "ldap_bsdi_crypt": {"rounds": 101},
    "scrypt": {"rounds": 4},
}


def of_libpass(name: str) -> str:
    """ "sesame" in one of libpass's schemes, at little cost."""
    handler = passlib.registry.get_crypt_handler(name)
    cheap = CHEAP.get(name, {"rounds": 1100} if hasattr(handler, "max_rounds") else {})
    more = {"user": USER} if "user" in handler.context_kwds else {}
    return handler.using(**cheap).hash("sesame", **more)


@pytest.mark.parametrize("name", LIBPASS)
def test_every_scheme_of_libpass_is_read(name: str) -> None:
    hashed = of_libpass(name)
    written = hashed if hashed.startswith("{") else f"{{{name.upper().replace('_', '-')}}}{hashed}"
    hashes.ensure_known(written)
    assert hashes.verified(written, b"sesame", USER)
    # Octets that are no UTF-8, and letters that SASLprep forbids, are wrong as any other (R251).
    for wrong in (b"sesam", b"sesam\xff", b"sesam\0", b"sesam\x07", "sesam\ufff9".encode()):
        assert not hashes.verified(written, wrong, USER)
    limit = hashes.significant_octets(written)
    if limit is not None:
        assert not hashes.verified(written, b"sesame" + b"x" * limit, USER)


@pytest.mark.parametrize("name", schemes.BY_FORM)
def test_a_bare_hash_of_libpass_is_told_by_its_form(name: str) -> None:
    stored = of_libpass(name)
    hashes.ensure_known(stored)
    assert hashes.verified(stored, b"sesame", USER)
    assert not hashes.verified(stored, b"sesam", USER)


@pytest.mark.parametrize("stored", HTPASSWD)
def test_hashes_of_an_htpasswd_file(stored: str) -> None:
    hashes.ensure_known(stored)
    assert hashes.verified(stored, b"sesame")
    assert not hashes.verified(stored, b"sesam")


@pytest.mark.parametrize("stored", DOVECOT + BARE, ids=lambda stored: stored[:16])
def test_hashes_of_other_programs_fit_their_password_and_no_other(stored: str) -> None:
    hashes.ensure_known(stored)
    assert hashes.verified(stored, b"sesame", USER)
    assert not hashes.verified(stored, b"sesam", USER)
    assert not hashes.verified(stored, b"sesame2", USER)
    assert not hashes.verified(stored, b"", USER)


@pytest.mark.parametrize("scheme", [*new_hashes.NEW_SCHEMES, "argon2id"])
def test_new_hashes_are_verified_and_salted(scheme: str) -> None:
    stored = new_hashes.new_hash("пароль".encode(), scheme)
    hashes.ensure_known(stored)
    assert hashes.verified(stored, "пароль".encode())
    assert not hashes.verified(stored, b"x")
    if scheme not in ("PLAIN", "CRAM-MD5"):
        assert new_hashes.new_hash("пароль".encode(), scheme) != stored


@pytest.mark.parametrize(
    "stored",
    ["sesame", "{NTLM}abc", "{SSHA}short", "{SSHA}!!!", "{SHA256-CRYPT}", "$nothing$x",
     "{SCRAM-SHA-256}4096,a,b,c", "{SCRAM-SHA-1}0,AAAA,AAAA,AAAA", "{CRAM-MD5}00", "{HTDIGEST}x",
     "{ARGON2ID}$argon2id$rubbish", "{BLF-CRYPT}$2y$rubbish", "{PBKDF2", "", "{}x"],
)  # fmt: skip
def test_what_is_no_hash_is_told_at_once(stored: str) -> None:
    with pytest.raises(hashes.UnknownHash):
        hashes.ensure_known(stored)


def test_R034_bcrypt_never_cuts_a_password_silently() -> None:
    stored = new_hashes.new_hash(b"x" * 72, "BLF-CRYPT")
    assert hashes.verified(stored, b"x" * 72)
    assert not hashes.verified(stored, b"x" * 73)
    with pytest.raises(hashes.PasswordTooLong):
        new_hashes.new_hash(b"x" * 73, "BLF-CRYPT")


def test_R034_traditional_crypt_never_cuts_a_password_silently() -> None:
    stored = libcrypt.crypt_r(b"12345678", "ab")
    assert stored is not None
    assert hashes.verified(stored, b"12345678")
    assert not hashes.verified(stored, b"123456789")


def test_R034_no_hash_ends_at_a_nul() -> None:
    stored = libcrypt.crypt_r(b"x", "$6$abc$")
    assert stored is not None
    assert not hashes.verified(stored, b"x\0y")
    assert not hashes.verified(
        "{BLF-CRYPT}" + "$2y$05$abcdefghijklmnopqrstuuhKF09ZYWwH2zP/0fwE1X8e/Q1YNx/hO", b"x\0y"
    )
    with pytest.raises(hashes.PasswordTooLong):
        new_hashes.new_hash(b"x\0y")


def test_an_unknown_scheme_for_a_new_password_names_the_known_ones() -> None:
    with pytest.raises(hashes.UnknownHash, match="ARGON2ID"):
        new_hashes.new_hash(b"x", "ROT13")


@pytest.mark.parametrize(
    "stored",
    ["{PBKDF2}$1$salt$many$00", "{PBKDF2}$1$salt$0$00", "{PBKDF2}$1$salt$99999999999$00",
     "{PBKDF2}x", "$pbkdf2-sha256$rubbish"],
)  # fmt: skip
def test_a_damaged_pbkdf2_hash_is_told(stored: str) -> None:
    with pytest.raises(hashes.UnknownHash):
        hashes.verified(stored, b"x")


@pytest.mark.parametrize("name", ["pbkdf2_sha1", "pbkdf2_sha256", "pbkdf2_sha512"])
def test_libpass_forms_of_pbkdf2(name: str) -> None:
    stored = getattr(passlib.hash, name).using(rounds=1000).hash("sesame")
    assert hashes.verified(stored, b"sesame")
    assert not hashes.verified("{PBKDF2}" + stored, b"sesam")


@pytest.fixture
def no_libcrypt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(libcrypt, "_library", lambda: None)
    libcrypt.knows.cache_clear()
    yield
    libcrypt.knows.cache_clear()


@pytest.mark.usefixtures("no_libcrypt")
def test_without_libcrypt_libpass_does_what_it_can() -> None:
    for stored in DOVECOT:
        if stored.startswith(("{SHA512-CRYPT}", "{SHA256-CRYPT}", "{MD5-CRYPT}", "{BLF-CRYPT}")):
            hashes.ensure_known(stored)
            assert hashes.verified(stored, b"sesame")
            assert not hashes.verified(stored, b"sesam")
    with pytest.raises(hashes.UnknownHash, match="libcrypt"):
        hashes.ensure_known("$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04")
    with pytest.raises(hashes.UnknownHash, match="libcrypt"):
        new_hashes.new_hash(b"x", "SHA512-CRYPT")
