"""What `run --dry-run` shows."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from rainbow_agent.cli import main
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.placement import judge, place
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.monitoring.plan_view import plan_lines, plan_view

TEXT = """\
version: 1
name: walk
resources:
  one: {type: node, count: 1, with: [{type: core, count: 2}]}
  new: {type: core, count: 4, requires: [{name: spack, field: ior, min: "3"}]}
tasks:
- {name: ior, command: [ior, "-b 10g"], resources: new|one, depends_on: [build], replicas: 2}
- {name: build, command: "make all", resources: one, attributes: {duration: 5m, cwd: /opt/x}}
"""
SITE = Site(
    (SiteNode(0, "a", 4, 0, traits={}), SiteNode(1, "b", 4, 0, traits={"spack": ({"ior": "3.3"},)}))
)


def test_the_plan_as_text() -> None:
    """Each task in the order of submission, with what it asks for and where it may run."""
    lines = list(plan_lines(place(plan_text(TEXT), SITE)))
    shown = [line for line in lines if "jobspec" not in line]
    assert shown == [
        "plan of walk: 2 tasks, 3 Flux jobs",
        "1. build",
        "   runs       make all",
        "   resources  1 node with 2 cores",
        "   limit      300 s",
        "   cwd        /opt/x",
        "2. ior x 2 after build",
        "   runs       ior '-b 10g'",
        "   resources  1 slot of 4 cores",
        "   nodes      ranks 1",
    ]
    jobspecs = [json.loads(line.split(None, 1)[1]) for line in lines if "jobspec" in line]
    assert [j["attributes"]["system"]["job"]["name"] for j in jobspecs] == ["build", "ior"]


def test_a_plan_that_is_not_placed_shows_its_alternatives() -> None:
    """With what each requires."""
    plan = plan_text(TEXT)
    lines = [line for line in plan_lines(plan) if "either" in line]
    need = '[{"name": "spack", "field": "ior", "min": "3"}]'
    assert lines == [
        f"   either     new: 1 slot of 4 cores, where {need}",
        "   either     one: 1 node with 2 cores",
    ]
    view = json.loads(json.dumps(plan_view(plan)))
    assert [a["requires"] for a in view["tasks"][1]["alternatives"]] == [
        [[{"name": "spack", "field": "ior", "min": "3"}]],
        [],
    ]


def test_a_group_is_shown_with_what_is_in_it() -> None:
    """What is chosen in its own instance stands there with the nodes that pass."""
    text = (
        TEXT.replace("tasks:", "groups:\n- name: g\n  resources: one\n  tasks:")
        .replace("\n- {", "\n  - {")
        .replace("new|one", "small")
        .replace("  new: {type: core, count: 4,", "  small: {type: core, count: 1,")
    )
    lines = [line for line in plan_lines(place(plan_text(text), SITE)) if "jobspec" not in line]
    assert lines == [
        "plan of walk: 1 task, 1 Flux job",
        "1. g (group)",
        "   resources  1 node with 2 cores",
        "   nodes      ranks 1",
        "   1. g/build",
        "      runs       make all",
        "      resources  1 node with 2 cores",
        "      limit      300 s",
        "      cwd        /opt/x",
        "   2. g/ior x 2 after g/build",
        "      runs       ior '-b 10g'",
        "      resources  small: 1 slot of 1 core, on those of ranks 1 that the group gets",
    ]


def test_what_asks_nothing_of_the_nodes_must_have_room_all_the_same() -> None:
    """`satisfy` counts cores, too."""
    text = TEXT.replace("count: 2", "count: 8").replace("new|one", "new")
    large, fits = judge(plan_text(text), SITE)
    assert large.problem == (
        "build: 1 node with 8 cores asked for; there are 2 nodes, with space for 0 nodes"
        " (2 nodes with 4 cores)"
    )
    assert (fits.problem, [node.rank for node in fits.nodes], fits.now) == ("", [1], True)


def test_a_dry_run_without_a_workload_manager_shows_the_plan(tmp_path: Path) -> None:
    """Nodes are asked only where a task requires something of them."""
    path = tmp_path / "job.yaml"
    path.write_text(TEXT.replace("new|one", "one"))
    words = ["run", "--dry-run", str(path), "--workload", "flux", "--state-dir", str(tmp_path)]
    answer = CliRunner().invoke(main, words, env={"FLUX_URI": "local:///nowhere"})
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("plan of walk: 2 tasks, 3 Flux jobs\n1. build\n")
