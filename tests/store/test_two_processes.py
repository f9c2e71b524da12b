"""Two real processes at work on one account at once: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maa.message.flags import Flags
from maa.store.mailbox import Mailbox
from maa.store.snapshot import StoreMode
from store.boxes import Boxes
from store.mboxes import Mboxes

KINDS = {"Boxes": Boxes, "Mboxes": Mboxes}
TURNS = 120
SECONDS = 60


def main(kind: str, root: str, name: str) -> None:
    """One process: random work on its own and the other's messages; then what it did and sees."""
    boxes = KINDS[kind](Path(root), neighbours=True)
    mailbox = boxes.mailbox()
    rng = random.Random(name)
    print("ready", flush=True)
    sys.stdin.readline()
    given: list[int] = []
    removed: list[int] = []
    recent: list[int] = []
    view = mailbox.view(claim_recent=True)
    for turn in range(TURNS):
        if not mailbox.fresh():
            mailbox.sync()
        uids = list(mailbox.snapshot.uids)
        choice = rng.random()
        if choice < 0.4 or not uids:
            incoming = mailbox.incoming()
            incoming.write(f"Subject: {name} {turn}\r\n\r\nbody\r\n".encode())
            given.append(incoming.commit(Flags({f"${name}"})))
        elif choice < 0.6:
            mailbox.store([rng.choice(uids)], StoreMode.ADD, Flags({f"${name}{turn % 3}"}))
        elif choice < 0.7:
            removed += mailbox.remove([rng.choice(uids)])
        elif choice < 0.85:
            mailbox.tidy()
        else:
            view, _ = view.refresh(expunges=True)
            recent += [uid for uid in view.uids if uid in view.recent and uid not in recent]
    print(json.dumps({"given": given, "removed": removed, "recent": recent}), flush=True)
    sys.stdin.readline()
    print(json.dumps(state(mailbox)), flush=True)
    sys.stdin.readline()
    boxes.ledger.close()


def state(mailbox: Mailbox) -> dict[str, Any]:
    snapshot = mailbox.sync()
    return {
        "flags": {str(uid): sorted(snapshot.flags(p)) for p, uid in enumerate(snapshot.uids)},
        "modseqs": list(snapshot.modseqs),
        "uidnext": snapshot.uidnext,
        "highest": snapshot.highest_modseq,
    }


class Process:
    def __init__(self, kind: str, root: Path, name: str) -> None:
        folder = str(Path(__file__).resolve().parents[1])
        call = f"from store.test_two_processes import main; main({kind!r}, {str(root)!r}, {name!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r}); {call}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_at_once_have_one_history(tmp_path: Path, kind: str) -> None:
    names = ("left", "right")
    processes = [Process(kind, tmp_path, name) for name in names]
    try:
        for process in processes:
            assert process.line() == "ready\n"
        for process in processes:
            process.go_on()
        one, other = (json.loads(process.line()) for process in processes)
        for process in processes:
            process.go_on()
        states = [json.loads(process.line()) for process in processes]
        assert states[0] == states[1]
        # R074, R075: no UID was given twice, and each process's own ascend.
        given = one["given"] + other["given"]
        assert len(set(given)) == len(given)
        assert all(done["given"] == sorted(done["given"]) for done in (one, other))
        # What was acknowledged is there, unless one of them removed it.
        kept = set(given) - set(one["removed"]) - set(other["removed"])
        assert {int(uid) for uid in states[0]["flags"]} == kept
        for name, done in zip(names, (one, other), strict=True):
            for uid in kept.intersection(done["given"]):
                assert f"${name}" in states[0]["flags"][str(uid)]
        assert not set(one["recent"]) & set(other["recent"])  # R081
        assert states[0]["uidnext"] == max(given) + 1
        assert max(states[0]["modseqs"]) <= states[0]["highest"]
        for process in processes:
            process.go_on()
            assert process.process.wait(SECONDS) == 0
    finally:
        for process in processes:
            process.process.kill()
            process.process.communicate()
    boxes = KINDS[kind](tmp_path)
    mailbox = boxes.mailbox()
    assert state(mailbox) == states[0]
    assert len(mailbox.maildrop.scan().places) == len(kept)
    boxes.ledger.close()
    boxes.watcher.close()
