"""Flux Standard Duration (RFC 23)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.jobspec.attributes import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300", 300),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("3600.", 3600),
        ("1e3", 1000),
        ("300s", 300),
        ("5m", 300),
        ("0.5h", 1800),
        ("1d", 86400),
        ("250ms", 0.25),
        ("inf", 0),
        ("infinity", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Seconds, or a number with a unit; infinity is without limit, which Flux writes as 0."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "-5m",
        "nan",
        "1:30",
        "5 m",
        "5M",
        "5min",
        "1h30m",
        "1_000",
        "1e999",
        "٣s",
        "s",
        "5m\n",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """Negative, endless, of another unit, or as another tool writes it."""
    assert parse_duration(text) is None


@given(st.text())
def test_a_duration_is_a_finite_number_or_none(text: str) -> None:
    """Whatever the text, the answer can be put into a jobspec."""
    seconds = parse_duration(text)
    assert seconds is None or 0 <= seconds < float("inf")
