"""What the local workload manager makes of jobs: a real server and real processes."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from rainbow_agent.core.workload_values import EventKind, SubmitRefused, Submitted
from support.common import eventually
from support.local_workload import (
    Watched,
    exception,
    kinds_of,
    lives,
    make_jobspec,
    output,
    printed_pids,
    running_server,
    status,
    watching,
)

FOREVER = ["sleep", "1000"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_a_job_ends_with_its_exit_code(watched: Watched, command: list[str], code: int) -> None:
    """Codes come as wait statuses, those of signals as 128 + n, as with Flux."""
    events = watched.end(watched.run(command))
    assert status(events) == code << 8
    assert kinds_of(events)[:2] == ["submit", "start"]
    assert kinds_of(events)[-2:] == ["finish", "clean"]


def test_a_command_that_is_not_there_is_named(watched: Watched) -> None:
    """The exception says which task, which command, and what is wrong with it."""
    events = watched.end(watched.run(["no-such-command"]))
    assert kinds_of(events) == ["submit", "start", "exec", "finish", "clean"]
    assert "task 0" in exception(events).note
    assert "no-such-command: No such file or directory" in exception(events).note


def test_a_working_folder_that_is_not_there_is_named(watched: Watched, tmp_path: Path) -> None:
    """A job never runs in another folder than it asked for."""
    gone = tmp_path / "gone"
    events = watched.end(watched.run(["touch", "here"], cwd=str(gone)))
    assert exception(events).exception == "exec"
    assert f"working folder {gone}: No such file" in exception(events).note


def test_a_job_gets_the_environment_it_brought_and_no_other(
    watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the server's or the agent's environment reaches a job."""
    monkeypatch.setenv("RAINBOW_SECRET", "do-not-tell")
    job = watched.run(["env"], environment={"A": "line one\nline two"})
    watched.end(job)
    names = {line.partition("=")[0] for line in output(folder, job).splitlines()}
    assert "A=line one\nline two\n" in output(folder, job)
    flux = {"FLUX_JOB_ID", "FLUX_JOB_SIZE", "FLUX_JOB_NNODES"}
    assert names - {"line two"} == {"A", "PATH", "FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID"} | flux
    assert f"FLUX_JOB_ID={job}\n" in output(folder, job)


def test_each_slot_is_a_process_and_the_largest_status_counts(
    watched: Watched, folder: Path
) -> None:
    """Three slots are three ranks, each in its own environment."""
    script = "echo $FLUX_TASK_RANK of $FLUX_JOB_SIZE; exit $FLUX_TASK_RANK"
    job = watched.run(["sh", "-c", script], slots=2)
    assert status(watched.end(job)) == 1 << 8
    assert sorted(output(folder, job).splitlines()) == ["0 of 2", "1 of 2"]


def test_output_and_folder_are_private(watched: Watched, folder: Path) -> None:
    """What jobs print is for this user only, whatever umask the job itself gets."""
    job = watched.run(["sh", "-c", "echo out; echo err >&2; umask"])
    watched.end(job)
    assert output(folder, job).splitlines()[0] == "out"
    assert output(folder, job, "err") == "err\n"
    umask = os.umask(0o022)
    os.umask(umask)
    assert int(output(folder, job).splitlines()[1], 8) == umask
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        assert not path.stat().st_mode & 0o077, path


def test_files_of_a_job_are_there_while_it_runs(watched: Watched, folder: Path) -> None:
    """A script travels in the jobspec; its folder is gone when the job is."""
    script = {"mode": 0o100700, "data": "#!/bin/sh\necho $FLUX_JOB_TMPDIR", "encoding": "utf-8"}
    job = watched.run(["{{tmpdir}}/run.sh"], files={"run.sh": script})
    assert status(watched.end(job)) == 0
    tmpdir = Path(output(folder, job).strip())
    assert tmpdir == folder / "tmp" / str(job)
    assert not tmpdir.exists()


def test_jobs_run_after_what_they_depend_on(watched: Watched) -> None:
    """Afterok holds through the client, for jobs that are submitted in one go."""
    first = watched.run(["sleep", "0.2"])
    outcome = watched.submit(make_jobspec(["true"]), afterok=[first])
    assert isinstance(outcome, Submitted)
    events = watched.end(outcome.flux_id)
    start = next(e.time for e in events if e.kind is EventKind.START)
    finish = next(e.time for e in watched.of(first) if e.kind is EventKind.FINISH)
    assert start >= finish


def test_a_failed_dependency_is_told_in_words(watched: Watched) -> None:
    """The dependent gets a `dependency` exception while it waits, and a refusal afterwards."""
    first = watched.run(["sh", "-c", "sleep 0.2; false"])
    waiting = watched.submit(make_jobspec(["true"]), afterok=[first])
    assert isinstance(waiting, Submitted)
    events = watched.end(waiting.flux_id)
    assert kinds_of(events) == ["submit", "dependency", "clean"]
    assert "can never be satisfied" in exception(events).note
    late = watched.submit(make_jobspec(["true"]), afterok=[first])
    assert isinstance(late, SubmitRefused)
    assert "failed or was canceled" in late.reason


def test_cores_limit_what_runs_at_once(watched: Watched) -> None:
    """With two cores, of three jobs of one core the third starts when another has ended."""
    jobs = [watched.run(["sleep", "0.1"]) for _ in range(3)]
    for job in jobs:
        watched.end(job)
    third = next(e.time for e in watched.of(jobs[2]) if e.kind is EventKind.START)
    ends = [e.time for j in jobs[:2] for e in watched.of(j) if e.kind is EventKind.FINISH]
    assert third >= min(ends)


def test_resources_count_what_is_taken(watched: Watched) -> None:
    """One node; its free cores are those no running job holds."""
    job = watched.run(FOREVER)
    watched.until(EventKind.START, job)
    (node,) = watched.workload.resources().nodes
    assert (node.rank, node.name, node.cores, node.cores_free) == (0, socket.gethostname(), 2, 1)
    watched.workload.cancel([job], "")


def test_a_job_that_takes_too_long_is_ended(watched: Watched) -> None:
    """After its duration: a `timeout` exception, SIGTERM, and its status."""
    events = watched.end(watched.run(FOREVER, duration=0.2))
    assert kinds_of(events) == ["submit", "start", "timeout", "finish", "clean"]
    assert exception(events).note == "resource allocation expired"
    assert status(events) == (128 + signal.SIGTERM) << 8


def test_a_canceled_job_takes_its_children_along(watched: Watched, folder: Path) -> None:
    """Also those that left its process group, and its session."""
    script = "sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & wait"
    job = watched.run(["sh", "-c", script])
    pids = printed_pids(folder, job, 2)
    assert all(lives(pid) for pid in pids)
    watched.workload.cancel([job, 12345], "not needed any more")
    events = watched.end(job)
    assert exception(events).exception == "cancel"
    assert exception(events).note == "not needed any more"
    eventually(lambda: not any(lives(pid) for pid in pids), "every process of the job is gone")


def test_a_job_that_waits_is_canceled_at_once(watched: Watched) -> None:
    """It never starts."""
    first = watched.run(FOREVER)
    outcome = watched.submit(make_jobspec(["true"]), afterok=[first])
    assert isinstance(outcome, Submitted)
    watched.workload.cancel([outcome.flux_id], "no")
    assert kinds_of(watched.end(outcome.flux_id)) == ["submit", "cancel", "clean"]
    watched.workload.cancel([first], "no")


def test_who_ignores_sigterm_is_killed(folder: Path) -> None:
    """After the grace time the whole group goes, with children that ignore SIGTERM."""
    script = "trap '' TERM; sh -c 'echo $$; while :; do sleep 0.1; done' & echo $$; wait"
    with running_server(folder, "--grace", "0.3"), watching(folder, launch=False) as client:
        job = client.run(["sh", "-c", script])
        pids = printed_pids(folder, job, 2)
        client.workload.cancel([job], "")
        assert status(client.end(job)) == (128 + signal.SIGKILL) << 8
        eventually(lambda: not any(lives(pid) for pid in pids), "all of them are gone")


def test_a_job_lasts_as_long_as_what_it_left_in_the_background(watched: Watched) -> None:
    """A child that runs on holds the job's cores, and the job's status is the leader's."""
    job = watched.run(["sh", "-c", "sleep 0.5 & exit 5"])
    events = watched.end(job)
    times = {event.kind: event.time for event in events}
    assert status(events) == 5 << 8
    assert times[EventKind.FINISH] - times[EventKind.START] >= 0.4
