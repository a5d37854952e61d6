"""Machines to probe: the recorded trees, and ones that a test makes up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from rainbow_compspec.recorded import RecordedHost

# a busy machine is no failure: no test of ours is about time
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="session")
def hosts_folder() -> Path:
    """The folder of the recorded trees."""
    return FIXTURES / "hosts"


@pytest.fixture(scope="session")
def spack_folder() -> Path:
    """The folder of spack's databases."""
    return FIXTURES / "spack"


@pytest.fixture
def recorded(hosts_folder: Path) -> Callable[[str], RecordedHost]:
    """Opens a recorded tree by its name."""
    return lambda name: RecordedHost(hosts_folder / name)


@pytest.fixture
def made_up(tmp_path: Path) -> Callable[..., RecordedHost]:
    """Makes a machine from what its host.json would hold: `made_up(files={...}, environ={...})`."""

    def make(**manifest: Any) -> RecordedHost:
        (tmp_path / "host.json").write_text(json.dumps(manifest), encoding="utf-8")
        return RecordedHost(tmp_path)

    return make
