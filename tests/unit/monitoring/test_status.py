"""`status`: the truth, also while the daemon is down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import Drain, JobKey, JobRow
from rainbow_agent.core.states import JobState
from rainbow_agent.monitoring.status import (
    WORDS,
    Sources,
    reasons_of,
    settings_of_run,
    status_line,
    status_view,
    word_of,
)
from rainbow_agent.monitoring.status_text import status_text
from rainbow_agent.runtime.settings import Settings, load

junk = st.recursive(
    st.none() | st.booleans() | st.floats(0, 9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

NOW = 1715940100.0
RUNTIME: dict[str, Any] = {
    "version": "1.2.3",
    "heartbeat": 1715940098.75,
    "registration": "r1",
    "rainbow": {"reachable": True, "last_contact": 1715940098.0, "problem": ""},
    "workload": {"kind": "flux", "uri": "local:///run/flux", "reachable": True, "problem": ""},
    "resources": {
        "nodes_total": 4,
        "nodes_up": 4,
        "nodes_free": 1,
        "cores_total": 64,
        "cores_up": 64,
        "cores_free": 16,
        "gpus_total": 0,
        "gpus_up": 0,
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


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ({"address": "127.0.0.1:8788", "problem": None}, "http://127.0.0.1:8788/"),
        ({"address": None, "problem": "the port is taken"}, None),
        (None, None),
        ("nonsense", None),
    ],
)
def test_where_the_page_is(settings: Settings, told: object, address: str | None) -> None:
    """With port 0, only the daemon knows; a daemon that is down serves nothing."""
    runtime = {**RUNTIME, "http": told}
    assert status_view(settings, found(runtime=runtime), NOW)["http"] == address
    assert status_view(settings, found(pid=None, runtime=runtime), NOW)["http"] is None


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
        "version": "1.2.3",
        "heartbeat_age": 1.2,
        "ended": None,
    }
    assert view["resources"] == RUNTIME["resources"]
    assert view["jobs"] == {state.value: n for state, n in COUNTS.items()}
    json.dumps(view)


@pytest.mark.parametrize("pid", [42, None])
def test_the_settings_are_those_of_the_daemon(settings: Settings, pid: int | None) -> None:
    """The shell that asks may have others, which the daemon knows nothing of."""
    daemons = load({"RAINBOW_CLUSTER": "teal", "RAINBOW_HOST": "far:1", "RAINBOW_KEEP_FOR": "1h"})
    runtime = {**RUNTIME, "settings": settings_of_run(daemons)}
    view = status_view(settings, found(pid=pid, runtime=runtime), NOW)
    assert (view["cluster"], view["rainbow"]["host"]) == ("teal", "far:1")
    assert view["history"]["keep_for"] == 3600.0
    json.dumps(runtime)


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
        "version": None,
        "heartbeat_age": None,
        "ended": None,
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
    assert "(not known)" in status_text(view, NOW)
    assert "cores      not known" in status_text(view, NOW)


def test_text_of_a_running_daemon(settings: Settings) -> None:
    """A person sees at a glance who runs, whom it reaches, what is in use and how the jobs do."""
    text = status_text(status_view(settings, found(), NOW), NOW)
    assert text.splitlines()[0] == "working"
    for words in (
        "daemon     pid 42, since 2024-05-17T10:00:00.000Z, last heartbeat 1 s ago",
        "version    1.2.3",
        "rainbow    rainbow:8080  reachable",
        "flux       local:///run/flux  reachable",
        "nodes      [###############.....] 3 of 4 in use",
        "cores      [###############.....] 48 of 64 in use",
        "jobs       2 running, 5 completed",
    ):
        assert words in text
    assert "gpus" not in text


def test_what_is_drained_or_down_is_not_in_use(settings: Settings) -> None:
    """In use is what is up less what is free; an older daemon does not say what is up."""
    out = {"nodes_up": 3, "cores_up": 48}
    runtime = {**RUNTIME, "resources": {**RUNTIME["resources"], **out}}
    text = status_text(status_view(settings, found(runtime=runtime), NOW), NOW)
    assert "nodes      [##########..........] 2 of 4 in use, 1 drained or down" in text
    assert "cores      [##########..........] 32 of 64 in use, 16 drained or down" in text
    older = {name: n for name, n in RUNTIME["resources"].items() if not name.endswith("_up")}
    runtime = {**RUNTIME, "resources": older}
    text = status_text(status_view(settings, found(runtime=runtime), NOW), NOW)
    assert "48 of 64 in use\n" in text


def test_text_of_a_daemon_that_is_down_says_how_long(settings: Settings) -> None:
    """Stopped, and since when nothing was heard."""
    text = status_text(status_view(settings, found(pid=None), NOW + 7200), NOW + 7200)
    assert text.splitlines()[0] == (
        "stopped  killed, or the machine went down; last heartbeat 2 h ago"
    )
    assert "cores      64" in text
    assert "in use" not in text


def test_how_the_last_run_ended(settings: Settings) -> None:
    """An order and an error do not look like a kill; what an earlier run left does not count."""
    ended = {"run": 1715940000.0, "at": NOW, "status": 42, "reason": "rainbow refuses the secret"}
    view = status_view(settings, found(pid=None, runtime={**RUNTIME, "ended": ended}), NOW + 60)
    assert view["daemon"]["ended"] == {
        "at": "2024-05-17T10:01:40.000Z",
        "status": 42,
        "reason": "rainbow refuses the secret",
    }
    first = status_text(view, NOW + 60).splitlines()[0]
    assert first == "stopped  exited with status 42, 60 s ago: rainbow refuses the secret"
    runtime = {**RUNTIME, "ended": {**ended, "run": 1715930000.0}}
    view = status_view(settings, found(pid=None, runtime=runtime), NOW + 60)
    assert view["daemon"]["ended"] is None


def test_text_of_a_daemon_that_never_ran(settings: Settings) -> None:
    """It says so, and that there are no jobs."""
    empty = Sources(None, None, {}, dict.fromkeys(JobState, 0), None)
    text = status_text(status_view(settings, empty, NOW), NOW)
    assert text.splitlines()[0] == f"stopped  no daemon has run on {settings.state_dir}"
    assert text.splitlines()[-1].split() == ["jobs", "none"]


def test_text_names_what_is_wrong(settings: Settings) -> None:
    """An unreachable scheduler is reported with the reason."""
    problem = "rainbow:8080: connection refused"
    runtime = {**RUNTIME, "rainbow": {"reachable": False, "problem": problem}}
    view = status_view(settings, found(runtime=runtime), NOW)
    assert view["rainbow"]["problem"] == problem
    assert f"NOT REACHABLE: {problem}" in status_text(view, NOW)


def test_how_far_back_the_ledger_goes(settings: Settings) -> None:
    """What is kept, and that older jobs were removed; the text says it once any was."""
    removed = {"removed": 12, "at": NOW, "remembered": 12}
    view = status_view(settings, replace(found(), first_received=NOW - 3600, removed=removed), NOW)
    assert view["history"] == {
        "first_received": "2024-05-17T09:01:40.000Z",
        "removed": 12,
        "last_removed": "2024-05-17T10:01:40.000Z",
        "keep_jobs": 100_000,
        "keep_for": 7_776_000.0,
    }
    assert "12 older jobs removed" in status_text(view, NOW)
    assert "removed" not in status_text(status_view(settings, found(), NOW), NOW)


def test_the_last_errors_are_told(settings: Settings) -> None:
    """Jobs that ended badly, with how long ago and why."""
    bad = JobRow(JobKey("r1", 7), "ior", JobState.FAILED, "exit code 3", 1.0, None, NOW - 720)
    view = status_view(settings, replace(found(), errors=[bad]), NOW)
    assert view["errors"] == [
        {
            "id": 7,
            "registration": "r1",
            "name": "ior",
            "state": "failed",
            "task": None,
            "reason": "exit code 3",
            "finished": "2024-05-17T09:49:40.000Z",
        }
    ]
    text = status_text(view, NOW)
    assert "errors     12 min ago  job 7 (ior) failed: exit code 3" in text


@given(st.text(min_size=1), st.text(), st.integers(60, 120))
def test_no_line_is_longer_than_the_terminal(name: str, reason: str, width: int) -> None:
    """Whatever names and reasons hold, but for a word that has to stay in one piece."""
    settings = load({"RAINBOW_CLUSTER": "blue", "RAINBOW_HOST": "rainbow:8080"})
    conditions = [{"name": "rainbow-unreachable", "reason": reason, "since": NOW - 5}]
    runtime = {**RUNTIME, "conditions": conditions}
    bad = JobRow(JobKey("r1", 7), name, JobState.FAILED, reason, 1.0, None, NOW)
    view = status_view(settings, replace(found(runtime=runtime), errors=[bad]), NOW)
    for line in status_text(view, NOW, width=width).splitlines():
        assert len(line) <= width or max(map(len, line.split())) > width - 12
        assert line.isprintable()


class TestTheWord:
    """starting, working, idle, draining, degraded or stopped; never better than the truth."""

    TROUBLE: ClassVar = [
        {"name": "rainbow-unreachable", "reason": "no answer", "since": NOW - 180.0}
    ]

    def word(self, settings: Settings, sources: Sources, now: float = NOW) -> tuple[str, list[str]]:
        """The word, and the names of its reasons."""
        view = status_view(settings, sources, now)
        return view["state"], [reason["name"] for reason in view["reasons"]]

    def test_working_with_open_jobs_idle_without(self, settings: Settings) -> None:
        """Jobs that are over are no work."""
        assert self.word(settings, found()) == ("working", [])
        over = {**dict.fromkeys(JobState, 0), JobState.COMPLETED: 5, JobState.FAILED: 1}
        assert self.word(settings, replace(found(), counts=over)) == ("idle", [])

    def test_starting_until_the_first_registration(self, settings: Settings) -> None:
        """Not idle: it cannot get any job yet. What is wrong comes before."""
        new = replace(found(), registration=None)
        assert self.word(settings, new) == ("starting", [])
        assert self.word(settings, replace(new, pid=None))[0] == "stopped"
        runtime = {**RUNTIME, "conditions": self.TROUBLE}
        assert self.word(settings, replace(new, runtime=runtime))[0] == "degraded"

    def test_draining_by_wish_or_word(self, settings: Settings) -> None:
        """As soon as it is wished, and as long as the daemon says so."""
        wished = replace(found(), drain=Drain(NOW - 60, "kernel update"))
        assert self.word(settings, wished) == ("draining", [])
        said = {**RUNTIME, "draining": {"since": NOW - 60, "reason": ""}}
        assert self.word(settings, found(runtime=said)) == ("draining", [])
        text = status_text(status_view(settings, wished, NOW), NOW)
        assert "draining   for 60 s: kernel update; `rainbow-agent resume` ends it" in text

    def test_a_drain_for_a_stop_ends_with_the_daemon(self, settings: Settings) -> None:
        """It is not for anybody to end; where no daemon runs, the next start has done with it."""
        drained = replace(found(), drain=Drain(NOW - 6, "a stop", until_stopped=True))
        view = status_view(settings, drained, NOW)
        assert view["draining"]["until_stopped"] is True
        assert "draining   for 6 s: a stop; until this daemon has stopped" in status_text(view, NOW)
        text = status_text(status_view(settings, replace(drained, pid=None), NOW), NOW)
        assert "draining   for 6 s: a stop; the next start ends it" in text

    def test_degraded_by_what_the_daemon_says(self, settings: Settings) -> None:
        """Each condition with its reason and since when; it comes before draining."""
        runtime = {**RUNTIME, "conditions": self.TROUBLE}
        sources = replace(found(runtime=runtime), drain=Drain(NOW, ""))
        assert self.word(settings, sources) == ("degraded", ["rainbow-unreachable"])
        text = status_text(status_view(settings, sources, NOW), NOW)
        assert "! rainbow-unreachable  for 3 min: no answer" in text

    def test_silent_though_it_holds_the_lock(self, settings: Settings) -> None:
        """It said `all well` long ago: that is not believed."""
        loops = {"main": {"age": 0.1, "limit": 20.0}}
        sources = found(runtime={**RUNTIME, "loops": loops})
        assert self.word(settings, sources, NOW + 15) == ("working", [])
        assert self.word(settings, sources, NOW + 25) == ("degraded", ["heartbeat-old"])

    def test_stopped_by_a_signal_at_once(self, settings: Settings) -> None:
        """The kernel knows before any limit is over."""
        sources = replace(found(), halted=True)
        assert self.word(settings, sources) == ("degraded", ["process-stopped"])

    def test_a_heartbeat_of_the_daemon_before_is_no_sign_of_this_one(
        self, settings: Settings
    ) -> None:
        """A new daemon gets the same time to say something as any other."""
        old = {**RUNTIME, "heartbeat": NOW - 9000}
        sources = Sources(43, NOW - 1, old, COUNTS, "r1")
        assert self.word(settings, sources) == ("working", [])
        assert self.word(settings, sources, NOW + 60) == ("degraded", ["heartbeat-old"])

    def test_stopped_whatever_was_said_last(self, settings: Settings) -> None:
        """No daemon runs: its last conditions are history."""
        runtime = {**RUNTIME, "conditions": self.TROUBLE}
        assert self.word(settings, found(pid=None, runtime=runtime)) == ("stopped", [])

    def test_a_ledger_that_cannot_be_read_is_a_reason(self, settings: Settings) -> None:
        """Then nothing is known of the jobs, and no number is made up."""
        sources = replace(found(), counts=None, ledger_problem="ledger x: file is not a database")
        assert self.word(settings, sources) == ("degraded", ["ledger-unreadable"])
        view = status_view(settings, sources, NOW)
        assert view["jobs"] is None
        assert "not known: the ledger cannot be read" in status_text(view, NOW)

    @given(st.dictionaries(st.sampled_from([*RUNTIME, "loops", "conditions", "draining"]), junk))
    def test_nothing_that_a_file_holds_breaks_it(self, runtime: dict[str, Any]) -> None:
        """runtime.json may be of another version, or half nonsense."""
        reasons = reasons_of(Sources(42, NOW, runtime, COUNTS, None), NOW)
        assert word_of(Sources(42, NOW, runtime, COUNTS, None), reasons) in WORDS


def test_a_clock_that_was_set_back_is_survived(settings: Settings) -> None:
    """A heartbeat from the future is shown as now, not as a negative age."""
    text = status_text(status_view(settings, found(), NOW - 3600), NOW - 3600)
    assert "last heartbeat 0 s ago" in text


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
