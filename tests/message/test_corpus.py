"""The scanner against the golden answers of the developers' shared corpus, without a server.

The comparer's own normalisation and its list of debatable answers are used, so a difference
here is one that FETCH would show. Skipped only where the corpus is not beside the repository.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from maa.message.addresses import Address
from maa.message.headers import Envelope, envelope, header_end, selected
from maa.message.octets import WireBytes, crlf
from maa.message.structure import Part, find, scan

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here"),
]

UNQUOTED = "RFC 2045 §5.1: an unquoted boundary with '=' is read whole, not cut there"
DOUBLE = "RFC 2045 §5.1: a doubled semicolon does not hide the boundary behind it"
INNER = "RFC 3501 §6.4.5: only multiparts and messages have parts, so there is no 2.1"
AT_IN_NAME = "RFC 5322 §3.4: the address stands in the angle brackets, what precedes is a name"
EMPTY = "RFC 3501 §6.4.5: without body and blank line none is added"

EXPLAINED = {
    "0689af53870d": DOUBLE,
    "bccae54b6044": DOUBLE,
    "0e0abf5be6bb": UNQUOTED,
    "9e05566cb5df": UNQUOTED,
    "b06cb26f42e2": UNQUOTED,
    "e8005bf226ce": UNQUOTED,
    "36639e481ea2": "RFC 9051 §7.5.2: message/global holds a message, as message/rfc822 does",
    "045797ff4598": INNER,
    "412c9cbf5115": INNER,
    "c64538e72461": INNER,
    "f2fcdf6366ad": INNER,
    "4f50c8832a83": AT_IN_NAME,
    "899682b81975": AT_IN_NAME,
    "e290c1840c10": AT_IN_NAME,
    "edc0eee403a1": AT_IN_NAME,
    "16d91b48dbbe": "RFC 5322 §3.2.5: words that stand together are not parted by blanks",
    "7529b371613a": "several Cc fields are joined, and groups after ';' without ',' kept (R153)",
    "098b355a3ce2": EMPTY,
    "a1d7a52dd0de": EMPTY,
    "e3b0c44298fc": EMPTY,
}
"""Messages where maa and the golden server differ, and why maa keeps to its reading."""


def text(octets: bytes | None) -> str | None:
    return None if octets is None else octets.decode("utf-8", "surrogateescape")


def addresses_value(found: tuple[Address, ...]) -> list[list[str | None]] | None:
    return [[text(a.name), text(a.route), text(a.mailbox), text(a.host)] for a in found] or None


def envelope_value(env: Envelope) -> list[Any]:
    return [
        text(env.date),
        text(env.subject),
        *(
            addresses_value(found)
            for found in (env.from_, env.sender, env.reply_to, env.to, env.cc, env.bcc)
        ),
        text(env.in_reply_to),
        text(env.message_id),
    ]


def parameters_value(parameters: tuple[tuple[bytes, bytes], ...]) -> list[str | None] | None:
    return [text(word) for pair in parameters for word in pair] or None


def extension_value(part: Part) -> list[Any]:
    disposition = part.said.disposition
    return [
        [text(disposition[0]), parameters_value(disposition[1])] if disposition else None,
        [text(tag) for tag in part.said.languages] or None,
        text(part.said.location),
    ]


def structure_value(part: Part) -> list[Any]:
    if part.is_multipart:
        kids = [structure_value(kid) for kid in part.parts]
        return [*kids, text(part.subtype), parameters_value(part.parameters),
                *extension_value(part)]  # fmt: skip
    value: list[Any] = [
        text(part.type),
        text(part.subtype),
        parameters_value(part.parameters),
        text(part.said.content_id),
        text(part.said.description),
        text(part.encoding or b"7BIT"),
        str(part.octets),
    ]
    if part.envelope is not None:
        inner = structure_value(part.parts[0])
        value += [envelope_value(part.envelope), inner, str(part.lines)]
    elif part.type == b"text":
        value.append(str(part.lines))
    return [*value, text(part.said.md5), *extension_value(part)]


class Message:
    """Answers for one message, made of the scanner's results alone."""

    def __init__(self, data: bytes) -> None:
        self.data = crlf(data)
        self.root = scan(WireBytes(self.data))

    def section(self, name: str) -> bytes | None:
        """What BODY[name] is: the parts of FETCH that need no server."""
        numbers, _, rest = name.partition("HEADER.FIELDS")
        words = (numbers.rstrip(".") + ("." if numbers and rest else "")).strip(".").split(".")
        path = tuple(int(word) for word in words if word.isdigit())
        kind = "HEADER.FIELDS" + rest if rest else ".".join(w for w in words if w.isalpha())
        part = find(self.root, path)
        if part is None:
            return None
        if kind == "MIME":
            return self.data[part.header_start : part.body_start]
        if path and kind:
            if not part.is_message:
                return None
            part = part.parts[0]
        header = self.data[part.header_start : part.body_start]
        body = self.data[part.body_start : part.body_end]
        if kind.startswith("HEADER.FIELDS"):
            names = kind[kind.index("(") + 1 : -1].encode().split()
            return selected(header, names, negate=kind.startswith("HEADER.FIELDS.NOT"))
        if kind == "HEADER":
            return header
        if kind == "TEXT" or path:
            return body
        return header + body


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus_compare", CORPUS / "compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def goldens() -> Iterator[dict[str, Any]]:
    with gzip.open(CORPUS / "golden" / "messages.jsonl.gz", "rt") as lines:
        yield from map(json.loads, lines)


def tags_by_id() -> dict[str, list[str]]:
    rows = (line.split("\t") for line in (CORPUS / "MANIFEST.tsv").read_text().splitlines()[1:])
    return {row[1]: row[9].split() for row in rows}


def answers(compare: ModuleType, gold: dict[str, Any]) -> dict[str, Any]:
    message = Message((CORPUS / "eml" / f"{gold['id']}.eml").read_bytes())
    header = message.data[: header_end(message.data)]
    structure = structure_value(message.root)

    def digest(name: str) -> Any:
        octets = message.section(name)
        return None if octets is None else compare.digest(octets)

    return {
        **gold,
        "size": str(len(message.data)),
        "env": envelope_value(envelope(header)),
        "bs": structure,
        "body": structure,
        "sec": {name: digest(name) for name in gold["sec"]},
        "part": gold["part"],
        "bin": {},
    }


def test_the_corpus_is_read_as_the_golden_server_reads_it(compare: ModuleType) -> None:
    rules = json.loads((CORPUS / "debatable.json").read_text())
    report = compare.Report(3, rules, False)
    tags = tags_by_id()
    for gold in goldens():
        asked = {**gold, "bin": {}}
        got = answers(compare, asked)
        compare.compare_message(report, gold["id"], tags[gold["id"]], asked, got)
    assert sum(report.ok.values()) > 50_000
    different = {message_id for _, _, message_id, _, _ in report.all}
    assert different == set(EXPLAINED), report.all
    for category, agreed in report.ok.items():
        assert agreed >= 0.995 * (agreed + report.bad[category]), category
