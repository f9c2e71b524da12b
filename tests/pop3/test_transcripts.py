"""Every POP3 transcript, fed in one piece a part, and byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pop3.world import World
from tests.transcripts.player import Cut, Transcript, byte_by_byte, play, transcripts, whole

NO_MBOX = ("retr-odd-messages", "Q05-header-without-end")


@pytest.mark.parametrize("path", transcripts("pop3"), ids=lambda path: path.stem)
def test_transcript_over_an_mbox(path: Path, tmp_path: Path) -> None:
    if path.stem in NO_MBOX:
        pytest.skip("no mbox can have a header without end, or a last line without one")
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = World.of(transcript, tmp_path, mbox=True)
    try:
        play(transcript, world)
    finally:
        world.close()


@pytest.mark.parametrize("cut", [whole, byte_by_byte], ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("path", transcripts("pop3"), ids=lambda path: path.stem)
def test_transcript(path: Path, cut: Cut, tmp_path: Path) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = World.of(transcript, tmp_path)
    try:
        play(transcript, world, cut)
    finally:
        world.close()
