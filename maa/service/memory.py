"""Large blocks go back to the kernel when they are freed."""

from __future__ import annotations

import ctypes
from typing import Final

LARGE_OCTETS: Final = 4 << 20
"""Regular expressions over 64 KiB take blocks of a MiB or two, too often for a mapping each."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def give_back_large_blocks() -> None:
    """Have each large block be a mapping of its own, and as much at an arena's end be given back.

    glibc raises both sizes with the largest block that was ever freed, to 32 MiB and more: then
    every thread's arena keeps for good what one hostile message needed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_OCTETS)
        mallopt(_M_TRIM_THRESHOLD, LARGE_OCTETS)
