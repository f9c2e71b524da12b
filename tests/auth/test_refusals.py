import logging

import pytest

from maa.auth.errors import BadCredentials
from maa.auth.refusals import note_refusal
from maa.conversation import Peer


def test_R228_a_refused_login_is_one_line_with_user_and_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer(address="192.0.2.7", tls=True, loopback=False, session="s1")
    with caplog.at_level(logging.INFO, "maa"):
        error = BadCredentials()
        error.name = "joe\r\nimap login refused" + "x" * 500
        note_refusal(peer, "imap", error)
    (line,) = caplog.messages
    assert line.startswith("imap login refused: user 'joe\\r\\nimap login refused")
    assert "from 192.0.2.7: " in line and "\n" not in line and len(line) < 300
