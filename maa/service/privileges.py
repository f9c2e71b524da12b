"""What the process may do once its ports are bound, its keys read: as little as its work needs.

There are two ways to run maa. Where all mail belongs to one uid, `twistd --uid --gid` makes it that
user, and it needs no capability at all. Where users have uids of their own, `run_as` names the
user that the process becomes; it keeps CAP_SETUID and CAP_SETGID, by which its threads take a
user's file-system identity (`maa.store.identity`), and loses all others for good: CAP_DAC_OVERRIDE
and CAP_DAC_READ_SEARCH above all, so that no path that a user laid leads to another's mail.

Whoever could run code in here might still become any user, root's uid included; but without
root's capabilities, for the bounding set and the securebits say that no uid and no program gives
any.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pwd
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_SETPCAP: Final = 8
KEPT: Final = frozenset({CAP_SETGID, CAP_SETUID})
_LAST: Final = Path("/proc/sys/kernel/cap_last_cap")

# prctl(2), capset(2)
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
# uid 0 gives no capability; a change of uid takes none; and both for ever.
_SECUREBITS: Final = 0b1111
_VERSION_3: Final = 0x20080522

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


class CannotDrop(Exception):
    """The process cannot become what it should; says why."""


def shed(run_as: str | None, state: Path, *, remote: bool) -> None:
    """Become `run_as`, and keep no right but to take users' identities. CannotDrop.

    `remote`: other machines reach the service, which root therefore does not give. To be called
    while there is one thread only: capabilities are a thread's own.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        raise CannotDrop("there are threads already, which would keep all rights")
    if os.geteuid() != 0:
        if run_as is not None and _user(run_as).pw_uid != os.geteuid():
            raise CannotDrop(f"run_as: only root can become {run_as}")
        _lock()
        _keep(KEPT & _permitted())
        return
    kept = KEPT & _permitted()
    if run_as is None:
        if remote:
            raise CannotDrop("root does not serve other machines: set run_as, or use twistd --uid")
        _log.warning("serves as root, with few of its rights: set run_as, or use twistd --uid")
        _lock()
        _keep(kept)
        return
    user = _user(run_as)
    if user.pw_uid == 0:
        raise CannotDrop("run_as: not root")
    _give_state(state, user)
    _lock()
    # For the sockets and files of programs it talks to; no thread has them that works for a user.
    os.setgroups(sorted({*os.getgrouplist(user.pw_name, user.pw_gid)} - {user.pw_gid}))
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    _keep(kept)
    if os.getresuid() != (user.pw_uid,) * 3 or _permitted() != kept:
        raise CannotDrop(f"run_as: this process did not become {run_as}")


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise CannotDrop(f"run_as: there is no user {name}") from None


def _give_state(state: Path, user: pwd.struct_passwd) -> None:
    """The directory of the indexes is the user's; it is made where there is none."""
    if not state.exists():
        state.mkdir(mode=0o711, parents=True)
        os.chown(state, user.pw_uid, user.pw_gid)
    for directory in (state, state / "users"):
        if directory.exists() and directory.stat().st_uid != user.pw_uid:
            name = user.pw_name
            raise CannotDrop(f"{directory} does not belong to {name}: chown {name} {directory}")


def _lock() -> None:
    """Nothing that this process does or executes gives it more than is kept."""
    _prctl(_PR_SET_KEEPCAPS, 1)
    if CAP_SETPCAP not in _permitted():  # in some containers; no_new_privs does most of it
        return
    _prctl(_PR_SET_SECUREBITS, _SECUREBITS)
    for capability in range(int(_LAST.read_text()) + 1):
        if capability not in KEPT:
            _prctl(_PR_CAPBSET_DROP, capability)


def _keep(capabilities: Iterable[int]) -> None:
    """Of the capabilities only these, effective and permitted, and none that is inherited."""
    mask = sum(1 << capability for capability in capabilities)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _VERSION_3, 0)
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if _libc.capset(header, data) != 0:
        raise CannotDrop(f"capset: {os.strerror(ctypes.get_errno())}")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _permitted() -> frozenset[int]:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "CapPrm":
            mask = int(value, 16)
            return frozenset(bit for bit in range(64) if mask >> bit & 1)
    raise CannotDrop("the kernel does not say which capabilities this process has")


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        raise CannotDrop(f"prctl {option}: {os.strerror(ctypes.get_errno())}")
