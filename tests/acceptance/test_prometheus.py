"""A real Prometheus scrapes the installed program, with the alert rules that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.common import eventually
from support.fleet import jobspec, task
from support.http import Visitor
from support.prometheus import PROMETHEUS, scraping
from support.site import running_site

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not on PATH"),
]


def test_prometheus_scrapes_the_agent_and_notices_its_death(tmp_path: Path) -> None:
    """Jobs are counted, every rule can be evaluated; a dead agent's alert names its cluster."""
    with (
        running_site(tmp_path, http="127.0.0.1:0") as here,
        here.program.background("start") as agent,
    ):
        address = Visitor(here.program).url.removeprefix("http://")
        with scraping(address, tmp_path / "prometheus") as prometheus:
            here.fleet.send(jobspec(task(["true"])))
            here.program.await_end(1)
            ended = 'rainbow_agent_jobs_ended_total{state="completed"} == 1'
            eventually(lambda: prometheus.query(ended), "the job is counted", seconds=60)
            (ready,) = prometheus.query("rainbow_agent_ready")
            assert (ready["metric"]["instance"], ready["value"][1]) == (address, "1")
            wait = "histogram_quantile(0.95, rainbow_agent_job_wait_duration_seconds_bucket)"
            assert float(prometheus.query(wait)[0]["value"][1]) > 0
            # What the rules remember of an agent is of whole minutes.
            seen = "max_over_time(timestamp(rainbow_agent_build_info)[1d:1m])"
            eventually(lambda: prometheus.query(seen), "its cluster is remembered", seconds=120)
            agent.kill()
            eventually(lambda: prometheus.query("ALERTS"), "the alert is pending", seconds=60)
            (alert,) = [alert for rule in prometheus.rules() for alert in rule.get("alerts", ())]
            assert alert["labels"]["alertname"] == "RainbowAgentDown"
            assert alert["labels"]["cluster"] == "blue"
            summary = f"The agent {address} of cluster blue does not answer."
            assert alert["annotations"]["summary"] == summary
            assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
