"""What the documents say of settings, capabilities, figures and files is what the code does."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from maa.auth.new_hashes import NEW_SCHEMES
from maa.imap.capabilities import CAPABILITIES
from maa.imap.states import ImapSettings
from maa.message.flags import LETTERS
from maa.networks import Networks
from maa.pop3.states import Pop3Settings
from maa.service.config import Config, Endpoint
from maa.service.reading import understood
from maa.transport.sessions import Limits

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))


def document(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


INSIDE_AUTH = ("password-file", "app-passwords", "saslauthd", "names", "oauth", "gssapi")


def settings(section: Any) -> list[str]:
    """The names of all settings as the file has them, without their tables."""
    names: list[str] = []
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value) and not isinstance(value, Networks):
            inner = settings(value)
            plain = field.name.replace("_", "-")
            dotted = plain in INSIDE_AUTH
            names += [f"{plain}.{one}" if dotted else one for one in inner]
        else:
            names.append(field.name)
    return names


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"^\| `([^`]+)` \|", document("docs/configuration.md"), re.M))
    of_endpoints = {part.name for part in fields(Endpoint)}
    assert described == set(settings(Config())) | of_endpoints


def test_described_defaults_are_the_defaults() -> None:
    text = document("docs/configuration.md")
    config = Config()
    for row in re.findall(r"^\| `([a-z_.-]+)` \| `([^`]+)` \|", text, re.M):
        name, default = row
        if default.startswith('["tcp'):
            continue  # what is usual, not what is the default
        found: Any = None
        for section in (config, config.tls, config.auth, config.mail, config.limits):
            inner, _, key = name.replace("-", "_").rpartition(".")
            holder = getattr(section, inner, None) if inner else section
            found = getattr(holder, key, found)
        shown = default.strip('"')
        expected = tomllib.loads(f"x = {default}")["x"] if default[0] in '["0' else shown
        if isinstance(found, Networks):
            expected = Networks.parse(expected)
        assert (list(found) if isinstance(found, tuple) else found) == expected or str(
            found
        ) == shown, name


def test_the_first_configuration_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", document("README.md"), re.S)
    assert len(block.splitlines()) <= 10
    _, faults = understood(tomllib.loads(block), ROOT)
    assert faults == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_toml_example_is_a_configuration(path: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", path.read_text("utf-8"), re.S):
        table = tomllib.loads("[listen]\nimap = ['tcp:143']\n" + block)
        assert understood(table, ROOT)[1] == []


def test_capabilities_are_those_announced() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| (.+) \| (before|after|before and after) \|",
        document("docs/supported.md"),
        re.M,
    )
    when = {(True, False): "before", (False, True): "after", (True, True): "before and after"}
    assert rows == [
        (row.name.decode(), row.document, when[row.before, row.after]) for row in CAPABILITIES
    ]


def test_figures_are_those_of_the_code() -> None:
    text = document("docs/operations.md")
    source = (ROOT / "maa/service/metrics.py").read_text("utf-8")
    named = set(re.findall(r"`(maa_[a-z_]+)`", text))
    assert named
    assert named <= set(re.findall(r'"(maa_[a-z_]+)"', source))
    limits, imap, pop3 = Limits(), ImapSettings(), Pop3Settings()
    assert f"({limits.connections:,} in all, {limits.strangers:,} not logged in" in text
    assert f"{limits.strangers_per_address} of these from one address" in text
    assert f"{imap.append_limit_octets >> 20} MiB" in text
    assert imap.login_seconds == pop3.login_seconds
    assert f"| silence before login | {imap.login_seconds} seconds" in text
    minutes = f"{imap.idle_seconds // 60:.0f} minutes, {pop3.idle_seconds // 60:.0f} minutes"
    assert minutes in text


def test_flag_letters_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([A-Z]) \| `([^`]+)`", document("docs/mailboxes.md"), re.M)
    assert dict(rows) == LETTERS


def test_schemes_for_new_passwords_are_described() -> None:
    text = document("docs/authentication.md")
    assert all(f"`{scheme}`" in text for scheme in NEW_SCHEMES)


def test_every_table_and_column_of_the_index_is_described() -> None:
    text = document("docs/on-disk-format.md")
    database = sqlite3.connect(":memory:")
    database.executescript((ROOT / "maa/store/schema.sql").read_text("utf-8"))
    tables = [
        row[0]
        for row in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    for table in tables:
        assert f"**{table}**" in text
        for column in database.execute(f"PRAGMA table_info({table})"):
            # The one column of names and ids whose meaning its table's name says.
            if (table, column[1]) not in (("subscription", "name"), ("flag_set", "id")):
                assert f"`{column[1]}`" in text, (table, column[1])
    database.close()


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCS], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target
