"""Decoding octets of the character sets that mail uses; an allow-list, never Python's other codecs.

Python calls zlib, idna or unicode_escape codecs as well; a message must not reach those. Names
are as found in mail, with the aliases that occur there.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

Decoder = Callable[[bytes], str]

CHARSETS: Final = frozenset(
    """
    ascii utf-8 utf-7 utf-16 utf-16-be utf-16-le utf-32 utf-32-be utf-32-le
    gb2312 gbk gb18030 hz big5 big5hkscs cp950
    iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext
    shift_jis shift_jis_2004 shift_jisx0213 euc_jp euc_jis_2004 euc_jisx0213 cp932
    euc_kr cp949 johab iso2022_kr
    iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9
    iso8859-10 iso8859-11 iso8859-13 iso8859-14 iso8859-15 iso8859-16 tis-620
    cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874
    koi8-r koi8-u koi8-t kz1048 ptcp154
    cp437 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866
    cp869 cp720 cp1006 cp1125 mac-roman mac-cyrillic mac-greek mac-latin2 mac-turkish mac-iceland
    mac-arabic mac-croatian mac-farsi mac-romanian hp-roman8 palmos
    cp037 cp273 cp424 cp500 cp856 cp875 cp1026 cp1140
    """.split()  # noqa: SIM905 - words read better than a list of strings
)
"""What `codecs.lookup(...).name` may be."""

# What a sender calls X is often a superset of it, which decodes all of X and more.
_WIDER: Final = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
    "ascii": "utf-8",
}
_ALIASES: Final = {
    "gb_2312-80": "gb2312",
    "gb231280": "gb2312",
    "x-gbk": "gbk",
    "cp936": "gbk",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "x-windows-949": "cp949",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-6-i": "iso8859-6",
    "x-sjis": "shift_jis",
    "x-euc-jp": "euc_jp",
    "windows-31j": "cp932",
    "cp-850": "cp850",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "x-unknown": "utf-8",
    "unknown-8bit": "utf-8",
    "x-user-defined": "utf-8",
    "ansi_x3.110-1983": "iso8859-1",
}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.:+-]{0,39}")
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]++")
_RUNS: Final = 1000
"""So many pieces that are not ASCII tell what a text is."""
_ACCENTS: Final = bytes(range(0xC0, 0x100))
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def charset_decoder(name: bytes) -> Decoder | None:
    """A function that decodes octets of this character set and never raises; None if unknown."""
    return _decoder(name.strip().lower()) if len(name) <= 64 else None


@lru_cache(maxsize=256)
def _decoder(name: bytes) -> Decoder | None:
    text = name.decode("ascii", "replace")
    text = _ALIASES.get(text, text)
    if _NAME.fullmatch(text) is None:
        return None
    try:
        codec = codecs.lookup(text)
    except LookupError:
        return None
    if codec.name not in CHARSETS:
        return None
    wider = codecs.lookup(_WIDER.get(codec.name, codec.name))
    if wider.name == "utf-8":
        return guessed

    def decode(data: bytes) -> str:
        return wider.decode(data, "replace")[0]

    return decode


def guessed(data: bytes) -> str:
    """Octets of an unknown character set: UTF-8, else GB18030, else windows-1252 (Q-10).

    UTF-8 may be damaged. Of what is likely none of these only ASCII, and UTF-8, is believed.
    """
    text = _strictly(data, "utf-8")
    if text is not None:
        return text
    text = data.decode("utf-8", "replace")
    damaged = text.count("\N{REPLACEMENT CHARACTER}")
    sound = len(text) - len(text.encode("ascii", "ignore")) - damaged
    if sound and sound >= damaged:
        return text
    runs = [match[0] for match in islice(_BEYOND_ASCII.finditer(data), _RUNS)]
    # A Chinese character is two octets, and words have several; accents stand alone.
    if 2 * sum(len(run) == 1 for run in runs) <= len(runs):
        chinese = _strictly(data, "gb18030")
        if chinese is not None:
            return chinese
    if _is_western(runs) and _BINARY.search(data) is None:
        return data.decode("cp1252", "replace")
    return text


def _is_western(runs: Sequence[bytes]) -> bool:
    """Whether most octets beyond ASCII are accented letters, and most stand between plain ones."""
    octets = b"".join(runs)
    others = len(octets.translate(None, _ACCENTS))
    return 2 * others <= len(octets) and 2 * sum(len(run) < 3 for run in runs) > len(runs)


def _strictly(data: bytes, charset: str) -> str | None:
    try:
        return data.decode(charset)
    except UnicodeDecodeError:
        return None
