"""A client of Marionette, by which a Mozilla program is driven from outside.

The protocol: `LENGTH:JSON` over TCP; a command is `[0, id, name, parameters]`, its answer
`[1, id, error, result]`.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from typing import Any


class ScriptFailed(AssertionError):
    """What the script threw."""


class Marionette:
    """One session in the program's own context, where all of it can be reached."""

    def __init__(self, port: int, script_seconds: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(script_seconds + 10)
        self._buffer = b""
        self._ids = itertools.count(1)
        assert self._heard()["marionetteProtocol"] == 3
        self.command("WebDriver:NewSession")
        self.command("WebDriver:SetTimeouts", script=int(script_seconds * 1000))
        self.command("Marionette:SetContext", value="chrome")

    def command(self, name: str, **parameters: Any) -> Any:
        """Give a command; its result."""
        number = next(self._ids)
        data = json.dumps([0, number, name, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(data), data))
        kind, answered, error, result = self._heard()
        assert (kind, answered) == (1, number)
        if error is not None:
            raise ScriptFailed(f"{error['error']}: {error['message']}\n{error['stacktrace']}")
        return result

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an asynchronous function, with its arguments as `given`."""
        body = (
            "const [given, done] = [[...arguments].slice(0, -1), arguments[arguments.length - 1]];"
            f"(async () => {{ {script} }})().then("
            "value => done({value: value === undefined ? null : value}),"
            "error => done({error: `${error}\\n${error.stack}`}));"
        )
        answer = self.command("WebDriver:ExecuteAsyncScript", script=body, args=list(arguments))[
            "value"
        ]
        if answer is None:  # a dialogue came up, and the script waits behind it
            raise ScriptFailed(self.command("WebDriver:GetAlertText")["value"])
        if "error" in answer:
            raise ScriptFailed(answer["error"])
        return answer["value"]

    def accept(self) -> str:
        """Say yes to the dialogue that is there or comes soon; what it asked."""
        for _ in range(200):
            try:
                text = self.command("WebDriver:GetAlertText")["value"]
            except ScriptFailed:
                time.sleep(0.05)
                continue
            self.command("WebDriver:AcceptAlert")
            return str(text)
        raise ScriptFailed("no dialogue")

    def quit(self) -> None:
        """End the program as its user would, and the session with it."""
        self.command("Marionette:Quit", flags=["eAttemptQuit"])
        self._socket.close()

    def _heard(self) -> Any:
        while b":" not in self._buffer:
            self._buffer += self._more()
        length, _, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(length):
            self._buffer += self._more()
        data, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return json.loads(data)

    def _more(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise EOFError("the program is gone")
        return data
