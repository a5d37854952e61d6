"""ports.Workload, over the local workload manager and real Flux: what becomes of a submission."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.workload_values import EventKind, SubmitHeld, SubmitRefused, Submitted
from support.common import eventually
from support.local_workload import make_jobspec
from support.places import FOREVER, Client, exception, kinds_of, lives, moment, status


def test_a_job_is_told_from_submission_to_its_end(client: Client) -> None:
    """Its key comes back with the submission, then it starts, ends well and is over."""
    (outcome,) = client.submit(make_jobspec(["true"]))
    assert isinstance(outcome, Submitted)
    events = client.end(outcome.flux_id)
    assert kinds_of(events) == ["submit", "start", "finish", "clean"]
    assert events[0].key == outcome.key
    assert status(events) == 0
    assert [e.time for e in events] == sorted(e.time for e in events)


def test_its_lineage_has_a_name_that_jobs_do_not_change(client: Client) -> None:
    """It is the same before a job and after it, and no job was forgotten."""
    before = client.workload.lineage
    assert before.name
    client.end(client.run(["true"]))
    assert client.workload.lineage == before


@pytest.mark.parametrize(
    ("command", "code"),
    [(["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], 137), (["no-such-command"], 127)],
)
def test_a_failure_has_its_wait_status(client: Client, command: list[str], code: int) -> None:
    """Exit codes come as wait statuses; a signal is 128 and its number."""
    events = client.end(client.run(command))
    assert status(events) == code << 8
    assert kinds_of(events)[-1] == "clean"


def test_a_dependent_job_starts_when_all_before_it_ended_well(client: Client) -> None:
    """Also when it is submitted before they have started."""
    first = [client.run(["sh", "-c", "sleep 0.3"]) for _ in range(2)]
    last = client.run(["true"], afterok=first)
    began = moment(client.end(last), EventKind.START)
    for job in first:
        assert moment(client.end(job), EventKind.FINISH) <= began


def test_a_job_that_depends_on_one_that_ended_well_runs(client: Client) -> None:
    """A dependency that is fulfilled already does not wait for ever."""
    first = client.run(["true"])
    client.end(first)
    assert status(client.end(client.run(["true"], afterok=[first]))) == 0


def test_a_failure_ends_all_that_depends_on_it(client: Client) -> None:
    """They never start: each has a `dependency` exception, and is over."""
    first = client.run(["sh", "-c", "sleep 0.5; false"])
    second = client.run(["true"], afterok=[first])
    third = client.run(["true"], afterok=[second])
    for job in (second, third):
        events = client.end(job)
        assert kinds_of(events) == ["submit", "dependency", "clean"]
        assert exception(events).severity == 0
        assert "dependency" in exception(events).note


def test_a_dependency_that_failed_before_is_refused(client: Client) -> None:
    """The refusal names the job that failed."""
    first = client.run(["false"])
    client.end(first)
    assert "failed" in client.refused(make_jobspec(["true"]), afterok=[first])


def test_a_dependency_that_nobody_knows_is_refused(client: Client) -> None:
    """A job id of another life is no dependency."""
    assert "not found" in client.refused(make_jobspec(["true"]), afterok=[12345])


def test_a_request_that_can_never_run_is_turned_down_in_words(client: Client) -> None:
    """Either at once, or with an `alloc` exception; it never starts."""
    (outcome,) = client.submit(make_jobspec(["true"], cores=10_000))
    assert not isinstance(outcome, SubmitHeld)
    if isinstance(outcome, SubmitRefused):
        words = outcome.reason
    else:
        events = client.end(outcome.flux_id)
        assert kinds_of(events) == ["submit", "alloc", "clean"]
        words = exception(events).note
    assert "unsatisfiable" in words


def test_an_unknown_host_is_turned_down_in_words(client: Client) -> None:
    """A constraint that no node passes does not leave a job waiting for ever."""
    (outcome,) = client.submit(make_jobspec(["true"], constraints={"hostlist": ["nosuch-host"]}))
    assert not isinstance(outcome, SubmitHeld)
    if isinstance(outcome, SubmitRefused):
        assert "nosuch-host" in outcome.reason
    else:
        assert "start" not in kinds_of(client.end(outcome.flux_id))


@pytest.mark.parametrize(
    "change",
    [{"version": 999}, {"resources": "many"}, {"tasks": "none"}],
    ids=["version", "resources", "tasks"],
)
def test_what_is_no_jobspec_is_refused_in_words(client: Client, change: dict[str, Any]) -> None:
    """One bad request does not harm those around it."""
    good = make_jobspec(["true"])
    outcomes = client.submit(good, {**good, **change}, good)
    assert [type(o) for o in outcomes] == [Submitted, SubmitRefused, Submitted]
    assert isinstance(outcomes[1], SubmitRefused)
    assert outcomes[1].reason


def test_a_job_that_takes_too_long_is_ended(client: Client) -> None:
    """The exception is `timeout`, and the job ends badly."""
    events = client.end(client.run(FOREVER, duration=0.3))
    assert exception(events).exception == "timeout"
    assert exception(events).severity == 0
    assert status(events) != 0


def test_a_job_runs_in_its_folder_with_its_environment(client: Client, tmp_path: Path) -> None:
    """Newlines and Unicode in values included."""
    value = "line one\nline two: ünïcödé"
    command = ["sh", "-c", 'printf %s "$GREETING" > here']
    client.end(client.run(command, cwd=str(tmp_path), environment={"GREETING": value}))
    assert (tmp_path / "here").read_text() == value


def test_a_command_with_odd_characters_arrives_as_it_is(client: Client, tmp_path: Path) -> None:
    """Quotes, newlines, dollars and percent signs are not interpreted on the way."""
    words = ['"double"', "'single'", "two\nlines", "$HOME", "%s", "\\n", "ünïcödé", ""]
    script = 'for w; do printf "%s\\0" "$w"; done > words'
    client.end(client.run(["sh", "-c", script, "sh", *words], cwd=str(tmp_path)))
    assert (tmp_path / "words").read_text().split("\0")[:-1] == words


def test_cancel_ends_the_whole_process_group(client: Client, tmp_path: Path) -> None:
    """What a task started in the background goes with it; the note is reported."""
    script = "sleep 1000 & echo $! $$ > pids.new; mv pids.new pids; wait"
    job = client.run(["sh", "-c", script], cwd=str(tmp_path))
    eventually((tmp_path / "pids").exists, "the task says what it started")
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert all(map(lives, pids))
    client.workload.cancel([job], "somebody wants it ended")
    events = client.end(job)
    assert exception(events).exception == "cancel"
    assert exception(events).note == "somebody wants it ended"
    assert status(events) != 0
    eventually(lambda: not any(map(lives, pids)), "all its processes are gone")


def test_cancel_ends_a_job_that_waits(client: Client) -> None:
    """It never starts; what depends on it ends too."""
    blocker = client.run(FOREVER)
    waiting = client.run(["true"], afterok=[blocker])
    dependent = client.run(["true"], afterok=[waiting])
    client.workload.cancel([waiting], "no more")
    assert kinds_of(client.end(waiting)) == ["submit", "cancel", "clean"]
    assert kinds_of(client.end(dependent)) == ["submit", "dependency", "clean"]


def test_cancel_of_what_is_over_or_unknown_is_no_error(client: Client) -> None:
    """The jobs among them that run are ended all the same."""
    over, running = client.run(["true"]), client.run(FOREVER)
    client.end(over)
    client.workload.cancel([over, 12345, running], "all of you")
    assert "cancel" in kinds_of(client.end(running))
