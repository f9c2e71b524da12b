"""`twistd maa`: its options, and the service they ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from twisted.application.service import Service
from twisted.python import usage

from maa import __version__
from maa.service.reading import ConfigError, load


class Options(usage.Options):
    """The options of `twistd maa`."""

    synopsis = "[--config FILE | --demo DIRECTORY]"
    longdesc = (
        "POP3 and IMAP over the mailboxes that an MDA fills. Without --config: the demo, with "
        "everything under ./var and listeners on loopback only."
    )
    optParameters: ClassVar[list[list[object]]] = [
        ["config", "c", None, "Configuration file (TOML); see config/maa.toml."],
        [
            "demo",
            None,
            None,
            "Folder of the demo, where there is no configuration  [default: ./var]",
        ],
    ]

    def opt_version(self) -> None:
        """Say the version, and exit."""
        print(f"maa {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Both at once make no sense."""
        if self["config"] is not None and self["demo"] is not None:
            raise usage.UsageError("--config or --demo, not both")


def makeService(options: Options) -> Service:
    """The service, complete; nothing listens before it starts."""
    from maa.service import demo  # only the demo makes certificates
    from maa.service.fleet import Fleet
    from maa.service.memory import give_back_large_blocks
    from maa.service.server import Server

    give_back_large_blocks()
    if options["config"] is None:
        folder = Path(options["demo"] or "var").absolute()
        config, help_text = demo.prepared(folder)
        return Server(config, announce=help_text)
    file = Path(options["config"])
    try:
        config = load(file)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    count = config.workers or len(os.sched_getaffinity(0))
    return Server(config, file=file) if count == 1 else Fleet(config, count, file=file)
