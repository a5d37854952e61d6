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

from rainbow_agent.cli import VERBS
from rainbow_agent.monitoring.metric_definitions import METRIC_DEFINITIONS
from unit.monitoring.test_metrics import exported

DOCS = Path(__file__).parents[3] / "docs"
FOLDER = DOCS / "monitoring"
RULES = FOLDER / "alerts.yaml"
UNIT_TESTS = FOLDER / "alerts_test.yaml"
#: A metric in PromQL, with its matchers.
METRIC = re.compile(r"\b((?:rainbow_agent|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
#: The scraper adds these.
ADDED = {"instance", "job"}
#: Which cluster an agent is for: a rule of our own, and what stands for it in the dashboard.
CLUSTER = "instance:rainbow_agent_cluster:last"
#: The expressions over what Prometheus itself says of its targets.
OF_TARGETS = ("up{", CLUSTER)
#: Where the pages are kept, as Prometheus's configuration says.
DOCS_ADDRESS = "{{ with $externalLabels.rainbow_agent_docs }}{{ . }}/{{ end }}"
#: Those of Grafana's units that the dashboard uses.
UNITS = ("short", "s", "bytes", "ops", "percentunit")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH"
)


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


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    """Without the rows that head them."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard() -> Any:
    return json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and it."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_metrics_and_labels_are_really_exported(where: str, expression: str) -> None:
    """A rule over a metric that was renamed would be silent for ever."""
    known, used = series(), METRIC.findall(expression.replace(CLUSTER, ""))
    assert used or any(each in expression for each in OF_TARGETS), where
    labels = {*ADDED, "cluster"} if CLUSTER in expression else set(ADDED)
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


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_where_and_what_to_do(rule: dict[str, Any]) -> None:
    """Which cluster it is about, and the page that it links to; the labels in its words exist."""
    severity = rule["labels"]["severity"]
    assert severity in ("warning", "critical")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert CLUSTER in rule["expr"] or rule["expr"].startswith("absent(")
    known = series()
    labels = {each for name, _ in METRIC.findall(rule["expr"]) for each in known.get(name, ())}
    labels |= {*ADDED, "cluster"}
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(notes.values()))) <= labels
    place = notes["runbook_url"].removeprefix(DOCS_ADDRESS)
    page = (DOCS.parent / place).read_text(encoding="utf-8")
    wait = f", after {rule['for'].replace('m', ' min')}" if "for" in rule else ""
    assert page.startswith(f"# {rule['alert']}\n\nSeverity: {severity}{wait}. ")
    for heading in ("What it means", "What continues meanwhile", "Where to look", "What to do"):
        assert f"\n## {heading}\n\n" in page
    assert set(re.findall(r"\brainbow-agent ([a-z]+)", page)) <= set(VERBS)


def test_there_is_no_page_of_an_alert_that_is_gone() -> None:
    """One for each, and no other."""
    pages = {path.stem for path in (DOCS / "alerts").glob("*.md")}
    assert pages == {rule["alert"] for rule in alerts()}


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


def test_the_dashboard_has_rows_and_chooses_clusters() -> None:
    """Every panel is under a row and overlaps no other; a cluster chooses its agents."""
    board = dashboard()
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        places = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in places) < 24
        assert not places & taken, panel["title"]
        taken |= places
    assert board["panels"][0]["type"] == "row"
    assert sum(panel["type"] == "row" for panel in board["panels"]) >= 4
    queries = {each["name"]: each["query"] for each in board["templating"]["list"]}
    assert queries["cluster"] == "label_values(rainbow_agent_build_info, cluster)"
    assert '{cluster=~"$cluster"}' in queries["instance"]
    for panel in panels():
        for target in panel["targets"]:
            assert "$instance" in target["expr"] or target["expr"].startswith("sum(up{")


#: What stands for something in an expression, and what Grafana makes of it.
VARIABLE = re.compile(r"\$\{?(\w+)")


def test_the_dashboard_is_as_grafana_has_it() -> None:
    """Its JSON model's fields (grafana.com/docs, "Dashboard JSON model"); all variables are there.

    Of Grafana's own types (grafana-foundation-sdk 10.1) all were filled from it, and none was left.
    """
    board = dashboard()
    assert board.keys() >= {"uid", "title", "schemaVersion", "time", "templating", "panels"}
    names = [each["name"] for each in board["templating"]["list"]]
    for number, each in enumerate(board["templating"]["list"]):
        text = each["query"] + each.get("datasource", {}).get("uid", "")
        assert set(VARIABLE.findall(text)) <= set(names[:number]), "filled in this order"
    for panel in panels():
        assert panel["type"] in ("stat", "timeseries")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        ids = [target["refId"] for target in panel["targets"]]
        assert len(ids) == len(set(ids)) > 0
        used = {name for target in panel["targets"] for name in VARIABLE.findall(target["expr"])}
        assert used <= {*names, "__rate_interval"}


def test_the_dashboard_has_the_95th_percentile_of_job_waits() -> None:
    """Over all clusters that are chosen, and for each."""
    waits = [
        target["expr"]
        for panel in panels()
        for target in panel["targets"]
        if "0.95" in target["expr"] and "job_wait_duration" in target["expr"]
    ]
    assert any("sum by (le)" in each for each in waits)
    assert any("sum by (le, cluster)" in each for each in waits)


def test_every_alert_is_in_the_table() -> None:
    """With its severity, and after how long it fires."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for rule in alerts():
        wait = rule.get("for", "at once").replace("m", " min")
        link = f"[`{rule['alert']}`](../alerts/{rule['alert']}.md)"
        assert f"| {link} | {rule['labels']['severity']} | {wait} | " in page


def promtool(*arguments: str) -> str:
    """What it says; the test fails where it finds a fault."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    """Prometheus' own parser of expressions."""
    promtool("check", "rules", str(RULES))


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    """Prometheus' own engine over what an agent would have said, a sample a minute."""
    promtool("test", "rules", str(UNIT_TESTS))


def test_each_alert_has_a_unit_test_in_which_it_fires() -> None:
    """And in one test nothing fires; so a rule that always holds is found, too."""
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    samples = [each["promql_expr_test"][0]["exp_samples"] for each in tests]
    fired = {
        re.findall(r'alertname="(\w+)"', sample["labels"])[0] for each in samples for sample in each
    }
    assert fired == {rule["alert"] for rule in alerts()}
    assert [] in samples
