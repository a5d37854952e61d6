"""`submit --once`: a job that is sent again does not run again, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from support.common import eventually
from support.program import Answer
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

PARTS = [
    pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local", marks=pytest.mark.full),
    pytest.param((SchedulerKind.REAL, False), id="rainbow-local", marks=pytest.mark.rainbow),
    pytest.param(
        (SchedulerKind.REAL, True),
        id="rainbow-flux",
        marks=[pytest.mark.rainbow, pytest.mark.flux],
    ),
]


@pytest.fixture(params=PARTS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A cluster that serves from time to time."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path, kind, flux=flux) as site:
        yield site


def send(site: Site, line: str, key: str) -> Answer:
    return site.program.run("submit", "--once", key, "--", *site.writes(line))


def lose_the_ledger(site: Site) -> None:
    for end in ("", "-wal", "-shm"):
        (site.program.state_dir / f"ledger.sqlite{end}").unlink(missing_ok=True)


def refused(site: Site) -> int:
    return sum(row.state is JobState.REFUSED for row in site.program.rows())


def test_a_key_runs_once(site: Site) -> None:
    """Sent twice at once, after a kill, and after the ledger was lost: one run; others run."""
    with site.program.background("start") as agent:
        agent.says("Caught up")
        agent.says("Registered cluster blue")
        assert send(site, "one", "nightly").code == 0
        assert send(site, "two", "nightly").code == 0
        assert send(site, "other", "weekly").code == 0
        site.program.await_end(3)
        agent.kill()
    assert send(site, "three", "nightly").code == 0
    site.serve(4)
    assert refused(site) == 2
    shown = site.program.run("explain", str(max(row.key.id for row in site.program.rows())))
    assert "came first with the key 'nightly' (attributes.once)" in shown.out
    lose_the_ledger(site)
    assert send(site, "four", "nightly").code == 0
    with site.program.background("start") as agent:
        eventually(lambda: refused(site) == 1, "the agent recognises the key")
        agent.kill()
    assert sorted(site.written()) == ["one", "other"]


def test_a_key_is_checked(site: Site) -> None:
    """Before anything is sent."""
    answer = send(site, "one", "two\nlines")
    assert answer.code == 2
    assert "printable characters on one line" in answer.err
