"""What is given up at the start; the rest is proved by tests/system/test_privileges.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maa.service.config import Endpoint
from maa.service.privileges import CannotDrop, shed

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give anything up")
_SHED = """
import json, os, sys
from pathlib import Path
from maa.service.privileges import CannotDrop, shed
try:
    shed(sys.argv[1] or None, Path(sys.argv[2]), remote=bool(sys.argv[3:]))
except CannotDrop as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
lines = Path("/proc/self/status").read_text().splitlines()
found = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
try:
    os.setuid(0)
    again = Path("/proc/self/status").read_text()
except PermissionError:
    again = ""
print(json.dumps({"before": found, "uid": os.getuid(), "again": again}))
"""


def shed_by(run_as: str, state: Path, *remote: str) -> dict[str, object]:
    """In a process of its own."""
    command = [sys.executable, "-c", _SHED, run_as, str(state), *remote]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@ROOT
def test_R253_what_was_root_keeps_two_capabilities_and_gets_none_back(tmp_path: Path) -> None:
    found = shed_by("daemon", tmp_path / "state")
    before = found["before"]
    assert isinstance(before, dict)
    assert int(before["CapEff"], 16) == int(before["CapPrm"], 16) == 0b11000000
    assert int(before["CapBnd"], 16) & ~0b11000000 == 0
    # Back at uid 0, which CAP_SETUID allows: no more than before.
    assert found["uid"] == 0
    assert "CapEff:\t00000000000000c0" in str(found["again"])
    assert (tmp_path / "state").owner() == "daemon"


@ROOT
def test_R253_root_without_a_user_to_become_loses_its_rights_all_the_same(tmp_path: Path) -> None:
    before = shed_by("", tmp_path)["before"]
    assert isinstance(before, dict)
    assert before["CapEff"] == "00000000000000c0"


@ROOT
def test_R253_root_serves_no_other_machine(tmp_path: Path) -> None:
    assert "root does not serve" in str(shed_by("", tmp_path, "remote")["error"])
    assert "before" in shed_by("daemon", tmp_path / "state", "remote")


@pytest.mark.parametrize(
    ("endpoint", "remote"),
    [
        ("tcp:143", True),
        ("tcp6:143", True),
        ("tcp:143:interface=10.0.0.1", True),
        ("tcp:143:interface=127.0.0.1", False),
        ("tcp:143:backlog=5:interface=127.0.0.53", False),
        (r"tcp6:143:interface=\:\:1", False),
        (r"tcp6:143:interface=\:\:", True),
        ("tcp:143:interface=", True),
        ("unix:/run/imap", False),
        ("systemd:domain=INET:index=0", True),
    ],
)
def test_whether_other_machines_reach_an_endpoint(endpoint: str, remote: bool) -> None:
    assert Endpoint(endpoint).remote is remote


@ROOT
@pytest.mark.parametrize(
    ("run_as", "told"),
    [("no-such-user", "there is no user no-such-user"), ("daemon", "does not belong to daemon")],
)
def test_what_cannot_be_become_is_told(run_as: str, told: str, tmp_path: Path) -> None:
    assert told in str(shed_by(run_as, tmp_path)["error"])


def test_threads_would_keep_their_rights(tmp_path: Path) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        with pytest.raises(CannotDrop, match="there are threads already"):
            shed(None, tmp_path, remote=False)
    finally:
        end.set()
        thread.join()
