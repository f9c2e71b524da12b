"""Address lists: plain, grouped, commented, obsolete and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.addresses import GROUP_END, Address, parse


def mailbox(name: bytes | None, local: bytes, host: bytes, route: bytes | None = None) -> Address:
    return Address(name, route, local, host)


def group(name: bytes) -> Address:
    return Address(None, None, name, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b" , ,", []),
        (b"a@b", [mailbox(None, b"a", b"b")]),
        (b"<a@b>", [mailbox(None, b"a", b"b")]),
        (b"A  B <a.c@d.example>", [mailbox(b"A B", b"a.c", b"d.example")]),
        (b'"Doe, J." <j@d>,k@e', [mailbox(b"Doe, J.", b"j", b"d"), mailbox(None, b"k", b"e")]),
        (b"J. Q. Doe <j@d>", [mailbox(b"J. Q. Doe", b"j", b"d")]),
        (b"=?utf-8?q?J=C3=BC?= <j@d>", [mailbox(b"=?utf-8?q?J=C3=BC?=", b"j", b"d")]),
        (b"\xb2\xe2\xca\xd4 <j@d>", [mailbox(b"\xb2\xe2\xca\xd4", b"j", b"d")]),
        (b"a . b @ c . d", [mailbox(None, b"a.b", b"c.d")]),
        (b"a@[192.0.2.1]", [mailbox(None, b"a", b"[192.0.2.1]")]),
        (b'"a b"@c', [mailbox(None, b"a b", b"c")]),
    ],
)
def test_R152_mailboxes(text: bytes, expected: list[Address]) -> None:
    assert parse(text) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"undisclosed-recipients:;", [group(b"undisclosed-recipients"), GROUP_END]),
        (b"A Team: a@b, C <c@d>; e@f",
         [group(b"A Team"), mailbox(None, b"a", b"b"), mailbox(b"C", b"c", b"d"), GROUP_END,
          mailbox(None, b"e", b"f")]),
        (b"x@y, open: a@b", [mailbox(None, b"x", b"y"), group(b"open"),
                             mailbox(None, b"a", b"b"), GROUP_END]),
        (b"one: a@b; two:;", [group(b"one"), mailbox(None, b"a", b"b"), GROUP_END,
                              group(b"two"), GROUP_END]),
    ],
)  # fmt: skip
def test_R152_groups_have_a_start_and_an_end(text: bytes, expected: list[Address]) -> None:
    assert parse(text) == tuple(expected)


@pytest.mark.parametrize("text", [b"joe", b"<joe>", b"joe@", b"<joe@>", b"joe, "])
def test_R152_a_mailbox_without_host_is_no_group(text: bytes) -> None:
    (found,) = parse(text)
    assert (found.mailbox, found.host) == (b"joe", b"")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a@b (Joe)", mailbox(b"Joe", b"a", b"b")),
        (b"(x) a@b (Joe (the (tall)) one)", mailbox(b"Joe (the (tall)) one", b"a", b"b")),
        (b"Joe (x) <a@b> (y)", mailbox(b"Joe", b"a", b"b")),
        (b"<a@b> (Joe)", mailbox(b"Joe", b"a", b"b")),
        (rb'"a \"q\" \\ b" <a@b>', mailbox(rb'a "q" \ b', b"a", b"b")),
        (b"a(comment)@b(other)", mailbox(b"other", b"a", b"b")),
        (b"<a (c)@ (c) b>", mailbox(None, b"a", b"b")),
        (rb"a@b (\) paren)", mailbox(b") paren", b"a", b"b")),
        (b"<@x,@y:a@b>", mailbox(None, b"a", b"b", b"@x,@y")),
        (b"N <@x:a@b>", mailbox(b"N", b"a", b"b", b"@x")),
    ],
)
def test_R154_comments_quoted_pairs_and_routes(text: bytes, expected: Address) -> None:
    assert parse(text) == (expected,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a@b c@d", [mailbox(None, b"a", b"b")]),
        (b"a@b>", [mailbox(None, b"a", b"b")]),
        (b"x@y <a@b>, c@d", [mailbox(b"x@y", b"a", b"b"), mailbox(None, b"c", b"d")]),
        (b"N <a@b, c@d", [mailbox(b"N", b"a", b"b"), mailbox(None, b"c", b"d")]),
        (b'" " <a@b>', [mailbox(b"", b"a", b"b")]),
        (b'"open <a@b>', [mailbox(None, b"open <a@b>", b"")]),
        (b"<>", [mailbox(None, b"", b"")]),
        (b"N <@x", [mailbox(b"N", b"", b"", b"@x")]),
        (b"N <@x>", [mailbox(b"N", b"", b"", b"@x")]),
        (b"@", [mailbox(None, b"", b"")]),
    ],
)
def test_broken_addresses_show_what_can_be_read(text: bytes, expected: list[Address]) -> None:
    assert parse(text) == tuple(expected)


@given(st.text(alphabet='a.@<>()[]"\\,;: \t\x00é', max_size=60))
def test_addresses_of_any_octets_are_well_formed(text: str) -> None:
    open_groups = 0
    for found in parse(text.encode()):
        if found.host is None:
            open_groups += 1 if found.mailbox is not None else -1
            assert found.name is None and found.route is None
            assert open_groups in (0, 1)
        else:
            assert found.mailbox is not None
    assert open_groups == 0


ATOM = st.text(alphabet="abcXYZ019-_!#", min_size=1, max_size=8)


@given(st.lists(st.tuples(ATOM, st.lists(ATOM, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_the_quick_and_the_tolerant_reader_agree(people: list[tuple[str, list[str]]]) -> None:
    hosts = [".".join(part.strip("!#") or "x" for part in host) for _, host in people]
    written = [f"{name} <{name}@{host}>" for (name, _), host in zip(people, hosts, strict=True)]
    plain = parse(", ".join(written).encode())
    assert plain == parse(("(comment) , " + ", ".join(written)).encode())
    assert [(a.mailbox, a.host) for a in plain] == [
        (name.encode(), host.encode()) for (name, _), host in zip(people, hosts, strict=True)
    ]
