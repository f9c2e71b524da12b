"""Dovecot's files, as Dovecot 2.3 wrote them."""

from contextlib import suppress
from hashlib import md5
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.store.foreign import FAULTS_KEPT, Damaged, dovecot

FILES = Path(__file__).parent / "files"
LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda uid, extra, name: b"%d %b:%b" % (uid, extra, name),
            st.integers(0, 2**33),
            st.sampled_from([b"", b"W1 ", b"P ", b"Pold ", b"W1 Px:y G0a "]),
            st.binary(min_size=1, max_size=8),
        ),
    ),
    max_size=20,
)


def test_uidlist_version_3() -> None:
    found = dovecot.uidlist((FILES / "dovecot-uidlist").read_bytes())
    assert (found.uidvalidity, found.uidnext, found.faults) == (1795634208, 6, ())
    assert sorted(found.uids.values()) == [1, 2, 3, 4, 5]
    # An empty P stands for the file's name.
    assert found.uidls == {name: name for name in found.uids}


def test_lines_appended_behind_the_header_count() -> None:
    found = dovecot.uidlist((FILES / "dovecot-uidlist-appended").read_bytes())
    assert (found.uidvalidity, found.uidnext) == (1795634210, 4)
    assert b"1795634208.M65409P22731.vm,S=15,W=18" in found.uids
    assert found.uidls == {}


def test_uidlist_version_1() -> None:
    found = dovecot.uidlist(b"1 1234567890 17\n3 a.b\n16 c:d\n")
    assert (found.uidvalidity, found.uidnext) == (1234567890, 17)
    assert found.uids == {b"a.b": 3, b"c:d": 16}


def test_kept_names_and_guids() -> None:
    data = b"3 V7 N9 G00\n1 W5 Pold-1 Gabc :x\n2 :y:z\n4 S1 Pq:r :w\n"
    found = dovecot.uidlist(data)
    assert found.uids == {b"x": 1, b"y:z": 2, b"w": 4}
    assert found.uidls == {b"x": b"old-1", b"w": b"q:r"}
    assert found.guids == {b"x": b"abc"}


def test_of_two_uids_for_a_message_the_later_counts() -> None:
    found = dovecot.uidlist(b"3 V7 N9 G00\n1 :x\n2 :y\n5 :x\n")
    assert found.uids == {b"x": 5, b"y": 2}
    assert len(found.faults) == 1


@pytest.mark.parametrize(
    "data", [b"", b"2 V1 N1\n", b"3 V0 N1\n", b"3 N1\n", b"3 V7\n", b"3 V9999999999 N2\n", b"\xff"]
)
def test_without_a_usable_header_nothing_is_believed(data: bytes) -> None:
    with pytest.raises(Damaged):
        dovecot.uidlist(data)


def test_damaged_lines_are_passed_over_and_reported() -> None:
    data = b"3 V7 N9 G00\n1 :x\nnonsense\n2 W3\n3 :a/b\n2 :late\n2147483648 :far\n6 :z\n"
    found = dovecot.uidlist(data)
    assert found.uids == {b"x": 1, b"late": 2, b"z": 6}
    assert [text.partition(":")[0].rpartition(" ")[2] for text in found.faults] == list("3457")


def test_of_many_faults_a_few_are_told() -> None:
    found = dovecot.uidlist(b"3 V7 N9\n" + b"?\n" * 1000)
    assert len(found.faults) == FAULTS_KEPT + 1 and "990 more" in found.faults[-1]


@given(LINES)
def test_whatever_a_uidlist_says_uids_are_unique_and_below_the_next(lines: list[bytes]) -> None:
    found = dovecot.uidlist(b"\n".join([b"3 V7 N9 G00", *lines]))
    assert len(set(found.uids.values())) == len(found.uids)
    assert all(0 < uid < found.uidnext <= 2**31 for uid in found.uids.values())
    assert found.uidls.keys() <= found.uids.keys()


@given(st.binary(max_size=200))
def test_no_octets_break_the_readers(data: bytes) -> None:
    for read in (dovecot.keywords, dovecot.subscriptions, dovecot.last_uidvalidity):
        read(data)
    with suppress(Damaged):
        dovecot.uidlist(data)


def test_keywords() -> None:
    assert dovecot.keywords((FILES / "dovecot-keywords").read_bytes()) == (
        {"a": "$Label1", "b": "work", "c": "Junk"},
        (),
    )
    found, faults = dovecot.keywords(b"0 a b\n25 last\n26 beyond\nx y\n3 \\Seen\n")
    assert found == {"z": "last"} and len(faults) == 4


def test_subscriptions() -> None:
    data = (FILES / "dovecot-subscriptions").read_bytes()
    assert dovecot.subscriptions(data) == ["Work\0Deep", "Archéve"]
    assert dovecot.subscriptions(b"Work/Deep\nx.y\n", "/") == ["Work\0Deep", "x.y"]


def test_last_uidvalidity() -> None:
    assert dovecot.last_uidvalidity((FILES / "dovecot-uidvalidity").read_bytes()) == 0x6B073422
    assert dovecot.last_uidvalidity(b"zzz") == 0


@pytest.mark.parametrize(
    ("form", "made"),
    [
        ("%08Xu%08Xv", b"0000001a6b073420"),
        ("%08Xv%08Xu", b"6b0734200000001a"),
        ("%v.%u", b"1795634208.26"),
        ("UID%u-%v", b"UID26-1795634208"),
        ("%f", b"17.M1.host,S=5"),
        ("%Mf", md5(b"17.M1.host,S=5").hexdigest().encode()),
        ("%UMf%%", md5(b"17.M1.HOST,S=5").hexdigest().encode() + b"%"),
        ("%g", b"guid"),
        ("%4v%u", b"179526"),
    ],
)
def test_formats_of_names(form: str, made: bytes) -> None:
    found = dovecot.UidlFormat.parse(form).filled(1795634208, 26, b"17.M1.host,S=5", b"guid")
    assert found == made


@pytest.mark.parametrize("form", ["%m", "%v", "plain", "%q%u", "%u %v", "%u\n", "%", "%uü"])
def test_formats_that_cannot_be_used(form: str) -> None:
    with pytest.raises(ValueError, match=r"known|taken over|one name"):
        dovecot.UidlFormat.parse(form)
