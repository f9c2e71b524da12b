"""Encoded words, raw octets, character sets, folding."""

from __future__ import annotations

import codecs
import unicodedata
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.charsets import CHARSETS, charset_decoder, guessed
from maa.message.words import base64_octets, casemapped, decoded, folded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe_an?= alle", "Grüße an alle"),
        (b"Re: =?UTF-8?B?R3LDvMOfZQ==?=", "Re: Grüße"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=\t=?utf-8?q?c?= d", "abc d"),
        (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        (b"=?utf-8?b?5rWL?= =?utf-8?b?6K+V?=", "测试"),
        (b"=?utf-8?b?5rWL6A==?= =?utf-8?b?r5U=?=", "测试"),  # a character cut in two
        (b"=?gb2312?B?suLK1A==?=", "测试"),
        (b"=?utf-8?q?a?= =?gb2312?b?suI=?=", "a测"),
        (b"=?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=", "テスト"),
        (b"=?iso-8859-1*de?q?=FC?=", "ü"),
        (b"=?x-nonsense?q?=41=C3=BC?=", "Aü"),
        (b"=?zlib?b?eJw=?=", "x\N{REPLACEMENT CHARACTER}"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?not ended", "=?utf-8?q?not ended"),
        (b"=?utf-8?q?what??=", "what?"),
        ("测试".encode(), "测试"),
        ("测试".encode("gbk"), "测试"),
        (b"caf\xe9", "café"),
    ],
)
def test_header_text_is_decoded_for_search(value: bytes, text: str) -> None:
    assert decoded(value) == text


PIECES = [b"=?", b"?=", b"utf-8", b"gb2312", b"?q?", b"?b?", b"=41", b"5rWL", b" ", b"\xe6", b"=\0"]


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_octets_are_decoded(value: bytes) -> None:
    assert isinstance(decoded(value), str)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"", b""),
        (b"QUJD", b"ABC"),
        (b"QUI=", b"AB"),
        (b"QUI", b"AB"),
        (b"Q", b""),
        (b"QU\r\nJD\r\n", b"ABC"),
        (b"QUI=QUI=", b"ABAB"),
        (b"QUI=\r\n\r\n-- \r\nsignature", b"AB" + base64_octets(b"signature")),
        (b"QU*JD", b"ABC"),
        (b"====", b""),
    ],
)
def test_base64_is_read_as_far_as_it_can_be(text: bytes, octets: bytes) -> None:
    assert base64_octets(text) == octets


@given(st.binary(max_size=200))
def test_base64_comes_back(data: bytes) -> None:
    assert base64_octets(b64encode(data)) == data
    base64_octets(data)


@pytest.mark.parametrize(
    ("one", "other"),
    [("STRASSE", "straße"), ("É", "e\N{COMBINING ACUTE ACCENT}"), ("ａ", "A"), ("ПРИВЕТ", "привет"),
     ("Σ", "ς"), ("ABC", "abc")],
)  # fmt: skip
def test_folding_makes_equal_what_people_take_for_equal(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize(
    "name", [b"zlib", b"hex", b"idna", b"punycode", b"unicode_escape", b"raw_unicode_escape",
             b"rot13", b"base64", b"bz2", b"uu", b"undefined", b"mbcs", b"../x", b"", b"x" * 100,
             b"utf-8\0", b"\xff"]
)  # fmt: skip
def test_only_text_character_sets_are_decoded(name: bytes) -> None:
    assert charset_decoder(name) is None


@pytest.mark.parametrize("name", sorted(CHARSETS))
def test_every_character_set_decodes_any_octets(name: str) -> None:
    assert codecs.lookup(name).name == name
    decode = charset_decoder(name.encode())
    assert decode is not None
    for octets in (bytes(range(256)), b"\xff" * 9, b"\x1b$B\xff", b"+AAA-+/", b"\xd8\x00", b""):
        assert isinstance(decode(octets), str)


@pytest.mark.parametrize(
    ("name", "octets", "text"),
    [
        (b"GB2312", "镕".encode("gbk"), "镕"),  # not in GB 2312, but sent as such
        (b"gb18030", "测".encode("gb18030"), "测"),
        (b"Big5", "測試".encode("big5"), "測試"),
        (b"EUC-KR", "한국".encode("euc-kr"), "한국"),
        (b"ks_c_5601-1987", "한".encode("cp949"), "한"),
        (b"ISO-2022-JP", "日本".encode("iso2022_jp"), "日本"),
        (b"Shift_JIS", "①".encode("cp932"), "①"),
        (b"iso-8859-1", b"\x93x\x94", "“x”"),
        (b"windows-1251", "тест".encode("cp1251"), "тест"),
        (b"us-ascii", "ü".encode(), "ü"),
        (b" UTF-8 ", "ü".encode(), "ü"),
        (b"utf-7", b"+AOQ-", "ä"),
    ],
)
def test_Q10_character_sets_as_senders_mean_them(name: bytes, octets: bytes, text: str) -> None:
    decode = charset_decoder(name)
    assert decode is not None
    assert decode(octets) == text


@given(st.sampled_from(sorted(CHARSETS)), st.binary(max_size=12))
def test_character_sets_never_raise(name: str, octets: bytes) -> None:
    decode = charset_decoder(name.encode())
    assert decode is not None
    decode(octets)


def test_octets_without_a_name_are_guessed() -> None:
    assert guessed(b"ascii") == "ascii"
    assert guessed("测试".encode()[:-1]) == "测\N{REPLACEMENT CHARACTER}"
    assert guessed("测试".encode("gbk")) == "测试"
    assert guessed(b"\xff\xfe") == "ÿþ"


def test_damaged_UTF8_is_still_UTF8() -> None:
    assert guessed("Grüße".encode() + b"\xaa") == "Grüße\N{REPLACEMENT CHARACTER}"
    assert guessed(b"\xfcber \xe4rger und \xc3\xbc") == "über ärger und Ã¼"


def test_accents_are_not_taken_for_Chinese() -> None:
    assert guessed("für Verträge".encode("cp1252")) == "für Verträge"
    assert guessed("测试a测b 试".encode("gbk")) == "测试a测b 试"


@pytest.mark.parametrize(
    "octets",
    [
        "Узнай как зарабатывать".encode("cp1251"),
        "電子メール広告社".encode("shift_jis"),
        b"=ybegin\n\x01\xd6 \x02\xf6",
        b"\x93x\x94",
    ],
)
def test_what_is_likely_no_text_of_the_west_has_no_accents(octets: bytes) -> None:
    assert not set(guessed(octets)) & set("äöüÄÖÜéè“”")


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("hello_World", "HELLO_WORLD"),
        ("Grüße", "GRU\u0308ßE"),  # a sharp s has no title case of one character
        ("\u01c6", "Dz\u030c"),  # title case, not upper case
        ("ﬁ", "fi"),
        ("\uff41\u2026", "A..."),
        ("\u10d0", "\u10d0"),
        ("ŉß", "\u02bcnß"),
        ("σς", "ΣΣ"),
        ("각", "\u1100\u1161\u11a8"),
    ],
)
def test_RFC5051_text_is_in_title_case_and_decomposed(text: str, mapped: str) -> None:
    assert casemapped(text) == mapped


def test_RFC5051_only_simple_mappings_are_used() -> None:
    for number in (*range(0xD800), *range(0xE000, 0x20000)):
        character = chr(number)
        title = character.title()
        simple = title if len(title) == 1 else character
        assert casemapped(character) == (
            simple.upper() if character.isascii() else unicodedata.normalize("NFKD", simple)
        )


@given(st.text(), st.text())
def test_RFC5051_characters_are_mapped_one_by_one(one: str, other: str) -> None:
    both = casemapped(one) + casemapped(other)
    assert casemapped(one + other) == unicodedata.normalize("NFKD", both)
