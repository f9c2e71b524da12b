"""Quotas as they are written, and what they say of what is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.limits import Limits, Usage, quota


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("1 GiB, 100000 messages", Limits(2**30, 100000)),
        ("1GiB,100000C", Limits(2**30, 100000)),
        ("500M", Limits(500 * 2**20)),
        ("1.5 g", Limits(3 * 2**29)),
        ("2 GB", Limits(2 * 10**9)),
        ("1 message", Limits(None, 1)),
        ("1000 octets", Limits(1000)),
        ("10000000S,1000C", Limits(10_000_000, 1000)),
        ("none", Limits()),
        (" Maildirsize ", None),
    ],
)
def test_what_a_quota_means(text: str, limits: Limits | None) -> None:
    assert quota(text) == limits


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1 GiB, 2 GiB", "1 message, 2 messages", "0 GiB", "0.5 messages", "-1 G"),
        *("1 GiB,", "1 pebibyte", "GiB", "1 GiB 5 messages", "0.00001 B", "9999999 TiB"),
        *("1_000 B", "1e9 B"),
    ],
)
def test_what_is_no_quota_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no quota"):
        quota(text)


@given(st.text(alphabet="0123456789.,SCgikmtbB messages", max_size=40))
def test_any_text_is_a_quota_or_none(text: str) -> None:
    try:
        limits = quota(text)
    except ValueError:
        return
    assert limits is None or limits.absent or limits.exceeded_by(Usage(2**63, 2**63))


def test_limits_are_reached_and_not_exceeded_by_what_just_fits() -> None:
    limits = Limits(100, 3)
    assert not limits.exceeded_by(Usage(100, 3))
    assert limits.exceeded_by(Usage(101, 0))
    assert limits.exceeded_by(Usage(0, 4))
    assert not Limits().exceeded_by(Usage(2**60, 2**60))


def test_a_share_is_that_of_the_nearer_limit() -> None:
    assert Limits(100, 10).percent_used(Usage(50, 9)) == 90
    assert Limits(100).percent_used(Usage(150, 9)) == 150
    assert Limits().percent_used(Usage(1, 1)) == 0
    assert Limits(100, 30).plus_percent(10) == Limits(110, 33)
