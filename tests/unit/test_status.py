"""`status`: the truth, also while the daemon is down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rainbow_agent.model import JobState
from rainbow_agent.settings import Settings, load
from rainbow_agent.status import Sources, status_line, status_text, status_view

NOW = 1715940100.0
RUNTIME: dict[str, Any] = {
    "heartbeat": 1715940098.75,
    "registration": "r1",
    "rainbow": {"reachable": True, "last_contact": 1715940098.0, "problem": ""},
    "workload": {"kind": "flux", "uri": "local:///run/flux", "reachable": True, "problem": ""},
    "resources": {
        "nodes_total": 4,
        "nodes_free": 1,
        "cores_total": 64,
        "cores_free": 16,
        "gpus_total": 0,
        "gpus_free": 0,
    },
}
COUNTS = {**dict.fromkeys(JobState, 0), JobState.RUNNING: 2, JobState.COMPLETED: 5}


@pytest.fixture
def settings() -> Settings:
    return load({"RAINBOW_CLUSTER": "blue", "RAINBOW_HOST": "rainbow:8080"})


def found(*, pid: int | None = 42, runtime: dict[str, Any] | None = None) -> Sources:
    facts = RUNTIME if runtime is None else runtime
    return Sources(pid, 1715940000.0 if facts else None, facts, COUNTS, "r1" if facts else None)


def test_a_running_daemon(settings: Settings) -> None:
    """Every documented key, with what the daemon last said."""
    view = status_view(settings, found(), NOW)
    assert view["cluster"] == "blue"
    assert view["registration"] == "r1"
    assert view["rainbow"] == {
        "host": "rainbow:8080",
        "reachable": True,
        "last_contact": "2024-05-17T10:01:38.000Z",
        "problem": None,
    }
    assert view["workload"] == {
        "kind": "flux",
        "uri": "local:///run/flux",
        "reachable": True,
        "problem": None,
    }
    assert view["daemon"] == {
        "running": True,
        "pid": 42,
        "since": "2024-05-17T10:00:00.000Z",
        "heartbeat_age": 1.2,
    }
    assert view["resources"] == RUNTIME["resources"]
    assert view["jobs"] == {state.value: n for state, n in COUNTS.items()}
    json.dumps(view)


def test_a_daemon_that_is_down(settings: Settings) -> None:
    """What only a running one can know is null; what it last said and the jobs are still there."""
    view = status_view(settings, found(pid=None), NOW + 3600)
    assert view["daemon"]["running"] is False
    assert view["daemon"]["pid"] is None
    assert view["daemon"]["heartbeat_age"] == 3601.2
    assert view["rainbow"]["reachable"] is None
    assert view["workload"]["reachable"] is None
    assert view["rainbow"]["last_contact"] == "2024-05-17T10:01:38.000Z"
    assert (view["resources"]["cores_total"], view["resources"]["cores_free"]) == (64, None)
    assert view["jobs"]["completed"] == 5


def test_a_daemon_that_never_ran(settings: Settings) -> None:
    """The same keys, with nothing in them."""
    view = status_view(settings, found(pid=None, runtime={}), NOW)
    assert view["registration"] is None
    assert view["daemon"] == {
        "running": False,
        "pid": None,
        "since": None,
        "heartbeat_age": None,
    }
    assert set(view["resources"].values()) == {None}
    assert set(view["resources"]) == set(RUNTIME["resources"])


def test_a_daemon_that_only_just_started(settings: Settings) -> None:
    """It has not asked anybody yet: not known is not `no`."""
    runtime = {
        "heartbeat": NOW,
        "rainbow": {"reachable": None, "last_contact": None, "problem": ""},
        "workload": {"kind": "local", "uri": "", "reachable": None, "problem": ""},
        "resources": None,
    }
    view = status_view(settings, found(runtime=runtime), NOW)
    assert view["rainbow"]["reachable"] is None
    assert "(not known)" in status_text(view)
    assert "cores not known" in status_text(view)


def test_text_of_a_running_daemon(settings: Settings) -> None:
    """A person sees at a glance who runs, whom it reaches, what is free and how the jobs do."""
    text = status_text(status_view(settings, found(), NOW))
    for words in (
        "running, pid 42",
        "last heard of 1 s ago",
        "rainbow:8080  reachable",
        "flux local:///run/flux  reachable",
        "nodes 1 of 4 free, cores 16 of 64 free",
        "2 running, 5 completed",
    ):
        assert words in text


def test_text_of_a_daemon_that_is_down_says_how_long(settings: Settings) -> None:
    """NOT RUNNING, and since when nothing was heard."""
    text = status_text(status_view(settings, found(pid=None), NOW + 7200))
    assert "NOT RUNNING, last heard of 2 h ago" in text
    assert "cores 64" in text
    assert "free" not in text


def test_text_of_a_daemon_that_never_ran(settings: Settings) -> None:
    """It says so, and that there are no jobs."""
    empty = Sources(None, None, {}, dict.fromkeys(JobState, 0), None)
    text = status_text(status_view(settings, empty, NOW))
    assert "NOT RUNNING, never ran here" in text
    assert text.splitlines()[-1].split() == ["jobs", "none"]


def test_text_names_what_is_wrong(settings: Settings) -> None:
    """An unreachable scheduler is told with the reason."""
    problem = "rainbow:8080: connection refused"
    runtime = {**RUNTIME, "rainbow": {"reachable": False, "problem": problem}}
    view = status_view(settings, found(runtime=runtime), NOW)
    assert view["rainbow"]["problem"] == problem
    assert f"NOT REACHABLE: {problem}" in status_text(view)


def test_a_clock_that_was_set_back_is_survived(settings: Settings) -> None:
    """A heartbeat from the future is shown as now, not as a negative age."""
    text = status_text(status_view(settings, found(), NOW - 3600))
    assert "last heard of 0 s ago" in text


def test_the_service_managers_line() -> None:
    """One printable line: what is missing first, then what is free."""
    assert status_line("blue", RUNTIME) == "cluster blue; 16 of 64 cores free"
    trouble = {
        "registration": None,
        "draining": {"since": 1.0, "reason": ""},
        "rainbow": {"reachable": False, "problem": "no\x1b answer"},
        "workload": {"reachable": None},
        "resources": None,
    }
    assert status_line("blue", trouble) == (
        r"cluster blue; not registered yet; draining; rainbow not reachable: no\x1b answer"
    )
