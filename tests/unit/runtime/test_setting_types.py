"""What the text of a setting means: addresses, times, numbers."""

from __future__ import annotations

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.settings import (
    load,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8788", Address("127.0.0.1", 8788)),
        ("[::1]:0", Address("::1", 0)),
        (":8788", Address("0.0.0.0", 8788)),
        ("agent.svc:80", Address("agent.svc", 80)),
        ("off", None),
        ("OFF", None),
    ],
)
def test_where_to_serve(text: str, address: Address | None) -> None:
    """An address as programs write them, or nowhere."""
    assert load({"RAINBOW_HTTP": text}).http == address


@pytest.mark.parametrize("text", ["8788", "a:b:80", "host:", "host:99999", "host:-1", "::1:8788"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With the form that it should have."""
    with pytest.raises(UsageError, match=r"RAINBOW_HTTP .* (must be host:port|write \[::1\]:8788)"):
        load({"RAINBOW_HTTP": text})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000.0), ("12h", 43_200.0), ("1.5m", 90.0), ("45s", 45.0), ("all", None)],
)
def test_how_long_jobs_are_kept(text: str, seconds: float | None) -> None:
    """A number with its unit, or without end."""
    assert load({"RAINBOW_KEEP_FOR": text}).keep_for == seconds


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("5000000", 5_000_000), ("ALL", None)])
def test_how_many_jobs_are_kept(text: str, number: int | None) -> None:
    """A whole number, or without end."""
    assert load({"RAINBOW_KEEP_JOBS": text}).keep_jobs == number


@pytest.mark.parametrize(
    ("name", "text"),
    [("FOR", text) for text in ("30", "0d", "-1d", "d", "1w", "nan")]
    + [("JOBS", text) for text in ("0", "-1", "1e3", "many")],
)
def test_what_is_kept_without_sense(name: str, text: str) -> None:
    """A number without a unit is no time, and nothing is kept by 0."""
    with pytest.raises(UsageError, match=f"RAINBOW_KEEP_{name}"):
        load({f"RAINBOW_KEEP_{name}": text})
