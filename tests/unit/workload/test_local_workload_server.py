"""The local workload manager's server: its life, its death, its clients."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Rejected, UsageError, WorkloadUnavailable
from rainbow_agent.core.workload_values import EventKind
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.local.server import folder as folders
from rainbow_agent.workload.local.workload import LocalWorkload, shut_down
from support.common import eventually, helper_environment
from support.local_workload import (
    Watched,
    exception,
    kinds_of,
    lives,
    output,
    printed_pids,
    running_server,
    status,
    watching,
)

FOREVER = ["sleep", "1000"]


def test_the_servers_own_environment_holds_no_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the agent knows is not left behind in a process that outlives it."""
    monkeypatch.setenv("RAINBOW_SECRET", "do-not-tell")
    with watching(folder) as client:
        assert client.workload.resources().nodes[0].cores >= 1
    pid = int((folder / folders.LOCK).read_text())
    assert b"do-not-tell" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_none_is_started_after_a_stop_began(tmp_path: Path) -> None:
    """A service manager would end it with the agent, and the jobs that it has just begun."""
    folder, stop = tmp_path / "workload", Stop()
    stop.set("the test")
    with (
        closing(LocalWorkload(folder, stop=stop)) as workload,
        pytest.raises(WorkloadUnavailable, match="none is started after a stop began"),
    ):
        workload.resources()
    assert not (folder / folders.LOCK).exists()


def test_one_that_runs_is_used_after_a_stop_began(folder: Path) -> None:
    """What the stop cancels is canceled there."""
    stop = Stop()
    stop.set("the test")
    with watching(folder), closing(LocalWorkload(folder, stop=stop)) as workload:
        assert workload.resources().nodes


def test_jobs_outlive_the_client(folder: Path) -> None:
    """A client that is killed costs no job; the next one reads all of it in the journal."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from support.local_workload import watching\n"
        "with watching(Path(sys.argv[1])) as client:\n"
        "    print(client.run(['sh', '-c', 'sleep 0.3; echo done']), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    client = subprocess.run(
        [sys.executable, "-c", program, folder],
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert client.returncode == -signal.SIGKILL
    job = int(client.stdout)
    with watching(folder, launch=False) as other:
        assert status(other.end(job)) == 0
    assert output(folder, job) == "done\n"


def test_a_killed_server_comes_back_with_its_history(folder: Path) -> None:
    """What ran is reported once as failed and is gone; what waited runs; nothing runs twice."""
    with running_server(folder, "--cores", "1") as server, watching(folder, launch=False) as client:
        over = client.run(["true"])
        client.end(over)
        ran = client.run(["sh", "-c", "setsid sleep 1000 & echo $! $$; exec sleep 1000"])
        waits = client.run(["sh", "-c", "echo once"])
        pids = printed_pids(folder, ran, 2)
        before = client.of(over)
        server.kill()
        with pytest.raises(WorkloadUnavailable):
            eventually(lambda: client.journal.next_events(5) is None, "the connection breaks")
    assert all(lives(pid) for pid in pids)
    with watching(folder, cores=1) as client:
        assert not any(lives(pid) for pid in pids)
        assert status(client.end(waits)) == 0
        assert client.of(over) == before
        assert kinds_of(client.of(ran)) == ["submit", "start", "exec", "clean"]
        assert "restarted" in exception(client.of(ran)).note
        assert client.run(["true"]) > waits
    assert output(folder, waits) == "once\n"


@pytest.mark.parametrize("starts", [1, 4, 7])
def test_no_job_is_lost_or_run_twice_when_the_server_dies(folder: Path, starts: int) -> None:
    """Killed after some starts: each job that was taken runs at most once and ends once."""
    with running_server(folder, "--cores", "2") as server, watching(folder, launch=False) as client:
        job_script = "echo ran >> $0.ran; sleep 0.05"
        jobs = [client.run(["sh", "-c", job_script, f"{folder}/output/{i}"]) for i in range(9)]
        eventually(
            lambda: sum(e.kind is EventKind.START for e in client.listen()) >= starts,
            f"{starts} jobs have started",
        )
        server.kill()
    with watching(folder, cores=2) as client:
        for number, job in enumerate(jobs):
            names = kinds_of(client.end(job))
            assert names.count("start") == names.count("clean") == 1
            ran = folder / "output" / f"{number}.ran"
            times = ran.read_text().count("ran") if ran.exists() else 0
            assert times == 1 if "finish" in names else times <= 1
        ended_ok = [job for job in jobs if "finish" in kinds_of(client.of(job))]
        assert len(jobs) - 2 <= len(ended_ok) <= len(jobs)


def test_a_server_that_is_told_to_leave_ends_what_runs(folder: Path) -> None:
    """SIGTERM: running jobs are canceled, with that note; waiting ones run on the next server."""
    with running_server(folder, "--cores", "1") as server:
        with watching(folder, launch=False) as client:
            ran, waits = client.run(FOREVER), client.run(["true"])
            client.until(EventKind.START, ran)
            server.terminate()
            assert exception(client.end(ran)).exception == "cancel"
            assert server.wait(timeout=120) == 0
        assert kinds_of(client.of(waits)) == ["submit"]
    with watching(folder, cores=1) as client:
        assert status(client.end(waits)) == 0


def test_a_second_signal_ends_a_server_at_once(folder: Path) -> None:
    """It does not wait for a job that ignores SIGTERM, and leaves nothing of it running."""
    script = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    with (
        running_server(folder, "--grace", "1000") as server,
        watching(folder, launch=False) as client,
    ):
        job = client.run(["sh", "-c", script])
        (pid,) = printed_pids(folder, job)
        server.terminate()
        client.until(EventKind.EXCEPTION, job)
        server.terminate()
        assert server.wait(timeout=120) == 0
        eventually(lambda: not lives(pid), "the job is gone")
    with watching(folder) as client:
        kinds = [
            kind for kind in kinds_of(client.end(job)) if kind != "finish"
        ]  # seen in time or not
        assert kinds == ["submit", "start", "cancel", "clean"]


def test_a_server_that_cannot_write_promises_nothing(folder: Path) -> None:
    """With a full disk it leaves: what was taken is there afterwards, what was not never ran."""
    with running_server(folder) as server, watching(folder, launch=False) as client:
        taken = client.run(["true"])
        before = client.end(taken)
        runs = client.run(FOREVER)
        client.until(EventKind.START, runs)
        limit = (folder / folders.JOURNAL).stat().st_size + 100
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(WorkloadUnavailable):
            client.run(["sh", "-c", "echo ran > $0", f"{folder}/output/ran"])
        assert server.wait(timeout=120) == 1
    with watching(folder) as client:
        assert kinds_of(client.end(runs)) == ["submit", "start", "exec", "clean"]
        client.until(EventKind.CAUGHT_UP)
        assert client.of(taken) == before
        assert {event.flux_id for event in client.events} == {0, taken, runs}
    assert not (folder / "output" / "ran").exists()


def test_shutdown_without_kill_refuses_while_there_are_jobs(watched: Watched) -> None:
    """No job is ended by accident."""
    job = watched.run(FOREVER)
    with pytest.raises(Rejected, match="1 jobs are not over"):
        watched.workload.shutdown(kill=False)
    watched.workload.shutdown(kill=True)
    assert exception(watched.end(job)).exception == "cancel"


def test_only_one_server_works_in_a_folder(folder: Path) -> None:
    """The second leaves, and says who holds the folder."""
    with running_server(folder) as first:
        command = [
            sys.executable,
            "-m",
            "rainbow_agent.workload.local.server",
            "--dir",
            str(folder),
        ]
        second = subprocess.run(
            command, capture_output=True, text=True, cwd="/", timeout=120, check=False
        )
        assert second.returncode == folders.FolderHeld.exit_code
        assert f"pid {first.pid}" in second.stderr


def test_clients_that_come_at_once_get_the_same_server(folder: Path) -> None:
    """Several start one at the same time; one lives."""
    found: list[str] = []

    def come() -> None:
        workload = LocalWorkload(folder)
        found.append(workload.instance)
        workload.close()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_server_that_nobody_needs_leaves(folder: Path) -> None:
    """It stays for a client and for a job, and goes when neither is there."""
    with watching(folder, idle_exit=0.2) as client:
        pid = int((folder / folders.LOCK).read_text())
        job = client.run(["sleep", "0.5"])
    assert lives(pid)
    eventually(lambda: not lives(pid), "the server has left")
    with watching(folder) as client:
        assert status(client.end(job)) == 0


def test_a_folder_can_lie_deep(tmp_path: Path) -> None:
    """A path that is too long for a socket's address is no hindrance."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    try:
        with watching(deep) as client:
            assert status(client.end(client.run(["true"]))) == 0
    finally:
        shut_down(deep)


def test_a_folder_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    """Jobs' output and the socket are not put where others can reach them."""
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match="chmod 700"), watching(tmp_path):
        pass


def test_a_lost_server_is_started_again_by_the_next_call(folder: Path) -> None:
    """WorkloadUnavailable, once; then the same object works, and nothing is in flight."""
    with running_server(folder) as server:
        workload = LocalWorkload(folder, cores=3)
        instance = workload.instance
        server.kill()
        server.wait()
        with pytest.raises(WorkloadUnavailable, match="is gone"):
            workload.resources()
    assert workload.in_flight() == 0
    assert workload.resources().nodes[0].cores == 3
    assert workload.instance == instance
    workload.close()


def test_without_leave_to_launch_an_absent_server_is_said(folder: Path) -> None:
    """Read-only callers start nothing."""
    workload = LocalWorkload(folder, launch=False)
    with pytest.raises(WorkloadUnavailable, match=r"server\.log"):
        workload.resources()
    assert not folder.exists()
