"""Alert rules and dashboard: every metric and label in them is really exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from rainbow_agent.monitoring.metric_definitions import METRIC_DEFINITIONS
from unit.monitoring.test_metrics import exported

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
RULES = FOLDER / "alerts.yaml"
#: A metric in PromQL, with its matchers.
METRIC = re.compile(r"\b((?:rainbow_agent|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
#: The scraper adds these.
ADDED = {"instance", "job"}


def series() -> dict[str, dict[str, set[str]]]:
    """Every exported sample's labels and the values that they have."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(exported()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> Any:
    return json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and it."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_metrics_and_labels_are_really_exported(where: str, expression: str) -> None:
    """A rule over a metric that was renamed would be silent for ever."""
    known, used = series(), METRIC.findall(expression)
    assert used, where
    labels = set(ADDED)
    for name, matchers in used:
        assert name in known, f"{where}: {name} is not exported"
        labels |= known[name].keys()
        for label, operator, values in MATCHER.findall(matchers):
            assert label in {*known[name], *ADDED}, f"{where}: {name} has no label {label}"
            if label not in ADDED and operator in ("=", "=~"):
                assert set(values.split("|")) <= known[name][label], f"{where}: {label} {values}"
    for group in GROUPED.findall(expression):
        named = {label.strip() for label in group.split(",")}
        assert named <= labels, f"{where}: by {named - labels}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """Also the labels in its words are there."""
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description"}
    known = series()
    labels = {each for name, _ in METRIC.findall(rule["expr"]) for each in known[name]} | ADDED
    words = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", words)) <= labels


def test_the_dashboard_shows_every_metric_that_tells_of_the_agent() -> None:
    """But those that are there for rules and for looking closer."""
    text = json.dumps(dashboard())
    shown = {family.name for family in METRIC_DEFINITIONS if family.name in text}
    left_out = {family.name.removeprefix("rainbow_agent_") for family in METRIC_DEFINITIONS} - {
        name.removeprefix("rainbow_agent_") for name in shown
    }
    assert left_out == {
        "check_ok",
        "condition_since_timestamp_seconds",
        "draining",
        "http_requests",
        "known_rows",  # a condition says it
    }
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_every_metric_is_documented() -> None:
    """With its kind, its labels and its help, word for word."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for family in METRIC_DEFINITIONS:
        labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
        row = f"| `{family.name}` | {family.kind.value} | {labels} | {family.text} |"
        assert row in page, row
    for rule in rules():
        assert f"`{rule['alert']}`" in page


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_promtool_takes_the_rules() -> None:
    """Prometheus' own parser of expressions."""
    done = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
