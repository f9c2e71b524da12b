import os
from pathlib import Path

import pytest

from maa.message.flags import ANSWERED, FLAGGED, SEEN
from maa.message.octets import SMALL
from maa.store.directories import rename_exclusively
from maa.store.errors import MessageGone, Unavailable
from maa.store.maildir import Maildir


@pytest.fixture
def maildir(tmp_path: Path) -> Maildir:
    Maildir.create(str(tmp_path))
    return Maildir(str(tmp_path))


def test_only_regular_files_are_messages(tmp_path: Path, maildir: Maildir) -> None:
    (tmp_path / "new" / "1.a").write_bytes(b"x")
    (tmp_path / "cur" / "2.b:2,S").write_bytes(b"x")
    (tmp_path / "new" / ".hidden").write_bytes(b"x")
    os.mkfifo(tmp_path / "new" / "3.fifo")
    (tmp_path / "cur" / "4.dir:2,").mkdir()
    (tmp_path / "cur" / "5.link:2,").symlink_to("/etc/passwd")
    assert maildir.scan().places == {b"new/1.a", b"cur/2.b:2,S"}
    assert maildir.scan(arrivals_only=True).places == {b"new/1.a"}


def test_what_turned_into_a_fifo_or_symlink_is_not_read(tmp_path: Path, maildir: Maildir) -> None:
    os.mkfifo(tmp_path / "new" / "3.fifo")
    (tmp_path / "new" / "5.link").symlink_to("/etc/passwd")
    for place in (b"new/3.fifo", b"new/5.link"):
        with pytest.raises(Unavailable):
            maildir.open(place)
    with pytest.raises(MessageGone):
        maildir.open(b"new/none")


def test_R089_small_files_are_read_in_one_go_with_their_dates(
    tmp_path: Path, maildir: Maildir
) -> None:
    for number in range(4):
        (tmp_path / "new" / f"{number}.a").write_bytes(b"%d\n" % number)
        os.utime(tmp_path / "new" / f"{number}.a", (1000 + number, 1000 + number))
    places = [b"new/%d.a" % number for number in range(4)]
    whole = [(b"%d\n" % number, 1000 + number) for number in range(4)]
    assert list(maildir.contents(places, 100, dates=True)) == whole
    assert list(maildir.contents(places, 3, dates=True)) == whole[:2]
    assert list(maildir.contents([], 100, dates=True)) == []


@pytest.mark.parametrize("kind", ["absent", "link", "fifo", "large"])
def test_reading_in_one_go_ends_before_what_is_to_be_opened(
    tmp_path: Path, maildir: Maildir, kind: str
) -> None:
    for number in (1, 3):
        (tmp_path / "new" / f"{number}.a").write_bytes(b"x")
    odd = tmp_path / "new" / "2.a"
    if kind == "link":
        odd.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(odd)
    elif kind == "large":
        with odd.open("wb") as file:
            file.truncate(SMALL + 1)
    found = list(maildir.contents([b"new/1.a", b"new/2.a", b"new/3.a"], 100, dates=True))
    assert [data for data, _ in found] == [b"x"]
    assert list(maildir.contents([b"new/2.a"], 100, dates=True)) == []


def test_an_arrival_waits_for_its_own_directory(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bytes] = []
    monkeypatch.setattr("maa.store.maildir.flush_directory", flushed.append)
    maildir.flush([b"cur/1.a:2,", b"cur/2.a:2,"])
    assert [path[-4:] for path in flushed] == [b"/cur"]
    maildir.flush()
    assert [path[-4:] for path in flushed[1:]] == [b"/new", b"/cur"]


def test_R241_unknown_letters_and_what_follows_a_comma_are_kept(maildir: Maildir) -> None:
    place = b"cur/1.a,S=5,U=7:2,QSXa,tag"
    assert maildir.wanted_place(place, frozenset({ANSWERED, FLAGGED})) == (
        b"cur/1.a,S=5,U=7:2,FQRXa,tag"
    )
    assert maildir.flags(place) == {SEEN}
    assert maildir.key(place) == b"1.a,S=5,U=7"


def test_R239_a_message_in_new_goes_to_cur_with_a_suffix(maildir: Maildir) -> None:
    assert maildir.wanted_place(b"new/1.a", frozenset()) == b"cur/1.a:2,"
    assert maildir.flags(b"new/1.a") is None


def test_R074_order_of_arrival_is_by_seconds_then_microseconds(
    tmp_path: Path, maildir: Maildir
) -> None:
    (tmp_path / "new" / "msg.Yz7").write_bytes(b"procmail's MH-style name")
    os.utime(tmp_path / "new" / "msg.Yz7", (1500, 1500))
    places = [b"new/2000.M9P1.h", b"new/2000.M10P1.h", b"new/999.V1I2.h", b"new/msg.Yz7"]
    assert sorted(places, key=maildir.order) == [
        b"new/999.V1I2.h",
        b"new/msg.Yz7",
        b"new/2000.M9P1.h",
        b"new/2000.M10P1.h",
    ]


def test_a_rename_never_replaces_a_message(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    with pytest.raises(FileExistsError):
        rename_exclusively(os.fsencode(tmp_path / "a"), os.fsencode(tmp_path / "b"))
    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "b").read_bytes() == b"two"


def test_R243_an_arriving_message_is_in_tmp_until_it_is_settled(
    tmp_path: Path, maildir: Maildir
) -> None:
    arriving = maildir.arriving()
    arriving.write(b"one\r\n")
    arriving.write(b"two")
    place = arriving.finish(frozenset({SEEN}), 1000000000)
    assert len(os.listdir(tmp_path / "tmp")) == 1
    assert maildir.scan().places == set()
    assert maildir.settle([place]) == 1
    assert maildir.scan().places == {place}
    assert os.listdir(tmp_path / "tmp") == []
    descriptor = maildir.open(place)
    assert os.read(descriptor, 100) == b"one\r\ntwo"
    assert maildir.internal_date(descriptor) == 1000000000
    os.close(descriptor)
    assert maildir.settle([place]) == 0


def test_an_aborted_message_leaves_nothing(tmp_path: Path, maildir: Maildir) -> None:
    arriving = maildir.arriving()
    arriving.write(b"x")
    arriving.abort()
    arriving.abort()
    assert os.listdir(tmp_path / "tmp") == []


def test_adopting_and_taking_over_are_all_or_none(tmp_path: Path, maildir: Maildir) -> None:
    path = tmp_path / "other"
    Maildir.create(str(path))
    other = Maildir(str(path))
    (tmp_path / "cur" / "1.a:2,").write_bytes(b"x")
    places = [b"cur/1.a:2,", b"cur/2.b:2,"]
    free = other.free_places([frozenset(), frozenset({SEEN})], maildir, places)
    for bring in (other.adopt, other.take_over):
        with pytest.raises(MessageGone):
            bring(maildir, places, free)
        assert os.listdir(path / "cur") == os.listdir(path / "tmp") == []
        assert os.listdir(tmp_path / "cur") == ["1.a:2,"]
    assert other.take_over(maildir, [b"cur/1.a:2,"], free[1:])
    assert maildir.scan().places == set() and other.scan().places == set(free[1:])
    assert free[1].endswith(b":2,S")


def test_removal_says_what_was_absent(tmp_path: Path, maildir: Maildir) -> None:
    (tmp_path / "cur" / "1.a:2,").write_bytes(b"x")
    (tmp_path / "cur" / "dir").mkdir()
    removal = maildir.remove([b"cur/1.a:2,", b"cur/2.b:2,", b"cur/dir"])
    assert removal.absent == {b"cur/2.b:2,"} and removal.kept == {b"cur/dir"}
    assert removal.error is not None
