"""What acceptance tests share: each scheduler that is there, and what times a recovery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.outages import Timer, timed
from support.servers import SchedulerKind
from support.site import missing_parts


@pytest.fixture(
    params=[
        pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
        pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
    ]
)
def kind(request: pytest.FixtureRequest) -> SchedulerKind:
    """Each scheduler that is there."""
    found = request.param
    assert isinstance(found, SchedulerKind)
    if missing := missing_parts(found, flux=False):
        pytest.skip(missing)
    return found


@pytest.fixture
def timer() -> Iterator[Timer]:
    """Times what a test says, and writes it down where that is asked for."""
    with timed() as timer:
        yield timer
