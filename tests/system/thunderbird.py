"""Thunderbird without a screen, with an account in its profile, driven through Marionette."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .marionette import Marionette
from .server import Server
from .users import CLIENT, User, give

SCRIPT = (Path(__file__).parent / "thunderbird.js").read_text("utf-8")
START_SECONDS = 40
SCRIPT_SECONDS = 20
ALWAYS_OFFLINE = 3
QUIET: dict[str, Any] = {
    "marionette.port": 0,
    "app.donation.eoy.version.viewed": 999,
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "mail.chat.enabled": False,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mailnews.database.global.indexer.enabled": False,
    "mailnews.start_page.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "offline.autoDetect": False,
    "offline.startup_state": ALWAYS_OFFLINE,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
TLS_SOCKET, PASSWORD = 3, 3


def account(server: Server, user: User) -> dict[str, Any]:
    """The preferences that the account assistant would write."""
    one = "mail.server.server1."
    return {
        "mail.accountmanager.accounts": "account1,account2",
        "mail.accountmanager.defaultaccount": "account1",
        "mail.accountmanager.localfoldersserver": "server2",
        "mail.account.account1.server": "server1",
        "mail.account.account1.identities": "id1",
        "mail.account.account2.server": "server2",
        "mail.identity.id1.fullName": "Joe",
        "mail.identity.id1.useremail": "joe@example.com",
        "mail.identity.id1.valid": True,
        "mail.server.server2.type": "none",
        "mail.server.server2.hostname": "Local Folders",
        "mail.server.server2.userName": "nobody",
        "mail.server.server2.name": "Local Folders",
        one + "type": "imap",
        one + "hostname": "localhost",
        one + "port": server.imaps,
        one + "socketType": TLS_SOCKET,
        one + "authMethod": PASSWORD,
        one + "userName": user.name,
        one + "name": user.name,
        one + "check_new_mail": False,
        one + "login_at_startup": False,
        one + "autosync_offline_stores": False,
        one + "offline_download": False,
    }


class Thunderbird:
    """One run of the program; `mail` calls what `thunderbird.js` has."""

    def __init__(self, folder: Path, server: Server, user: User) -> None:
        self._profile = folder / "profile"
        if not self._profile.exists():
            self._profile.mkdir()
            give(self._profile)
        wanted = {**QUIET, **account(server, user)}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in wanted.items()]
        (self._profile / "user.js").write_text("".join(lines))
        self._folder, self._server, self._user = folder, server, user

    def __enter__(self) -> Thunderbird:
        told = self._profile / "MarionetteActivePort"
        told.unlink(missing_ok=True)
        self._log = (self._folder / "thunderbird.log").open("ab")
        self._process = subprocess.Popen(
            [
                "thunderbird",
                "--headless",
                "--no-remote",
                "--marionette",
                "--remote-allow-system-access",
                "--profile",
                self._profile,
            ],
            user=CLIENT.pw_uid,
            group=CLIENT.pw_gid,
            extra_groups=[],
            cwd=self._folder,
            env={"HOME": str(self._folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        try:
            self._driver = Marionette(self._port(told), SCRIPT_SECONDS)
            self._driver.run(SCRIPT)
            pem = self._server.certificate.read_text().split("-----")[2]
            self.mail("connect", self._user.password, "".join(pem.split()))
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._driver.quit()
                assert self._process.wait(START_SECONDS) == 0
        finally:
            self._kill()

    def mail(self, name: str, *arguments: Any) -> Any:
        """Call a function of `thunderbird.js`; its result."""
        return self._driver.run(f"return window.maaTest.{name}(...given);", *arguments)

    def remove_folder(self, name: str) -> None:
        """Delete a folder, and say yes when asked."""
        self.mail("removeFolder", name)
        assert name in self._driver.accept()
        self.mail("gone", name)

    def source(self, path: str, subject: str) -> bytes:
        """A message as Thunderbird got it."""
        return base64.b64decode(self.mail("source", path, subject))

    def _port(self, told: Path) -> int:
        deadline = time.monotonic() + START_SECONDS
        while not (told.exists() and told.read_text().strip()):
            assert self._process.poll() is None, "Thunderbird ended"
            assert time.monotonic() < deadline, "Thunderbird does not start"
            time.sleep(0.05)
        return int(told.read_text())

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._log.close()
