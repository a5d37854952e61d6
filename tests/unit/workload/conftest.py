"""A local workload manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.workload.local.workload import shut_down
from support.local_workload import (
    Watched,
    watching,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose server, if a test starts one, is ended after it."""
    path = tmp_path / "workload"
    yield path
    shut_down(path)


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    """A client of a server with two cores."""
    with watching(folder, cores=2) as client:
        yield client
