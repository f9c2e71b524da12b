"""maa.service.audit_file: what is kept when more happens than the disk takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maa import audit
from maa.conversation import Peer
from maa.service import audit_file
from maa.service.audit_file import AuditFile

PEER = Peer("192.0.2.7", tls=True, loopback=False, session="s")


def test_R228_what_strangers_can_have_written_leaves_room_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_file, "WAITING_MAX", 10)
    kept = AuditFile(tmp_path / "audit.log")
    # The thread that writes begins late, as behind a slow disk.
    monkeypatch.setattr(kept._thread, "start", lambda: None)
    kept.start()
    try:
        for _ in range(100):
            audit.note(audit.REFUSED, PEER, "nobody", why="guess")
        for _ in range(100):
            audit.note(audit.LOGIN, PEER, "joe", mechanism="PLAIN")
        monkeypatch.undo()
        kept._thread.start()
    finally:
        kept.stop()
    lines = (tmp_path / "audit.log").read_text().splitlines()
    events = [json.loads(line.lstrip("\x1e"))["event"] for line in lines]
    assert sorted(events) == ["left-out", *["login"] * 5, *["refused"] * 5]
