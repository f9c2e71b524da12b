"""The HTTP listener: /metrics for Prometheus, / for people. Loopback unless told otherwise."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from twisted.internet.interfaces import ILoggingContext
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from maa import __version__
from maa.service.metrics import Metric, prometheus

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>maa on {host}</title>
<style>body {{ font: 16px sans-serif; margin: 2em }} td {{ padding: 0 1em 0 0 }}</style>
<h1>maa {version} on {host}</h1>
<table>
{rows}
</table>
<p>The same for machines: <a href="/metrics">/metrics</a></p>
</html>
"""

_name = attrgetter("name")
Figures = Callable[[], Iterator[Metric]]


class _Metrics(Resource):
    isLeaf = True

    def __init__(self, figures: Figures) -> None:
        super().__init__()
        self._figures = figures

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        return prometheus(self._figures())


class _Page(Resource):
    def __init__(self, figures: Figures, hostname: str) -> None:
        super().__init__()
        self._figures = figures
        self._hostname = hostname

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(
            b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"
        )
        rows = "\n".join(
            f"<tr><td>{html.escape(same[0].help)}"
            + "".join(f"<td>{metric.value:.15g}" for metric in same)
            for same in (list(group) for _, group in groupby(self._figures(), _name))
        )
        page = _PAGE.format(host=html.escape(self._hostname), version=__version__, rows=rows)
        return page.encode("utf-8")


@implementer(ILoggingContext)
class _Site(Site):
    def logPrefix(self) -> str:
        """What Twisted's log calls the listener."""
        return "status page"

    def log(self, request: Request) -> None:
        """Every scrape in the log would bury the rest."""


def status_site(figures: Figures, hostname: str) -> Site:
    """The site; it keeps no access log."""
    root: Any = Resource()
    root.putChild(b"", _Page(figures, hostname))
    root.putChild(b"metrics", _Metrics(figures))
    site = _Site(root, timeout=30)
    site.noisy = False
    return site
