"""Hints that directories changed."""

from __future__ import annotations

import gc
import os
import resource
import select
import threading
from pathlib import Path

import pytest

from maa.store.watch import Watcher


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


class Listener:
    """Something that is marked, as a mailbox is."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def mark(self, name: str) -> None:
        self.names.append(name)


def test_nothing_happened_nothing_is_marked(watcher: Watcher, tmp_path: Path) -> None:
    names: list[str] = []
    assert watcher.add(str(tmp_path), names.append) is not None
    watcher.drain()
    assert names == []


def test_R246_whatever_happened_before_drain_is_marked(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "tmp").mkdir()
    names: list[str] = []
    watcher.add(str(tmp_path / "new"), names.append)
    (tmp_path / "tmp" / "1").write_bytes(b"x")
    (tmp_path / "tmp" / "1").rename(tmp_path / "new" / "1")
    watcher.drain()
    assert names == ["1"]
    os.link(tmp_path / "new" / "1", tmp_path / "new" / "2")
    (tmp_path / "new" / "1").unlink()
    watcher.drain()
    assert names == ["1", "2", "1"]


def test_R249_drain_ends_though_it_goes_on_happening(watcher: Watcher, tmp_path: Path) -> None:
    names: list[str] = []

    def mark(name: str) -> None:
        names.append(name)
        if len(names) < 100:
            (tmp_path / str(len(names))).symlink_to("nowhere")

    watcher.add(str(tmp_path), mark)
    (tmp_path / "0").symlink_to("nowhere")
    watcher.drain()
    assert names == ["0"]
    watcher.drain()
    assert names == ["0", "1"]


def test_the_descriptor_is_readable_while_a_hint_waits(watcher: Watcher, tmp_path: Path) -> None:
    readable = select.poll()  # select.select takes no descriptor above 1,023
    readable.register(watcher.fileno(), select.POLLIN)
    watcher.add(str(tmp_path), lambda name: None)
    assert readable.poll(0) == []
    (tmp_path / "a").touch()
    assert readable.poll(5000) != []


def test_one_directory_may_have_several_watches(watcher: Watcher, tmp_path: Path) -> None:
    first, second = Listener(), Listener()
    handle = watcher.add(str(tmp_path), first.mark)
    watcher.add(str(tmp_path), second.mark)
    (tmp_path / "a").mkdir()
    watcher.drain()
    assert handle is not None
    watcher.remove(handle)
    watcher.remove(handle)
    (tmp_path / "b").mkdir()
    watcher.drain()
    assert first.names == ["a"]
    assert second.names == ["a", "b"]


def test_removal_of_the_directory_ends_the_watch(watcher: Watcher, tmp_path: Path) -> None:
    directory = tmp_path / "new"
    directory.mkdir()
    names: list[str] = []
    handle = watcher.add(str(directory), names.append)
    assert handle is not None
    directory.rmdir()
    watcher.drain()
    assert "" in names
    assert not handle.live
    directory.mkdir()
    assert watcher.add(str(directory), names.append) is not None


def test_a_directory_moved_away_ends_the_watch_and_may_be_added_again(
    watcher: Watcher, tmp_path: Path
) -> None:
    directory = tmp_path / "new"
    directory.mkdir()
    names: list[str] = []
    handle = watcher.add(str(directory), names.append)
    assert handle is not None
    directory.rename(tmp_path / "elsewhere")
    watcher.drain()
    assert names == [""]
    assert not handle.live
    again = watcher.add(str(tmp_path / "elsewhere"), names.append)
    watcher.remove(handle)
    (tmp_path / "elsewhere" / "a").mkdir()
    watcher.drain()
    assert again is not None
    assert again.live
    assert names == ["", "a"]


def test_symlinks_files_and_missing_directories_are_not_watched(
    watcher: Watcher, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file", "missing"):
        assert watcher.add(str(tmp_path / name), lambda name: None) is None


def test_an_overflowing_queue_marks_everybody(watcher: Watcher, tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"the queue holds {limit} events: filling it takes too long")
    (tmp_path / "busy").mkdir()
    (tmp_path / "quiet").mkdir()
    quiet: list[str] = []
    watcher.add(str(tmp_path / "busy"), lambda name: None)
    watcher.add(str(tmp_path / "quiet"), quiet.append)
    for number in range(limit // 2 + 10):
        name = tmp_path / "busy" / str(number % 2)
        name.mkdir()
        name.rmdir()
    watcher.drain()
    assert quiet == [""]


def test_a_watch_keeps_nobody_alive(watcher: Watcher, tmp_path: Path) -> None:
    import weakref

    listener = Listener()
    handle = watcher.add(str(tmp_path), listener.mark)
    assert handle is not None
    gone = weakref.ref(listener)
    del listener
    gc.collect()
    assert gone() is None
    (tmp_path / "a").mkdir()
    watcher.drain()
    watcher.add(str(tmp_path), lambda name: None)
    assert not handle.live


def test_many_threads_may_add_remove_and_drain(watcher: Watcher, tmp_path: Path) -> None:
    directories = [tmp_path / str(number) for number in range(4)]
    for directory in directories:
        directory.mkdir()
    faults: list[str] = []

    def work(directory: Path) -> None:
        for number in range(200):
            names: list[str] = []
            handle = watcher.add(str(directory), names.append)
            (directory / str(number)).touch()
            watcher.drain()
            if str(number) not in names or handle is None:
                faults.append(str(number))
                return
            watcher.remove(handle)

    threads = [threading.Thread(target=work, args=(directory,)) for directory in directories * 2]
    for number, thread in enumerate(threads):
        # Two threads at one directory: each has files of its own.
        thread.name = str(number)
    for thread in threads[:4]:
        thread.start()
    for thread in threads[:4]:
        thread.join(60)
    assert faults == []


def test_R246_without_inotify_nothing_is_watched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(tmp_path, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        watcher = Watcher()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "no hints" in caplog.text
    assert watcher.fileno() == -1
    assert watcher.add(str(tmp_path), lambda name: None) is None
    watcher.drain()
    watcher.close()


def test_what_cannot_be_watched_is_said_once(
    watcher: Watcher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert watcher.add(str(tmp_path / ("x" * 300)), lambda name: None) is None
    assert caplog.text.count("no hints") == 1


def test_a_watch_whose_directory_went_away_may_be_removed(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    handle = watcher.add(str(tmp_path / "new"), lambda name: None)
    (tmp_path / "new").rmdir()
    assert handle is not None
    watcher.remove(handle)
    watcher.drain()
    assert not handle.live


def test_after_close_nothing_is_live(watcher: Watcher, tmp_path: Path) -> None:
    handle = watcher.add(str(tmp_path), lambda name: None)
    watcher.close()
    watcher.close()
    assert handle is not None
    assert not handle.live
    assert watcher.fileno() == -1
    watcher.drain()
    assert watcher.add(str(tmp_path), lambda name: None) is None
