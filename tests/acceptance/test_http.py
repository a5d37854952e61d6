"""What probes, scrapers and people read over HTTP, of the installed program as a process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.common import eventually
from support.fleet import jobspec, task
from support.http import Visitor
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

LOOPS = ("main", "journal", "reporter", "messenger", "lookout", "http")
PLACES = [
    pytest.param(SchedulerKind.EMBEDDED, False, id="embedded"),
    pytest.param(
        SchedulerKind.REAL, True, id="real", marks=[pytest.mark.flux, pytest.mark.rainbow]
    ),
]


@contextmanager
def site(
    folder: Path,
    kind: SchedulerKind = SchedulerKind.EMBEDDED,
    *,
    flux: bool = False,
    environ: Mapping[str, str] | None = None,
    http: str = "127.0.0.1:0",
    timeout: int = 10,
) -> Iterator[tuple[Site, Visitor]]:
    """A site whose agent is looked at."""
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(
        folder, kind, flux=flux, environ=environ, http=http, timeout=timeout
    ) as found:
        yield found, Visitor(found.program)


@pytest.mark.parametrize(("kind", "flux"), PLACES)
def test_whoever_looks_hears_the_truth(tmp_path: Path, kind: SchedulerKind, flux: bool) -> None:
    """Live, ready, counted and shown: the same jobs everywhere, over all parts."""
    with site(tmp_path, kind, flux=flux) as (here, visitor), here.program.background("start"):
        eventually(lambda: visitor.get("/readyz").status == 200, "it is ready", seconds=60)
        assert visitor.get("/livez").text.startswith("ok\n")
        here.fleet.send(
            jobspec(task(["echo", "so far"], "a"), task(["false"], "b", depends_on=["a"]))
        )
        here.fleet.send(jobspec(task(["true"], "a"), name="<b>bold</b>"))
        here.program.await_end(2)
        eventually(
            lambda: visitor.get("/status.json").value["jobs"]["completed"] == 1, "it is reported"
        )
        status = visitor.get("/status.json").value
        shown = here.program.show("status")
        assert status["jobs"] == shown["jobs"]
        assert shown["http"] == f"{visitor.url}/"
        assert status.keys() == shown.keys()
        listed = visitor.get("/api/jobs?limit=1").value
        assert (listed["total"], listed["jobs"][0]["name"]) == (2, "<b>bold</b>")
        older = visitor.get(f"/api/jobs?before={listed['before']}").value["jobs"][0]
        assert (older["state"], older["tasks"], older["tasks_over"]) == ("failed", 2, 2)
        assert (older["blamed"], older["reason"]) == ("b", "exit code 1")
        place = f"/api/jobs/{older['registration']}/{older['id']}"
        states = [(t["name"], t["state"]) for t in visitor.get(place).value["tasks"]]
        assert states == [("a", "completed"), ("b", "failed")]
        assert "exit code 1" in visitor.get(f"{place}/explain").text
        output = visitor.get(f"{place}/output?task=a").value
        assert [piece["text"] for piece in output["pieces"]] == ["so far\n"]
        assert output["command"] == f"rainbow-agent logs {older['id']} a"
        metrics = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(visitor.get("/metrics").text)
            for sample in family.samples
        }
        assert metrics["rainbow_agent_ready",] == 1.0
        assert metrics["rainbow_agent_jobs_received_total",] == 2.0
        assert metrics["rainbow_agent_jobs_ended_total", "failed"] == 1.0
        assert metrics["rainbow_agent_job_run_duration_seconds_count",] == 2.0
        assert metrics["rainbow_agent_polls_total", "jobs"] >= 1.0
        assert {name[1] for name in metrics if "loop_age" in name[0]} == set(LOOPS)


@pytest.mark.full
def test_each_loop_that_hangs_turns_its_own_light_red(tmp_path: Path) -> None:
    """Within its limit, by name, and back when it moves; a rainbow that is away turns its own."""
    hold = tmp_path / "hold"
    hold.mkdir()
    test_only = {
        "RAINBOW_TEST_CRASH_ALLOWED": "1",
        "RAINBOW_TEST_HOLD": str(hold),
        "RAINBOW_TEST_LOOP_LIMIT": "2",
    }
    with (
        site(tmp_path, environ=test_only, timeout=1) as (here, visitor),
        here.program.background("start"),
    ):
        eventually(lambda: visitor.wrong("/readyz") == [], "it is ready", seconds=60)
        here.scheduler.stop()
        for loop in LOOPS[:-1]:
            (hold / loop).touch()
            eventually(lambda: visitor.wrong("/livez") == [loop], f"{loop} is red", seconds=60)  # noqa: B023
            assert visitor.get("/livez").status == 503
            (hold / loop).unlink()
            eventually(lambda: visitor.wrong("/livez") == [], "all move again", seconds=60)
        url = visitor.url
        (hold / "http").touch()
        eventually(lambda: "loop-stuck-http" in troubles(here), "status says it", seconds=60)
        with pytest.raises(OSError, match="timed out"):
            Visitor(here.program).get("/livez", seconds=1.0)
        (hold / "http").unlink()
        eventually(lambda: visitor.get("/livez").status == 200, "it answers again", seconds=60)
        assert visitor.url == url
        eventually(lambda: "rainbow" in visitor.wrong("/readyz"), "rainbow is red", seconds=60)
        assert visitor.get("/readyz").status == 503
        assert "rainbow-unreachable" in troubles(here)


def troubles(here: Site) -> list[str]:
    """The names of all conditions, as runtime.json has them."""
    facts = json.loads((here.program.state_dir / "runtime.json").read_text())
    return [condition["name"] for condition in facts["conditions"]]


@pytest.mark.full
def test_not_ready_while_drained(tmp_path: Path) -> None:
    """With the reason in the body, and ready again afterwards."""
    with site(tmp_path) as (here, visitor), here.program.background("start"):
        eventually(lambda: visitor.wrong("/readyz") == [], "it is ready", seconds=60)
        here.program.run("drain", "--reason", "a new kernel")
        eventually(lambda: visitor.wrong("/readyz") == ["open"], "it is not")
        assert "drained (a new kernel)" in visitor.get("/readyz").text
        here.program.run("resume")
        eventually(lambda: visitor.wrong("/readyz") == [], "it is again")


@pytest.mark.full
def test_a_port_that_is_taken_does_not_stop_the_daemon(tmp_path: Path) -> None:
    """It works, says so in status, and serves once the port is free."""
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    with (
        closing(other),
        site(tmp_path, http=f"127.0.0.1:{port}") as (here, visitor),
        here.program.background("start") as agent,
    ):
        agent.says("nothing is served on")
        eventually(here.program.config.exists, "it registers all the same")
        here.fleet.send(jobspec(task(["true"])))
        here.program.await_end(1)
        eventually(lambda: "http-not-served" in troubles(here), "status says it")
        other.close()
        eventually(lambda: "http-not-served" not in troubles(here), "it serves")
        assert visitor.url.endswith(f":{port}")
        assert visitor.get("/livez").status == 200
        assert agent.stop() == 0


def test_off_is_off(tmp_path: Path) -> None:
    """No socket, no loop, nothing to look at."""
    with site(tmp_path, http="off") as (here, _), here.program.background("start") as agent:
        agent.says("registered")
        facts = json.loads((here.program.state_dir / "runtime.json").read_text())
        assert "http" not in facts["loops"]
        assert facts["http"] is None
        if os.geteuid() == 0:  # a process that hides its memory hides its sockets from others
            sockets = psutil.Process(agent.pid).net_connections()
            assert not [each for each in sockets if each.status == "LISTEN"]
