"""The metrics as a scraper reads them: every family, names and units by the conventions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from rainbow_agent.core.errors import RequestDenied, Unavailable
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring.exposition import render
from rainbow_agent.monitoring.health import Check, Health
from rainbow_agent.monitoring.job_history import JobHistory
from rainbow_agent.monitoring.metric_definitions import METRIC_DEFINITIONS, MetricKind
from rainbow_agent.monitoring.metrics import Now, measure
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import MAX_TURN_S, Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger_metrics import Backlog, Ended, Movements
from support.common import FakeClock


class OneLook:
    """measures.Measures with news that are there once."""

    def __init__(self, *ended: Ended) -> None:
        self._ended = ended

    def newest(self) -> int:
        """Nothing yet."""
        return 0

    def moved_since(self, event: int) -> Movements:
        """All of it, once."""
        return Movements(1, 2, self._ended) if event == 0 else Movements(event)

    def backlog(self) -> Backlog:
        """Nothing waits."""
        return Backlog()

    def problem(self) -> str:
        """It can be written."""
        return ""

    def close(self) -> None:
        """Nothing to close."""


def exported(accept: str = "") -> str:
    """The text of a daemon that has seen a little of everything."""
    clock = FakeClock()
    telemetry = Telemetry(clock)
    telemetry.loop("main", Stop())
    telemetry.loop("journal", Stop())
    clock.advance(MAX_TURN_S + 5)
    telemetry.conditions.set(ConditionName.DISK_NEARLY_FULL, "1 MiB is free")
    telemetry.called("ReceiveJobs", 0.003, None)
    telemetry.called("ReceiveJobs", 9.0, Unavailable("deadline exceeded"))
    telemetry.called("UpdateState", 0.5, RequestDenied("request denied"))
    telemetry.counters.errors.add("unavailable")
    telemetry.counters.requests.add("/readyz", "503")
    history = JobHistory(0)
    history.catch_up(
        OneLook(
            Ended(JobState.COMPLETED, 100.0, 100.2, 101.0, 200.0),
            Ended(JobState.REFUSED, 100.0, None, None, 100.5),
        )
    )
    nodes = (
        NodeView(0, "a", 4, 1, cores_free=1, gpus_free=0),
        NodeView(1, "b", 4, 0, cores_free=4),
        NodeView(2, "c", 4, 2, up=False, drained=True),
    )
    now = Now(
        cluster='odd "name"\\',
        workload="flux",
        verdict=Health((Check("rainbow", ok=True, reason=""), Check("disk", ok=False, reason=""))),
        draining=True,
        last_contact=clock.now() - 3,
        pool=PoolView(nodes),
        counts={JobState.RUNNING: 3},
        backlog=Backlog(1, 2, {TaskState.PENDING: 7}),
        free_bytes=12345,
        ledger_bytes=678,
    )
    return render(measure(now, telemetry, history), accept)[1].decode()


def samples() -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    found = {}
    for family in text_string_to_metric_families(exported()):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def value(name: str, **labels: str) -> float:
    return samples()[f"rainbow_agent_{name}", frozenset(labels.items())]


def test_every_family_of_the_table_is_exported_and_no_other() -> None:
    """By Prometheus' own parser; its process metrics are the library's."""
    found = {f.name: f.type for f in text_string_to_metric_families(exported())}
    ours = {name: kind for name, kind in found.items() if name.startswith("rainbow_agent")}
    assert ours == {
        f"{f.name}_info" if f.kind is MetricKind.INFO else f.name: "gauge"
        if f.kind is MetricKind.INFO
        else f.kind.value
        for f in METRIC_DEFINITIONS
    }
    rest = set(found) - set(ours)
    assert rest
    assert all(name.startswith("process_") for name in rest)


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    """The strict parser takes it."""
    text = exported("application/openmetrics-text; version=1.0.0")
    names = {f.name for f in openmetrics_families(text)}  # type: ignore[no-untyped-call]
    assert {f.name for f in METRIC_DEFINITIONS} <= names
    assert text.endswith("# EOF\n")


def test_values_are_what_is_true() -> None:
    """One of each kind."""
    assert value("loop_age_seconds", loop="journal") == MAX_TURN_S + 5
    assert value("loop_limit_seconds", loop="journal") == MAX_TURN_S
    assert value("ready") == 0.0
    assert value("check_ok", check="rainbow") == 1.0
    assert value("conditions") == 3.0
    assert (
        "rainbow_agent_condition_since_timestamp_seconds",
        frozenset({("name", "loop-stuck-main")}),
    ) in samples()
    call = "rainbow_call_duration_seconds"
    assert value(f"{call}_count", method="ReceiveJobs", outcome="ok") == 1.0
    assert value(f"{call}_bucket", method="ReceiveJobs", outcome="ok", le="0.0025") == 0.0
    assert value(f"{call}_bucket", method="ReceiveJobs", outcome="ok", le="0.005") == 1.0
    assert value(f"{call}_sum", method="ReceiveJobs", outcome="unavailable") == 9.0
    assert value(f"{call}_count", method="UpdateState", outcome="request-denied") == 1.0
    assert value("jobs", state="running") == 3.0
    assert value("jobs", state="lost") == 0.0
    assert value("tasks", state="pending") == 7.0
    assert value("queue_jobs", step="accept") == 2.0
    assert value("jobs_received_total") == 2.0
    assert value("jobs_ended_total", state="refused") == 1.0
    assert value("job_wait_duration_seconds_sum") == pytest.approx(0.8)
    assert value("job_duration_seconds_sum", state="completed") == 100.0
    assert value("nodes", state="used") == 1.0
    assert value("nodes", state="drained") == 1.0
    assert value("cores", state="used") == 3.0
    assert value("cores", state="out") == 4.0
    assert value("gpus", state="used") == 1.0
    assert value("retries_total", what="poll") == 0.0
    assert value("draining") == 1.0


def test_names_follow_the_conventions() -> None:
    """Base units, no unit but in the name's end, snake case, a sentence of help."""
    for family in METRIC_DEFINITIONS:
        assert re.fullmatch(r"rainbow_agent(_[a-z]+)+", family.name)
        assert not family.name.endswith(("_total", "_info", "_count", "_sum", "_bucket"))
        assert not re.search(r"_(ms|millis|minutes|percent|mib|kb|mb)(_|$)", family.name)
        assert family.text.endswith(".")
        assert not {"le", "quantile", "job", "instance"} & set(family.labels)
        if "duration" in family.name or "age" in family.name.split("_"):
            assert family.name.endswith("_seconds")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_promtool_finds_nothing_to_say() -> None:
    """Prometheus' own linter of metrics."""
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exported(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_daemon_that_no_one_scrapes_does_not_load_the_library() -> None:
    """It takes 14 MiB and most of a second of a slow machine's start."""
    program = (
        "import sys, rainbow_agent.daemon.run, rainbow_agent.monitoring.build; "
        "sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
