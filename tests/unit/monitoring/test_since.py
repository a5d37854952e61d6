"""`--since`: how long ago, or a moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.monitoring.since import parse_since

NOW = 1715940000.0  # 2024-05-17T10:00:00Z


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - 90),
        ("30m", NOW - 1800),
        ("2h", NOW - 7200),
        ("1d", NOW - 86400),
        ("2024-05-17", NOW - 36000),
        ("2024-05-17T09:30", NOW - 1800),
        ("2024-05-17T09:30:00Z", NOW - 1800),
        ("2024-05-17T11:30:00+02:00", NOW - 1800),
        ("09:30", NOW - 1800),
        ("10:30", NOW - 86400 + 1800),
        ("yesterday", None),
        ("", None),
        ("99:99", None),
    ],
)
def test_durations_dates_and_times(text: str, moment: float | None) -> None:
    """Times are UTC unless they say otherwise; a time of day is the last one."""
    assert parse_since(text, NOW) == moment


@given(st.text())
def test_any_text_is_a_moment_or_none(text: str) -> None:
    """Never an error."""
    parse_since(text, NOW)
