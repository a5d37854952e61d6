"""A real Prometheus scrapes the installed program, with the alert rules that are shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.common import eventually
from support.fleet import jobspec, task
from support.http import Visitor
from support.prometheus import PAGES, PROMETHEUS, Prometheus, scraping
from support.site import running_site

DASHBOARD = Path(__file__).parents[2] / "docs/monitoring/dashboard.json"
#: A variable of the dashboard that asks for a label's values.
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")

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
            shows_the_dashboard(prometheus, address)
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
            page = f"{PAGES}/docs/alerts/RainbowAgentDown.md"
            assert alert["annotations"]["runbook_url"] == page
            assert {rule["health"] for rule in prometheus.rules()} == {"ok"}


def shows_the_dashboard(prometheus: Prometheus, address: str) -> None:
    """Its variables have this agent's values, and with them each panel shows something."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    chosen = {"__rate_interval": "1m"}
    for each in board["templating"]["list"]:
        if asked := LABEL_VALUES.fullmatch(each["query"]):
            values = prometheus.label_values(filled(asked[1], chosen), asked[2])
            chosen[each["name"]] = "|".join(map(re.escape, values))
    assert chosen["cluster"] == "blue"
    assert chosen["instance"] == re.escape(address)
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]

    def empty() -> set[str]:
        return {
            panel["title"]
            for panel in panels
            if not any(prometheus.query(filled(t["expr"], chosen)) for t in panel["targets"])
        }

    eventually(lambda: not empty(), "every panel shows something", seconds=60)


def filled(text: str, chosen: dict[str, str]) -> str:
    """A text with its variables' values, as Grafana puts several into a regular expression."""
    return re.sub(r"\$(\w+)", lambda match: chosen[match[1]].replace("\\", "\\\\"), text)
