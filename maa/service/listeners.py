"""From `[listen]` to bound ports; what cannot be bound is reported all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from maa.service.config import Endpoint

BACKLOG = 1024
"""Connections the kernel holds until they are accepted; Twisted's 50 is little for a flood."""
_TCP = re.compile(r"tcp6?:")


class CannotListen(Exception):
    """Some endpoints could not be bound; the text names each with its reason."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One endpoint and what serves its connections."""

    name: str
    """As in `[listen]`."""
    endpoint: Endpoint
    factory: Any


def described(endpoint: str) -> str:
    """The endpoint string with the wanted backlog, where it says nothing of one."""
    if _TCP.match(endpoint) and "backlog=" not in endpoint:
        return f"{endpoint}:backlog={BACKLOG}"
    return endpoint


def listen(reactor: Any, listeners: Iterable[Listener]) -> list[Any]:
    """Bind all, before privileges are given up; the ports, or CannotListen."""
    ports: list[Any] = []
    faults: list[str] = []
    for listener in listeners:
        endpoint = endpoints.serverFromString(reactor, described(listener.endpoint.endpoint))

        def failed(failure: Failure, listener: Listener = listener) -> None:
            place = f'listen.{listener.name} = "{listener.endpoint.endpoint}"'
            faults.append(f"{place}: {failure.getErrorMessage()}")

        endpoint.listen(listener.factory).addCallbacks(ports.append, failed)
    if faults:
        for port in ports:
            port.stopListening()
        raise CannotListen("\n".join(faults))
    return ports


def stop_listening(ports: Iterable[Any]) -> Deferred[Any]:
    """Close the ports."""
    return gatherResults([_deferred(port.stopListening()) for port in ports])


def _deferred(result: Any) -> Deferred[Any]:
    if isinstance(result, Deferred):
        return result
    done: Deferred[Any] = Deferred()
    done.callback(result)
    return done
