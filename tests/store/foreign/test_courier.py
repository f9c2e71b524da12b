"""Courier's files, as Courier-IMAP 5.0 and Courier's POP3 server 1.0 wrote them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.store.foreign import Damaged, courier

FILES = Path(__file__).parent / "files"


def test_uiddb() -> None:
    found = courier.uiddb((FILES / "courierimapuiddb").read_bytes())
    assert (found.uidvalidity, found.uidnext, found.faults) == (795634218, 4, ())
    assert sorted(found.uids.values()) == [1, 2, 3]
    assert all(name.endswith(b".vm,S=15") for name in found.uids)


@pytest.mark.parametrize("data", [b"", b"1 2\n", b"2 5 6\n", b"1 0 1\n", b"1 5 x\n"])
def test_without_a_usable_header_nothing_is_believed(data: bytes) -> None:
    with pytest.raises(Damaged):
        courier.uiddb(data)


def test_sizelist_version_3() -> None:
    names, faults = courier.sizelist((FILES / "courierpop3dsizelist").read_bytes())
    assert faults == () and names is not None
    assert names[b"1795634207.M5P22720.test"] == b"UID1-1795634223"
    assert names[b"1795634223.M14P22720.test"] == b"UID5-1795634223"


def test_sizelist_versions_before() -> None:
    assert courier.sizelist(b"/2 3 77\na:2,S 10 1:77\nb+ 11 2:0\nc+ 12 0:0\n")[0] == {
        b"a": b"UID1-77",
        b"b+": b"UID2",
        b"c+": b"c+2B",
    }
    assert courier.sizelist(b"/1 3\na 10 2\n")[0] == {b"a": b"UID2"}
    assert courier.sizelist(b"a 10\n") == (None, ())
    assert courier.file_uidl(b"a b'\xff+") == b"a+20b+27+FF+2B"


def test_damaged_lines_of_a_sizelist_are_passed_over() -> None:
    names, faults = courier.sizelist(b"/3 9 7\nx\na 1 1:7:0\na 1 2:7:0\n 1 2:7:0\n")
    assert names == {b"a": b"UID1-7"} and len(faults) == 3
    with pytest.raises(Damaged):
        courier.sizelist(b"/x\n")


def test_keywords() -> None:
    data = (FILES / "courierimapkeywords-message").read_bytes()
    assert courier.message_keywords(data) == {"$Label1", "work"}
    listed, faults = courier.keyword_list(b"$Label1\nwork\n\nx:0 1\ny:1\nz:7\n")
    assert listed == {b"x": {"$Label1", "work"}, b"y": {"work"}, b"z": frozenset()}
    assert len(faults) == 1


def test_which_message_a_file_of_keywords_is_about() -> None:
    newest = courier.update_of(b"17.host")
    assert newest is not None and newest[0] == b"17.host"
    older = courier.update_of(b".5985447.17.host:2,S")
    assert older is not None and older[0] == b"17.host" and older[1] < newest[1]
    assert courier.update_of(b":list") is courier.update_of(b".tmp.17.x") is None


def test_subscribed() -> None:
    data = (FILES / "courierimapsubscribed").read_bytes()
    assert courier.subscribed(data) == ["INBOX.Work.Deep", "INBOX.Archéve", "INBOX.nowhere"]


@given(st.binary(max_size=200))
def test_no_octets_break_the_readers(data: bytes) -> None:
    courier.keyword_list(data)
    courier.message_keywords(data)
    courier.update_of(data)
    courier.subscribed(data)
    for read in (courier.uiddb, courier.sizelist):
        try:
            read(data)
        except Damaged:
            continue


@given(st.lists(st.tuples(st.integers(-1, 2**32), st.binary(max_size=6)), max_size=30))
def test_whatever_a_uiddb_says_uids_are_unique_and_below_the_next(
    rows: list[tuple[int, bytes]],
) -> None:
    lines = [b"%d %b" % row for row in rows]
    found = courier.uiddb(b"\n".join([b"1 7 9", *lines]))
    assert len(set(found.uids.values())) == len(found.uids)
    assert all(0 < uid < found.uidnext <= 2**31 for uid in found.uids.values())
