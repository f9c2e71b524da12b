"""Every IMAP transcript, fed in one piece a part, byte by byte, and in odd pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imap.world import SessionWorld
from tests.transcripts.player import Cut, Transcript, byte_by_byte, play, transcripts, whole


def sevens(data: bytes) -> Iterator[bytes]:
    """Seven octets at a time: neither lines nor literals end where packets do."""
    for place in range(0, len(data), 7):
        yield data[place : place + 7]


@pytest.mark.parametrize("path", transcripts("imap"), ids=lambda path: path.stem)
def test_transcript_over_an_mbox(path: Path, tmp_path: Path) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = SessionWorld.of(transcript, tmp_path, mbox=True)
    try:
        play(transcript, world)
    finally:
        world.close()


@pytest.mark.parametrize("cut", [whole, byte_by_byte, sevens], ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("path", transcripts("imap"), ids=lambda path: path.stem)
def test_transcript(path: Path, cut: Cut, tmp_path: Path) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = SessionWorld.of(transcript, tmp_path)
    try:
        play(transcript, world, cut)
    finally:
        world.close()
