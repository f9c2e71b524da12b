"""The base subject (RFC 5256 §2.1)."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maa.message.subject import BaseSubject, base_subject, of_text

PIECES = st.lists(
    st.sampled_from(
        [
            "re",
            "Fw",
            "FWD",
            ":",
            "[",
            "]",
            " ",
            "\t",
            "(fwd)",
            "[fwd:",
            "[x]",
            "a",
            "é",
            "re:",
            "[:]",
        ]
    ),
    max_size=14,
).map("".join)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b"hello", BaseSubject("hello", False)),
        (b"  hello \t world ", BaseSubject("hello world", False)),
        (b"Re: hello", BaseSubject("hello", True)),
        (b"RE : fw: Fwd:hello", BaseSubject("hello", True)),
        (b"Re[2]: hello", BaseSubject("hello", True)),
        (b"re [list] : hello", BaseSubject("hello", True)),
        (b"[list] Re: [list] hello (fwd) (FWD)", BaseSubject("hello", True)),
        (b"[list] hello", BaseSubject("hello", False)),
        (b"[list]", BaseSubject("[list]", False)),
        (b"[one][two]", BaseSubject("[two]", False)),
        (b"[fwd: [list] re: hello]", BaseSubject("hello", True)),
        (b"[Fwd: [fwd: hello (fwd)]]", BaseSubject("hello", True)),
        (b"[fwd: hello", BaseSubject("[fwd: hello", False)),
        (b"[fwd: hello] there", BaseSubject("there", False)),
        (b"hello (fwd)", BaseSubject("hello", True)),
        (b"Re:", BaseSubject("", True)),
        (b"", BaseSubject("", False)),
        (b"reply: hello", BaseSubject("reply: hello", False)),
        (b"re [x hello", BaseSubject("re [x hello", False)),
        (b"AW: hello", BaseSubject("AW: hello", False)),  # no translations (§7)
        (b"=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=", BaseSubject("Grüße", True)),
        (b"Re: =?iso-8859-1?q?=5Bx=5D?= y", BaseSubject("y", True)),
    ],
)
def test_base_subjects(subject: bytes, expected: BaseSubject) -> None:
    assert base_subject(subject) == expected


@given(PIECES)
@example("[fwd:[fwd:]]")
def test_the_base_of_a_base_subject_is_itself(subject: str) -> None:
    base = of_text(subject)
    assert of_text(base.text) == BaseSubject(base.text, False)
    assert base.text in " ".join(subject.split())


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_octets_have_a_base_subject(value: bytes) -> None:
    base = base_subject(value)
    assert of_text(base.text).text == base.text


@pytest.mark.parametrize(
    "subject",
    ["[a]" * 40_000 + "x", "[a]" * 40_000, "[fwd:" * 40_000 + "x" + "]" * 40_000, "re:" * 40_000,
     "[" * 100_000, "re [" + "a" * 100_000, "(fwd)" * 40_000, "re [a]" * 40_000, " \t" * 60_000,
     "[fwd:" * 40_000, "re[" * 40_000, "[a] re " * 20_000],
)  # fmt: skip
def test_R225_hostile_subjects_take_linear_time(subject: str) -> None:
    begun = time.process_time()
    of_text(subject)
    assert time.process_time() - begun < 1
