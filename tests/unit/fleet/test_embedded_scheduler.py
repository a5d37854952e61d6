"""The embedded scheduler as a process, and where it is safer than the Go server."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from rainbow_agent.core.errors import DatabaseLocked, Rejected, RequestDenied, UsageError
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.errors import sort_failure
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.stubs import memory_pb2, rainbow_pb2
from rainbow_agent.fleet.scheduler_server import RunningScheduler, serve
from rainbow_agent.fleet.scheduler_server.failure import Failure
from rainbow_agent.fleet.scheduler_server.store import Store
from support.common import open_files
from support.program import PROGRAM
from support.servers import make_graph, running_scheduler

SECRET = "registration-secret"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningScheduler]:
    running = serve("127.0.0.1:0", SECRET, "", tmp_path / "r.db")
    yield running
    running.stop()


@pytest.fixture
def scheduler(running: RunningScheduler) -> Iterator[RainbowScheduler]:
    with closing(RainbowScheduler(f"127.0.0.1:{running.port}")) as scheduler:
        yield scheduler


def test_it_ends_cleanly_when_told(tmp_path: Path) -> None:
    """SIGTERM ends the process with 0, and a stop that comes twice is none."""
    with running_scheduler("embedded", tmp_path) as process:
        assert process.stop() == 0
        assert process.stop() is None


def test_its_secret_is_not_in_its_arguments_or_log(tmp_path: Path) -> None:
    """Given in the environment, the secret is not shown."""
    with running_scheduler("embedded", tmp_path, secret="hush-hush") as process:
        with closing(RainbowScheduler(process.host)) as scheduler:
            given = scheduler.register("blue", "hush-hush", make_graph())
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.stop()
        for secret in ("hush-hush", given.secret, given.token):
            assert secret.encode() not in arguments
            assert secret not in process.log()


def test_its_database_is_for_its_owner(tmp_path: Path, running: RunningScheduler) -> None:
    """It holds every cluster's secret."""
    assert stat.S_IMODE((tmp_path / "r.db").stat().st_mode) == 0o600
    assert running.port > 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--host", "127.0.0.1:99999"],
        ["--host", "127.0.0.1"],
        ["--host", "127.0.0.1:http"],
        ["--db", "/dev/null/r.db"],  # a file is no folder, for root either
        ["--select-algorithm", "best"],
        ["--select-algorithm", "constraint"],
        ["--match-algorithm", "best"],
        ["--secret", ""],
    ],
    ids=" ".join,
)
def test_what_it_cannot_do_is_said_before_it_starts(tmp_path: Path, flags: list[str]) -> None:
    """A wrong flag ends the process with 2 and one line that names it."""
    command = [str(PROGRAM), "scheduler"]
    given = ["--host", "127.0.0.1:0", "--db", str(tmp_path / "r.db"), *flags]
    ended = subprocess.run(
        [*command, *given], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_is_not_shared(tmp_path: Path, running: RunningScheduler) -> None:
    """A second scheduler on the same port would take half of the calls: it does not start."""
    with pytest.raises(UsageError, match=r"cannot listen on .*: address already in use; choose"):
        serve(f"127.0.0.1:{running.port}", SECRET, "", tmp_path / "other.db")


def test_any_address_is_written_as_in_go(tmp_path: Path) -> None:
    """`:PORT` listens on every address of the machine."""
    running = serve(":0", SECRET, "", tmp_path / "any.db")
    try:
        with closing(RainbowScheduler(f"127.0.0.1:{running.port}")) as scheduler:
            assert scheduler.register("blue", SECRET, make_graph()).secret
    finally:
        running.stop()


@pytest.mark.parametrize("text", ['say "hi"', '"); DROP TABLE jobs; --', "nul\0", "'"])
def test_double_quotes_are_data(scheduler: RainbowScheduler, text: str) -> None:
    """What breaks the Go server's SQL is stored and handed out as it came."""
    given = scheduler.register("blue", SECRET, make_graph())
    asked = rainbow_pb2.SubmitJobRequest(
        name=text,
        clusters=[rainbow_pb2.SubmitJobRequest.Cluster(name="blue", token=given.token)],
        jobspec=text,
    )
    scheduler._call(rainbow_rpc.SUBMIT_JOB, asked)
    (offer,) = scheduler.receive("blue", given.secret, 0)
    assert (offer.name, offer.jobspec) == (text, text)


def test_the_id_of_a_job_is_answered(scheduler: RainbowScheduler) -> None:
    """SubmitJob says the id that ReceiveJobs will have; the Go server says 0."""
    given = scheduler.register("blue", SECRET, make_graph())
    asked = rainbow_pb2.SubmitJobRequest(
        clusters=[rainbow_pb2.SubmitJobRequest.Cluster(name="blue", token=given.token)],
        jobspec="version: 1\n",
    )
    ids = [scheduler._call(rainbow_rpc.SUBMIT_JOB, asked).jobid for _ in range(3)]
    assert ids == [offer.id for offer in scheduler.receive("blue", given.secret, 0)]


def test_a_limit_gives_the_oldest(scheduler: RainbowScheduler) -> None:
    """A cluster that takes a few at a time starves no job."""
    given = scheduler.register("blue", SECRET, make_graph())
    for number in range(5):
        scheduler.submit(f"job-{number}", {"blue": given.token}, "version: 1\n")
    names = [offer.name for offer in scheduler.receive("blue", given.secret, 2)]
    assert names == ["job-0", "job-1"]


def test_a_broken_graph_burns_no_name(scheduler: RainbowScheduler) -> None:
    """The Go server would keep the name and never give its secret."""
    asked = rainbow_pb2.RegisterRequest(name="blue", secret=SECRET, nodes='{"graph": {}}')
    with pytest.raises(Rejected, match="at least one edge and node"):
        scheduler._call(rainbow_rpc.REGISTER, asked)
    assert scheduler.register("blue", SECRET, make_graph()).secret


def test_a_graph_without_owner_gives_way(scheduler: RainbowScheduler) -> None:
    """MemoryGraph.Register asks for no secret; it must not keep a cluster from registering."""
    scheduler.restore_graph("blue", make_graph(nodes=99))
    scheduler.register("blue", SECRET, make_graph(nodes=1))
    large = {"resources": {"r": {"type": "node", "count": 99}}}
    assert scheduler.satisfy(large).clusters == ()


def test_a_cluster_whose_graph_is_being_replaced_costs_no_other(
    scheduler: RainbowScheduler,
) -> None:
    """Between the two calls it matches nothing, and the rest of the fleet matches as ever."""
    blue = scheduler.register("blue", SECRET, make_graph())
    scheduler.register("red", SECRET, make_graph())
    node = {"resources": {"r": {"type": "node"}}}
    scheduler.delete_subsystem("blue", blue.secret, "cluster")
    assert scheduler.satisfy(node).clusters == ("red",)
    scheduler.register_subsystem("blue", blue.secret, "cluster", make_graph())
    assert scheduler.satisfy(node).clusters == ("blue", "red")


@pytest.mark.parametrize("payload", ["", "{", "[1]", "5", "[" * 100_000], ids=range(5))
def test_a_state_that_is_no_object_is_refused(scheduler: RainbowScheduler, payload: str) -> None:
    """Empty, broken or another kind of JSON changes nothing."""
    given = scheduler.register("blue", SECRET, make_graph())
    asked = rainbow_pb2.UpdateStateRequest(cluster="blue", secret=given.secret, payload=payload)
    with pytest.raises(Rejected):
        scheduler._call(rainbow_rpc.UPDATE_STATE, asked)


def test_an_empty_request_crashes_nothing(scheduler: RainbowScheduler) -> None:
    """Every procedure refuses a message without content, but for Satisfy of an empty jobspec."""
    for rpc in rainbow_rpc.ALL:
        with pytest.raises((Rejected, RequestDenied)):
            scheduler._call(rpc, rpc.request())
    empty = memory_pb2.SatisfyRequest(payload="{}")
    assert scheduler._call(rainbow_rpc.SATISFY, empty).total_clusters == 0


def test_an_unknown_matcher_is_refused(scheduler: RainbowScheduler) -> None:
    """There is one, and a client that wants another gets an error."""
    with pytest.raises(Rejected, match="did not find algorithm named best"):
        scheduler._call(
            rainbow_rpc.SATISFY, memory_pb2.SatisfyRequest(payload="{}", matcher="best")
        )


def test_a_locked_database_is_refused_in_sqlites_words(tmp_path: Path) -> None:
    """Another program holds the file: clients get the words that they retry on."""
    path = tmp_path / "r.db"
    with (
        closing(Store(path, lock_wait=0.05)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Failure, match=r"^database is locked$") as caught:
            store.add_job("blue", "job", "version: 1")
        other.execute("ROLLBACK")
        assert store.add_job("blue", "job", "version: 1") == 1
    assert sort_failure(grpc.StatusCode.UNKNOWN, str(caught.value)) is DatabaseLocked


def test_a_database_that_cannot_be_used_is_not_left_open(tmp_path: Path) -> None:
    """Whatever is wrong with it."""
    path = tmp_path / "r.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(UsageError, match="cannot open the scheduler's database"):
        Store(path)
    assert path not in open_files()
