"""Debian's Courier: its IMAP and POP3 servers themselves, behind a login of our own.

Debian's packages of Courier and Dovecot exclude each other, and its authdaemon is one for the
whole machine. So install.sh unpacks Courier's packages beside, and here a few lines of Python
take the place of imaplogin and pop3login: they answer until somebody is logged in, and then
hand the connection to Courier's own program, as those would.
"""

from __future__ import annotations

import re
import socket
import socketserver
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from .server import UNPACKED
from .users import User

IMAPD = UNPACKED / "courier-imap/usr/bin/imapd"
POP3D = UNPACKED / "courier-pop/usr/lib/courier/courier/courierpop3d"
CAPABILITY = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=REFERENCES SORT IDLE"
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "TCPREMOTEIP": "127.0.0.1",
    "TCPREMOTEPORT": "1",
    "MAILDIRPATH": "Maildir",
    "IMAP_CAPABILITY": CAPABILITY,
    "IMAP_KEYWORDS": "1",
    # Else each command waits a second for a monitor of files that is not there.
    "IMAP_USELOCKS": "0",
    "IMAP_CHECK_ALL_FOLDERS": "0",
    "IMAP_EMPTYTRASH": "Trash:0",
    "IMAP_TRASHFOLDERNAME": "Trash",
    "POP3_PROXY": "0",
}


class _Login(socketserver.StreamRequestHandler):
    rbufsize = 0  # what comes behind the login is Courier's

    def line(self) -> str:
        return self.rfile.readline(8192).decode().rstrip("\r\n")

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def serve(self, user: User, program: Path, **more: str) -> None:
        environment = {
            **ENVIRONMENT,
            "AUTHENTICATED": user.name,
            "AUTHADDR": user.name,
            "AUTHENTICATED_ADDR": user.name,
            "HOME": str(user.home),
            **more,
        }
        self.request.setblocking(True)
        with open(user.home / "courier.log", "ab") as log:
            subprocess.run(
                [program, "Maildir"],
                stdin=self.request,
                stdout=self.request,
                stderr=log,
                cwd=user.home,
                env=environment,
                user=user.uid,
                group=user.uid,
                extra_groups=[],
            )


class _Imap(_Login):
    def handle(self) -> None:
        self.say(f"* OK [CAPABILITY {CAPABILITY}] Courier-IMAP ready.")
        server: Any = self.server
        while line := self.line():
            tag, _, command = line.partition(" ")
            login = re.fullmatch(r'LOGIN "?([^" ]+)"? (.*)', command, re.IGNORECASE)
            if command.upper() == "CAPABILITY":
                self.say(f"* CAPABILITY {CAPABILITY}")
                self.say(f"{tag} OK CAPABILITY completed")
            elif command.upper() == "LOGOUT":
                self.say(f"* BYE\r\n{tag} OK LOGOUT completed")
                return
            elif login is not None and login[1] in server.users:
                words = re.sub(r"\\(.)", r"\1", login[2].strip('"'))
                user = server.users[login[1]]
                assert words == user.password
                self.serve(user, IMAPD, IMAPLOGINTAG=tag, PROTOCOL="IMAP")
                return
            else:
                self.say(f"{tag} BAD not here")


class _Pop3(_Login):
    def handle(self) -> None:
        self.say("+OK Hello there.")
        server: Any = self.server
        user = None
        while line := self.line():
            command, _, argument = line.partition(" ")
            if command.upper() == "USER" and argument in server.users:
                user = server.users[argument]
                self.say("+OK Password required.")
            elif command.upper() == "PASS" and user is not None:
                assert argument == user.password
                self.serve(user, POP3D, PROTOCOL="POP3")
                return
            elif command.upper() == "CAPA":
                self.say("+OK\r\nTOP\r\nUSER\r\nUIDL\r\nPIPELINING\r\n.")
            elif command.upper() == "QUIT":
                self.say("+OK")
                return
            else:
                self.say("-ERR not here")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)
        request.close()


class Courier:
    """Both servers, on free loopback ports."""

    def __init__(self, users: list[User]) -> None:
        self._servers = []
        for handler in (_Imap, _Pop3):
            server = _Server(("127.0.0.1", 0), handler)
            server.users = {user.name: user for user in users}  # type: ignore[attr-defined]
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self._servers.append(server)
        self.imap, self.pop3 = (server.server_address[1] for server in self._servers)

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
