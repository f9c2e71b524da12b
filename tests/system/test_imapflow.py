"""imapflow, the IMAP client of node: CONDSTORE, QRESYNC and IDLE where they are offered."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from . import messages
from .messages import as_sent
from .server import Server
from .users import User

HERE = Path(__file__).parent / "imapflow"


@pytest.fixture(scope="session")
def imapflow(base: Path) -> Path:
    """A folder with the program and what it needs, from the npm registry."""
    folder = base / "imapflow"
    shutil.copytree(HERE, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run(command, cwd=folder, check=True, timeout=240)
    return folder


def test_a_round_with_two_sessions(server: Server, user: User, imapflow: Path) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    done = subprocess.run(
        ["node", "round.mjs", str(server.imaps), user.name, user.password, server.certificate],
        cwd=imapflow,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    found = json.loads(done.stdout)
    assert found["server"] == "maa"
    assert {"CONDSTORE", "QRESYNC", "IMAP4REV2"} <= set(map(str.upper, found["enabled"]))
    assert int(found["modseq"]) > 0
    assert ["Sent", "\\Sent"] in found["folders"]
    assert found["exists"] == len(messages.ORDINARY)
    assert sorted(map(base64.b64decode, found["bodies"])) == sorted(map(as_sent, messages.ORDINARY))
    assert found["heardFlags"]
    assert found["heardMail"]
    assert found["heardExpunge"]
    assert found["moved"] == 1
    assert len(found["search"]) == 1
    assert (found["status"]["messages"], found["status"]["unseen"]) == (1, 1)
    assert found["resynced"]
    assert found["vanished"] == [found["deleted"]]
    assert found["flagged"] == 1
    assert found["changed"] == 0
    assert len(user.files()) == len(messages.ORDINARY) - 1
