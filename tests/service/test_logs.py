"""What the lower layers log, in Twisted's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from twisted.logger import globalLogPublisher, textFileLogObserver

from maa.service import logs

log = logging.getLogger("maa.store.test")


@pytest.fixture
def written() -> Iterator[StringIO]:
    output = StringIO()
    observer = textFileLogObserver(output)
    globalLogPublisher.addObserver(observer)
    root = logging.getLogger("maa")
    before = root.level, root.propagate
    handler = logs.bridge()
    yield output
    root.removeHandler(handler)
    root.level, root.propagate = before
    globalLogPublisher.removeObserver(observer)


def test_a_record_keeps_its_name_and_level(written: StringIO) -> None:
    log.warning("the disk is %d %% full", 97)
    assert "[maa.store.test#warn] the disk is 97 % full\n" in written.getvalue()


def test_debug_is_left_out(written: StringIO) -> None:
    log.debug("much")
    assert written.getvalue() == ""


def test_R228_nothing_logged_can_begin_a_line_or_steer_a_terminal(written: StringIO) -> None:
    log.info("user %s", "joe\r\nmaa: all is well\x1b[2J\x85\u2028{format}\x00")
    (line,) = written.getvalue().splitlines()
    assert line.endswith(r"user joe\x0d\x0amaa: all is well\x1b[2J\x85\u2028{format}\x00")


def test_R228_lone_surrogates_of_file_names_can_be_logged(written: StringIO) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    record = {"name": log.name, "levelno": logging.INFO, "msg": "file %s", "args": (name,)}
    # Past pytest's own record of what is logged, which cannot go from process to process with it.
    logs.bridge().handle(logging.makeLogRecord(record))
    assert r"file caf\udce9" in written.getvalue()


def test_an_error_comes_with_its_traceback(written: StringIO) -> None:
    try:
        int("why")
    except ValueError:
        log.exception("reference 1234")
    assert "reference 1234" in written.getvalue()
    assert "ValueError: invalid literal" in written.getvalue()


def test_the_bridge_is_built_once(written: StringIO) -> None:
    logs.bridge()
    log.info("once")
    assert written.getvalue().count("once") == 1
