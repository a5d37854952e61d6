"""The answer to a registration is lost: said as what it is, and what rainbow's operator can do."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from support.common import eventually
from support.fleet import jobspec, task
from support.proxy import Proxy
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

KINDS = [
    pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
    pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
]


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A cluster that rainbow registered, and whose agent died before it stored the secret."""
    kind = request.param
    if missing := missing_parts(kind, flux=False):
        pytest.skip(missing)
    with running_site(tmp_path, kind) as site:
        armed = {"test_crash": "registered", "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        yield site


def ends_and_says(site: Site) -> str:
    with site.program.background("start") as agent:
        assert agent.wait() == 42, agent.log()
        assert "Traceback" not in agent.log()
        return agent.log()


def runs_a_job(site: Site) -> None:
    with site.program.background("start") as agent:
        eventually(lambda: site.program.config.exists() and site.fleet.fits(), "it is a member")
        site.fleet.send(jobspec(task(site.writes("ran"))))
        eventually(lambda: site.written() == ["ran"], "it runs jobs")
        assert agent.stop() == 0, agent.log()


@pytest.mark.full
def test_the_operator_looks_the_secret_up(site: Site) -> None:
    """42 with when it was asked for, again and again; with the secret in the file it continues."""
    for _ in range(2):
        said = ends_and_says(site)
        assert "has a cluster blue already and gives its secret only once" in said
        assert "This agent asked for one at 20" in said
        assert "look the secret up in its database (table `clusters`, name blue)" in said
    with closing(sqlite3.connect(site.scheduler.db)) as db:
        ((token, secret),) = db.execute("SELECT token, secret FROM clusters").fetchall()
    entry = {
        "cluster": {"name": "blue", "secret": secret},
        "clusters": [{"name": "blue", "token": token}],
    }
    site.program.config.write_text(yaml.safe_dump(entry), encoding="utf-8")
    runs_a_job(site)


@pytest.mark.full
def test_the_operator_removes_the_row_and_restarts_rainbow(site: Site) -> None:
    """Then it registers as if for the first time."""
    site.scheduler.stop()
    with closing(sqlite3.connect(site.scheduler.db)) as db, db:
        db.execute("DELETE FROM clusters")
    site.scheduler.start()
    runs_a_job(site)


@pytest.mark.full
def test_the_operator_removes_the_row_of_a_rainbow_that_runs(site: Site) -> None:
    """The real one keeps the graph, and the new secret to itself: said, with what is missing."""
    with closing(sqlite3.connect(site.scheduler.db, timeout=30.0)) as db, db:
        db.execute("DELETE FROM clusters")
    if site.scheduler.kind is SchedulerKind.EMBEDDED:
        runs_a_job(site)
        return
    said = ends_and_says(site)
    assert "still has the graph of an earlier cluster blue in its memory" in said
    assert "remove that row and then restart rainbow" in said
    assert "asked for one at" in ends_and_says(site)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_answer_is_waited_for(kind: SchedulerKind, tmp_path: Path) -> None:
    """Longer than that to any other call: it comes once only."""
    if missing := missing_parts(kind, flux=False):
        pytest.skip(missing)
    with running_site(tmp_path, kind) as site, Proxy(site.scheduler.host) as proxy:
        proxy.delay = 1.0
        with site.program.background("start", host=proxy.host, timeout=1) as agent:
            agent.says("Registered cluster blue")
            proxy.delay = 0.0
            eventually(site.fleet.fits, "rainbow has it", seconds=60)
            assert agent.stop() == 0, agent.log()
