"""maa.auth.names: one rule from login names to accounts, in sendmail's text forms."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.auth.errors import AuthUnavailable
from maa.auth.names import Names, Tables

LOCAL = "# this host\nhost.example.org\nExample.ORG\n\n"
DOMAINS = "old.example\texample.org\n"
ADDRESSES = """\
# address        account
sales@example.org   joe
@example.net        ann
@lists.example      %1@example.org
nobody@example.org  error:nouser No such user here
chain@example.org   sales@example.org
circle@example.org  circle2@example.org
circle2@example.org circle@example.org
"""


@pytest.fixture
def names(tmp_path: Path) -> Names:
    for name, text in (("local", LOCAL), ("domains", DOMAINS), ("addresses", ADDRESSES)):
        (tmp_path / name).write_text(text)
    return Names("", *(str(tmp_path / name) for name in ("local", "domains", "addresses")))


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("joe", "joe"),
        ("joe@host.example.org", "joe"),
        ("joe@HOST.example.org", "joe"),
        ("joe@example.org", "joe"),
        ("joe@old.example", "joe"),
        ("sales@example.org", "joe"),
        ("Sales@Example.Org", "joe"),
        ("sales@old.example", "joe"),
        ("chain@example.org", "joe"),
        ("anybody@example.net", "ann"),
        ("bob@lists.example", "bob"),
        ("sales@lists.example", "joe"),
        ("bob@elsewhere.example", "bob@elsewhere.example"),
        ("Joe", "Joe"),
        ("nobody@example.org", None),
        ("@host.example.org", "@host.example.org"),
    ],
)
def test_every_name_reaches_its_account_by_one_rule(
    names: Names, name: str, account: str | None
) -> None:
    assert names.account(name) == account


def test_a_circle_ends(names: Names) -> None:
    assert names.account("circle@example.org") in ("circle", "circle2")


def test_a_name_that_the_map_makes_longer_time_and_again_is_nobodys() -> None:
    tables = Tables.parse(("", b""), ("", b""), ("", b"@a.example %1.%1.%1.%1@a.example\n"))
    assert tables.account("joe@a.example", "") is None


def test_the_default_domain_is_added_to_what_has_none(tmp_path: Path) -> None:
    assert Names("example.org").account("joe") == "joe@example.org"
    assert Names("example.org").account("joe@example.net") == "joe@example.net"
    (tmp_path / "local").write_text("example.org\n")
    local = Names("Example.org", str(tmp_path / "local"))
    assert local.account("joe") == local.account("joe@example.org") == "joe"
    (tmp_path / "map").write_text("sales@example.org joe\n")
    mapped = Names("example.org", None, None, str(tmp_path / "map"))
    assert mapped.account("sales") == "joe"


def test_without_configuration_a_name_stays_as_it_is() -> None:
    assert Names().account("Joe@Example.Org") == "Joe@Example.Org"


def test_files_are_read_again_when_they_change(names: Names, tmp_path: Path) -> None:
    assert names.account("sales@example.org") == "joe"
    before = names.stamp()
    (tmp_path / "addresses").write_text("sales@example.org bob\n")
    assert names.stamp() != before
    assert names.account("sales@example.org") == "bob"


def test_a_damaged_line_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "map").write_text("lonely\nsales@example.org joe\n")
    names = Names("", None, None, str(tmp_path / "map"))
    with caplog.at_level(logging.WARNING, "maa"):
        assert names.account("sales@example.org") == "joe"
    (message,) = caplog.messages
    assert "map line 1" in message


def test_a_missing_file_makes_nobody_somebody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hosts, table = tmp_path / "hosts", tmp_path / "map"
    hosts.write_text("example.org\n")
    names = Names("", str(hosts), None, str(table))
    with pytest.raises(AuthUnavailable, match="map: No such file"):
        names.account("sales@example.org")
    table.write_text("sales@example.org ann\n")
    assert names.account("sales@example.org") == "ann"
    table.unlink()
    for _ in range(2):
        assert names.account("sales@example.org") == "ann"
    (message,) = caplog.messages
    assert "mean what they meant before" in message
    table.write_text("sales@example.org bob\n")
    assert names.account("sales@example.org") == "bob"


def test_a_file_that_fails_once_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "map"
    table.write_text("sales@example.org ann\n")
    names = Names("", None, None, str(table))
    assert names.account("sales@example.org") == "ann"
    table.write_text("sales@example.org roberta\n")

    def failing(path: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files", path)

    with monkeypatch.context() as patch:
        patch.setattr("maa.auth.names.settled", failing)
        for _ in range(3):
            assert names.account("sales@example.org") == "ann"
    assert len(caplog.messages) == 1
    assert names.account("sales@example.org") == "roberta"


@given(
    st.text("ab@.%1", max_size=12),
    st.dictionaries(st.text("ab@.", max_size=8), st.text("ab@.%1", max_size=8), max_size=5),
    st.dictionaries(st.text("ab.", max_size=4), st.text("ab.", max_size=4), max_size=3),
    st.frozensets(st.text("ab.", max_size=4), max_size=3),
)
def test_any_tables_give_an_answer(
    name: str, addresses: dict[str, str], domains: dict[str, str], local: frozenset[str]
) -> None:
    found = Tables(local, domains, addresses).account(name, "")
    assert found is None or len(found) <= 12 * 2**10
