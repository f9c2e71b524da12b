"""Octets for clients: quoting, status lines, response codes."""

from __future__ import annotations

import errno
import re

import pytest

from maa.auth import errors as auth
from maa.imap import responses
from maa.store import errors as store


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"", b'""'),
        (b"plain", b'"plain"'),
        (b'a"b\\c', b'"a\\"b\\\\c"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xe4", b"{1}\r\n\xe4"),
        (b"a\0b", b"{3}\r\na\x80b"),
        (b"x" * 1025, b"{1025}\r\n" + b"x" * 1025),
        (b"x" * 1024, b'"' + b"x" * 1024 + b'"'),
    ],
)
def test_R021_strings_are_quoted_or_literals(value: bytes, sent: bytes) -> None:
    assert responses.string(value) == sent


def test_R018_absent_and_empty_differ() -> None:
    assert responses.nstring(None) == b"NIL"
    assert responses.nstring(b"") == b'""'
    assert responses.nstring(b"NIL") == b'"NIL"'


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"INBOX", b"INBOX"),
        (b"a]b", b"a]b"),
        (b"a b", b'"a b"'),
        (b"", b'""'),
        (b"nil", b'"nil"'),
        (b"a*", b'"a*"'),
        (b"a%", b'"a%"'),
        (b"(", b'"("'),
    ],
)
def test_R021_astrings_are_atoms_where_they_can_be(value: bytes, sent: bytes) -> None:
    assert responses.astring(value) == sent


def test_flag_lists_have_one_order() -> None:
    flags = frozenset({"b", "\\Recent", "\\Seen", "a", "\\Answered"})
    assert responses.flag_list(flags) == b"(\\Answered \\Seen \\Recent a b)"


@pytest.mark.parametrize(
    ("text", "sent"),
    [("", b"failed"), ("[x] y", b"x] y"), ("a\r\nb OK", b"a??b OK"), ("ä", b"?")],
)
def test_R022_text_for_people_is_one_line_of_ascii(text: str, sent: bytes) -> None:
    assert responses.human(text) == sent


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (store.MailboxNotFound("x"), b"NONEXISTENT"),
        (store.MailboxExists("x"), b"ALREADYEXISTS"),
        (store.OverQuota("x"), b"OVERQUOTA"),
        (store.MessageGone("x"), b"EXPUNGEISSUED"),
        (store.Unavailable("x"), b"UNAVAILABLE"),
        (store.StoreError("x"), b"UNAVAILABLE"),
        (auth.BadCredentials("x"), b"AUTHENTICATIONFAILED"),
        (auth.AuthUnavailable("x"), b"UNAVAILABLE"),
        (auth.Expired("x"), b"EXPIRED"),
        (store.NewerIndex("x"), b"CONTACTADMIN"),
        (store.Damaged("x"), b"CORRUPTION"),
        (store.of_system(OSError(errno.EACCES, "no"), "x"), b"NOPERM"),
        (store.of_system(OSError(errno.EROFS, "no"), "x"), b"NOPERM"),
        (store.of_system(OSError(errno.ENOSPC, "no"), "x"), b"OVERQUOTA"),
        (store.of_system(OSError(errno.EDQUOT, "no"), "x"), b"OVERQUOTA"),
        (store.of_system(OSError(errno.EIO, "no"), "x"), b"UNAVAILABLE"),
    ],
)
def test_R033_errors_have_response_codes(error: Exception, code: bytes) -> None:
    found, text = responses.failure(error)
    assert found == code
    assert text.isascii()


def test_every_error_of_the_store_and_of_authentication_has_an_answer() -> None:
    for module, base in ((store, store.StoreError), (auth, auth.AuthError)):
        for kind in vars(module).values():
            # MailboxGone ends the session: it has no tagged answer of its own.
            proper = isinstance(kind, type) and issubclass(kind, base) and kind is not base
            if proper and kind is not store.MailboxGone:
                assert kind in responses.FAILURES


def test_every_refusal_has_a_code_that_is_documented(pytestconfig: pytest.Config) -> None:
    """RFC 5530: what programs are told is part of the interface."""
    documented = set(re.findall(r"^\| `([A-Z0-9-]+)` ", _section(pytestconfig), re.MULTILINE))
    said = {code.decode() for code, _ in responses.FAILURES.values() if code is not None}
    for path in (pytestconfig.rootpath / "maa" / "imap").glob("*.py"):
        said |= set(re.findall(r'Refused\(\s*b"([A-Z0-9-]+)"', path.read_text("utf-8")))
    assert said - documented == set()


def _section(config: pytest.Config) -> str:
    text = (config.rootpath / "docs" / "supported.md").read_text("utf-8")
    return text.split("### Response codes", 1)[1].split("\n## ", 1)[0]
