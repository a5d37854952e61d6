"""Flux job ids as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.notation import f58, parse_f58


@pytest.mark.parametrize(
    ("flux_id", "text"),
    [
        (0, "f1"),
        (1, "f2"),
        (57, "fz"),
        (58, "f21"),
        (6731191091817518, "fuZZybuNNy"),  # from RFC 19
        (2**64 - 1, "fjpXCZedGfVQ"),
    ],
)
def test_known_ids(flux_id: int, text: str) -> None:
    """The ends of the range, of one digit, and the example of RFC 19."""
    assert f58(flux_id) == text
    assert parse_f58(text) == flux_id


def test_both_prefixes_are_read() -> None:
    """Flux prints its own letter where the terminal is UTF-8."""
    assert parse_f58("ƒuZZybuNNy") == parse_f58("fuZZybuNNy")


@given(st.integers(0, 2**64 - 1))
def test_every_id_comes_back(flux_id: int) -> None:
    """Text and number say the same."""
    assert parse_f58(f58(flux_id)) == flux_id


@pytest.mark.parametrize("flux_id", [-1, 2**64])
def test_what_is_no_id_is_not_written(flux_id: int) -> None:
    """Ids have 64 bits and no sign."""
    with pytest.raises(ValueError, match="not a Flux job id"):
        f58(flux_id)


@pytest.mark.parametrize("text", ["", "f", "ƒ", "123", "f0", "fIO", "fl", "f é", "fjpXCZedGfVR"])
def test_what_is_no_f58_is_not_read(text: str) -> None:
    """Base58 leaves out 0, I, O and l; more than 64 bits is no id."""
    with pytest.raises(ValueError, match="not a Flux job id"):
        parse_f58(text)
