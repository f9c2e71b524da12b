"""`python -m tests.fuzz.guided NAME [libFuzzer's options]`: look for findings, guided by coverage.

Begins with the seeds; what it learns goes to var/fuzz/NAME, and octets that are a finding to
./crash-*: they belong into tests/fuzz/seeds/NAME, with the mend.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris

SEEDS = Path(__file__).parent / "seeds"


def main() -> None:
    name, *options = sys.argv[1:]
    # A line for each refusal is most of the time that an input takes.
    logging.disable()
    # What the targets import is what is measured.
    with atheris.instrument_imports(include=["maa", "jwt", "tests.fuzz"]):
        from tests.fuzz.targets import TARGETS
    learned = Path("var/fuzz") / name
    learned.mkdir(parents=True, exist_ok=True)
    seeds = [str(folder) for folder in (learned, SEEDS / name) if folder.is_dir()]
    arguments = [sys.argv[0], "-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", *options, *seeds]
    atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
