"""Which messages are one conversation, by their headers alone."""

from __future__ import annotations

import pytest

from maa.message.related import thread_id

ROOT = thread_id(b"Message-ID: <a@b>\r\n\r\n")


@pytest.mark.parametrize(
    "header",
    [
        b"References: <a@b> <c@d>\r\nMessage-ID: <e@f>\r\n\r\n",
        b"references:\r\n <a@b>\r\n <c@d>\r\nIn-Reply-To: <c@d>\r\n\r\n",
        b"In-Reply-To: your message <a@b> of Monday\r\nMessage-ID: <e@f>\r\n\r\n",
        b"References: \r\nIn-Reply-To: nobody\r\nMessage-Id: <a@b>\r\n\r\n",
    ],
)
def test_Q23_replies_belong_to_the_message_they_name_first(header: bytes) -> None:
    assert thread_id(header) == ROOT


def test_Q23_a_message_that_names_none_is_a_thread_of_its_own() -> None:
    others = [thread_id(b"Subject: %d\r\n\r\n" % number) for number in range(3)]
    assert len({ROOT, *others, thread_id(b"Message-ID: <A@b>\r\n\r\n")}) == 5
    assert all(other[:1] == b"T" and other.isalnum() for other in others)
