"""What deliveries that never ended left in a Maildir's `tmp` (maildir(5), R243)."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Final

OLD_SECONDS: Final = 36 * 3600
"""No delivery takes longer; maildir(5) has the number."""

_log = logging.getLogger(__name__)


def remove_leftovers(maildir: str) -> int:
    """Remove regular files that nobody wrote to for 36 hours; how many there were.

    To be called after a scan has settled what the index knows. What cannot be removed stays.
    """
    before = time.time() - OLD_SECONDS
    removed = 0
    with suppress(OSError), os.scandir(os.path.join(maildir, "tmp")) as entries:
        for entry in entries:
            with suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                # A message that is being appended has the time that its client gave it.
                touched = max(found.st_mtime, found.st_ctime)
                if entry.is_file(follow_symlinks=False) and touched < before:
                    os.unlink(entry.path)
                    removed += 1
    if removed:
        _log.info("%s/tmp: %d files that deliveries left were removed", maildir, removed)
    return removed
