"""maa.quirks: the list is whole and proven, and says which clients get what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.cli import main
from maa.quirks import NONE, QUIRKS, Changes, Quirk, chosen, identity_of, understood

TESTS = Path(__file__).parent
ENTRY = {"client": "c", "quirk": "q", "answer": "a", "proof": ["p"]}
IPHONE = {"name": "iPhone Mail", "version": "22C152", "os": "iOS", "os-version": "18.2 (22C152)"}


def test_every_quirk_from_1_to_41_has_an_entry() -> None:
    names = [quirk.id for quirk in QUIRKS]
    assert names == [*(f"Q-{number}" for number in range(1, 42)), "L-28"]


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.id)
def test_every_quirk_is_proven_by_what_carries_its_number(quirk: Quirk) -> None:
    letter, _, number = quirk.id.partition("-")
    for proof in quirk.proof:
        path, _, name = proof.partition("::")
        text = (TESTS / path).read_text("utf-8")
        if name:
            assert name.startswith(f"test_{letter}{int(number):02}_")
            assert re.search(rf"^def {name}\(", text, re.MULTILINE), proof
        else:
            assert Path(path).name.startswith(f"{letter}{int(number):02}-")
            assert quirk.id in text.partition("\nC")[0], f"{path} does not say what it shows"


def test_every_transcript_of_a_quirk_is_named_by_one() -> None:
    folder = TESTS / "transcripts" / "quirks"
    found = {str(path.relative_to(TESTS)) for path in folder.glob("*/*")}
    assert found == {proof for quirk in QUIRKS for proof in quirk.proof if "::" not in proof}


@pytest.mark.parametrize(
    ("identity", "ids"),
    [
        ({}, ()),
        ({"name": "Thunderbird", "version": "128.0"}, ()),
        (IPHONE, ("L-28",)),
        ({"name": "com.samsung.android.email.provider", "os": "android"}, ("L-28",)),
        ({"name": "K-9 Mail", "version": "6.8"}, ("L-28",)),
        ({"NAME": "fairemail"}, ("L-28",)),
        ({"name": "Mac OS X Mail", "version": "2.0.5 (746/746.3)"}, ("Q-1",)),
        ({"name": "mac os x mail", "version": "1.3.11"}, ("Q-1",)),
        ({"name": "Mac OS X Mail", "version": "2.1"}, ()),
        ({"name": "Mac OS X Mail", "version": "16.0 (3731.700.6)"}, ()),
        ({"name": "Mac OS X Mail", "version": "unknown"}, ()),
        ({"name": "Mac OS X Mail"}, ()),
        ({"name": "Some Mail", "version": "1.0"}, ()),
    ],
)
def test_what_is_chosen_by_id(identity: dict[str, str], ids: tuple[str, ...]) -> None:
    assert chosen(identity_of(identity.items())).ids == ids


def test_what_is_chosen_by_what_a_client_asks() -> None:
    assert chosen({}, frozenset({"SUBJECT", "X-MSOESREC"})).changes == Changes(hold_news=True)
    assert chosen({}, frozenset({"SUBJECT"})) == NONE


def test_what_was_chosen_stays_when_more_is() -> None:
    both = chosen(IPHONE) | chosen({}, frozenset({"X-MSOESREC"})) | chosen(IPHONE)
    assert both.ids == ("L-28", "Q-1")
    assert both.changes == Changes(hold_news=True, mobile=True)


@given(st.dictionaries(st.sampled_from(["name", "os", "version", "vendor"]), st.text()))
def test_any_id_chooses_something_or_nothing(identity: dict[str, str]) -> None:
    assert set(chosen(identity).ids) <= {"Q-1", "L-28"}


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"Q1": ENTRY}, "called"),
        ({"Q-1": ENTRY | {"client": ""}}, "texts"),
        ({"Q-1": {"proof": ["p"]}}, "texts"),
        ({"Q-1": ENTRY | {"proof": []}}, "proof"),
        ({"Q-1": ENTRY | {"proofs": ["p"]}}, "unknown: proofs"),
        ({"Q-1": ENTRY | {"when": [{"name": "x"}]}}, "together"),
        ({"Q-1": ENTRY | {"changes": {"mobile": True}}}, "together"),
        ({"Q-1": ENTRY | {"when": [{}], "changes": {"mobile": True}}}, "something"),
        ({"Q-1": ENTRY | {"when": [{"vendor": "x"}], "changes": {"mobile": True}}}, "vendor"),
        ({"Q-1": ENTRY | {"when": [{"name": 1}], "changes": {"mobile": True}}}, "must be a str"),
        ({"Q-1": ENTRY | {"when": [{"name": "x"}], "changes": {"mobile": 1}}}, "must be a bool"),
        ({"Q-1": ENTRY | {"when": [{"name": "x"}], "changes": {"wishes": True}}}, "wishes"),
    ],
)
def test_an_entry_that_says_what_no_quirk_can_is_refused(
    entry: dict[str, dict[str, object]], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        understood(entry)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["quirks", *arguments]) == 0
    return capsys.readouterr().out


def test_the_command_lists_all_with_their_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(said(capsys).split())
    for quirk in QUIRKS:
        assert quirk.id in text
        assert " ".join(quirk.quirk.split()) in text
        assert " ".join(quirk.answer.split()) in text
    assert "FETCH asks for the field X-MSOESRec" in text


@pytest.mark.parametrize(
    "said_id",
    [
        '"name" "iPhone Mail" "os" "iOS"',
        '("name" "iPhone Mail" "version" NIL)',
        "name 'iPhone Mail'",
    ],
)
def test_the_command_says_what_a_client_gets(
    said_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "--id", said_id)
    assert text.startswith("L-28")
    assert "because ID says" in text
    assert "Q-1 " not in text


def test_the_command_says_what_is_chosen_by_behaviour(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--asks", "x-msoesrec").startswith("Q-1 ")
    assert said(capsys, "--id", "NIL") == "none: this client gets what all get\n"


def test_the_command_shows_single_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "q-27").startswith("Q-27 ")
    assert "Q-28" not in said(capsys, "q-27")


@pytest.mark.parametrize(
    "arguments", [["Q-99"], ["--id", "name iPhone Mail"], ["--id", '"name'], ["--id", "name"]]
)
def test_the_command_refuses_what_it_does_not_understand(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quirks", *arguments]) == 2
    assert capsys.readouterr().err.startswith("maa quirks: ")
