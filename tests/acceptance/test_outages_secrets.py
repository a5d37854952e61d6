"""EXISTS and `request denied`: what each means, and what heals it (docs/reliability.md)."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc import rpc
from support.common import eventually
from support.fleet import jobspec, task
from support.grpc import CallProxy
from support.outages import Timer, is_up, runs_a_job
from support.servers import SchedulerKind
from support.site import Site, running_site


def change_database(site: Site, statement: str, *values: str) -> None:
    """What rainbow's operator can do while it is down."""
    site.scheduler.stop()
    with closing(sqlite3.connect(site.scheduler.db)) as db, db:
        db.execute(statement, values)
    site.scheduler.start()


def test_exists_with_our_secret_on_disk(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Killed when the secret was just stored: the next start uses it, and asks for none."""
    armed = {"test_crash": "stored", "test_crash_allowed": "1"}
    with running_site(tmp_path, kind) as site, CallProxy(site.scheduler.host) as proxy:
        site.program.environ["RAINBOW_HOST"] = proxy.host
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        secret = site.fleet.credentials.cluster_secret
        with site.program.background("start") as agent:
            with timer(
                "EXISTS, our secret on disk", kind.value, "a job is received, run and reported"
            ):
                is_up(agent, site)
                runs_a_job(site, 1)
            assert agent.stop() == 0, agent.log()
        assert site.fleet.credentials.cluster_secret == secret
        assert len(proxy.seen(rpc.REGISTER)) == 1


@pytest.mark.full
def test_exists_with_the_secret_lost(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Exit 42, which says what to do; once the operator has done that, all continues."""
    with running_site(tmp_path, kind) as site:
        assert site.program.run("register").code == 0
        site.program.config.unlink()
        with site.program.background("start") as agent:
            assert agent.wait() == 42
            for words in ("gives its secret only once", "RAINBOW_CLUSTER", "remove that row"):
                assert words in agent.log()
        change_database(site, "DELETE FROM clusters WHERE name = ?", "blue")
        what = "EXISTS, the secret lost: exit 42; the row removed, as it says"
        with site.program.background("start") as agent:
            with timer(what, kind.value, "a job is received, run and reported"):
                is_up(agent, site)
                runs_a_job(site, 1)
            assert agent.stop() == 0, agent.log()


@pytest.mark.full
def test_denied_because_the_secret_was_changed(
    kind: SchedulerKind, tmp_path: Path, timer: Timer
) -> None:
    """It is asked for thrice, then exit 42; a secret that is put into the file is used at once."""
    with running_site(tmp_path, kind) as site:
        with site.program.background("start") as agent:
            is_up(agent, site)
            runs_a_job(site, 1)
            old = site.fleet.credentials.cluster_secret
            change_database(site, "UPDATE clusters SET secret = ?", "the-second-secret")
            assert agent.wait() == 42
            assert "denies the secret" in agent.log()
            assert "the secret was changed in rainbow" in agent.log()
            assert "the-second-secret" not in agent.log()
        text = site.program.config.read_text()
        site.program.config.write_text(text.replace(old, "the-second-secret"))
        with site.program.background("start") as agent:
            is_up(agent, site)
            eventually(site.fleet.fits, "the graph is back", seconds=60)
            runs_a_job(site, 2)
            # The operator is quicker than the agent's last try.
            site.program.config.write_text(text.replace(old, "the-third-secret"))
            change_database(site, "UPDATE clusters SET secret = ?", "the-third-secret")
            what = "request denied: the secret was changed, there and in the file"
            with timer(what, kind.value, "a job is received, run and reported"):
                eventually(site.fleet.fits, "the graph is back", seconds=60)
                runs_a_job(site, 3)
            assert "was replaced; the new one is used" in agent.log()
            assert agent.stop() == 0, agent.log()
        assert site.written() == ["job 1", "job 2", "job 3"]


@pytest.mark.full
def test_denied_because_the_cluster_is_lost(
    kind: SchedulerKind, tmp_path: Path, timer: Timer
) -> None:
    """Rainbow has no such cluster any more: it is registered again, and gets another secret."""
    with running_site(tmp_path, kind) as site, site.program.background("start") as agent:
        is_up(agent, site)
        runs_a_job(site, 1)
        old = site.fleet.credentials.cluster_secret
        change_database(site, "DELETE FROM clusters WHERE name = ?", "blue")
        with timer(
            "request denied: the cluster is lost", kind.value, "a job is received, run and reported"
        ):
            eventually(
                lambda: site.fleet.credentials.cluster_secret != old, "registered", seconds=60
            )
            runs_a_job(site, 2)
        assert site.written() == ["job 1", "job 2"]
        assert agent.stop() == 0, agent.log()


@pytest.mark.full
def test_the_cluster_row_is_removed_by_the_operator(tmp_path: Path) -> None:
    """Rows that come again under the new registration are the same jobs, and run once."""
    with running_site(tmp_path) as site:
        assert site.program.run("register").code == 0
        site.fleet.send(jobspec(task(site.writes("once"))))
        armed = {"test_crash": "recorded", "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        site.scheduler.stop()
        with closing(sqlite3.connect(site.scheduler.db)) as db, db:
            db.execute("DELETE FROM clusters")
        site.scheduler.start()
        with site.program.background("start") as agent:
            site.program.await_end(1)
            eventually(lambda: not site.unreported(), "rainbow has the reports")
            eventually(lambda: not site.fleet.waiting(), "and let go of it")
            assert agent.stop() == 0, agent.log()
        (job,) = site.program.rows()
        assert job.state is JobState.COMPLETED
        assert site.written() == ["once"]
