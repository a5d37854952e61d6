"""Answers of a broken server: each is reported, nothing is invented, and the next job runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.stubs import rainbow_pb2
from rainbow_agent.jobspec.wire import to_wire
from support.common import eventually
from support.fleet import jobspec, task
from support.grpc import CallProxy
from support.outages import hasty
from support.program import Running
from support.site import Site, running_site

Reply = rainbow_pb2.ReceiveJobsResponse
#: The largest and the least id that rainbow's messages can hold, and one that no database gives.
ODD_IDS = (2**31 - 1, -(2**31), -3, 0)


class Server:
    """A rainbow whose list of jobs a test can add rows to, beside those that it really has."""

    def __init__(self, site: Site, proxy: CallProxy) -> None:
        self.site = site
        self.proxy = proxy
        self.rows: dict[int, str] = {}
        self._accepts = 0  # calls that were looked at
        proxy.answer_with(rainbow_rpc.RECEIVE_JOBS, self._change)

    def _change(self, raw: bytes) -> bytes:
        reply = Reply.FromString(raw)
        asked = self.proxy.seen(rainbow_rpc.ACCEPT_JOBS)
        news, self._accepts = asked[self._accepts :], len(asked)
        for request in news:
            for job_id in request.jobids:
                self.rows.pop(job_id, None)
        reply.jobs.update(self.rows)
        reply.status = Reply.REQUEST_JOBS_SUCCESS
        changed: bytes = reply.SerializeToString()
        return changed

    def row(self, job_id: int, line: str, **changes: Any) -> str:
        """A row of a job that writes a line; `changes`: other values of its fields."""
        text = to_wire(jobspec(task(self.site.writes(line)), name=line))
        row = {"id": job_id, "cluster": "blue", "name": line, "jobspec": text, "command": ""}
        return json.dumps({**row, **changes})

    def the_next_job_runs(self, line: str) -> None:
        """A job that is really there does what it should, and is reported."""
        self.site.fleet.send(jobspec(task(self.site.writes(line)), name=line))
        eventually(lambda: line in self.site.written(), f"{line} runs", seconds=60)
        eventually(lambda: not self.site.unreported(), "rainbow has the reports", seconds=60)

    def jobs(self) -> dict[int, JobRow]:
        """What the ledger has, by rainbow's id."""
        return {row.key.id: row for row in self.site.program.rows()}

    def reasons(self) -> dict[str, str]:
        """What `status` says is wrong."""
        told = self.site.program.show("status")["reasons"]
        return {each["name"]: each["reason"] for each in told}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Server, Running]]:
    with running_site(folder) as site, CallProxy(site.scheduler.host) as proxy:
        site.program.environ |= {"RAINBOW_HOST": proxy.host, **hasty(3.0)}
        with site.program.background("start") as agent:
            agent.says("Caught up")
            eventually(site.program.config.exists, "it is registered")
            eventually(lambda: site.fleet.credentials.cluster_secret, "it has its secret")
            yield Server(site, proxy), agent
            assert agent.stop() == 0, agent.log()
            assert "Traceback" not in agent.log()


def test_rows_that_are_no_jobs(tmp_path: Path) -> None:
    """Each is refused with the reason, stored, counted, shown and let go; what is good runs."""
    with serving(tmp_path) as (server, agent):
        odd: Mapping[int, tuple[str, str]] = {
            101: ("", "not JSON"),
            102: ("{]", "not JSON"),
            103: ("[" * 50_000, "not JSON"),
            104: ("[1, 2]", "not a JSON object"),
            105: ("{}", "no cluster"),
            106: (server.row(106, "never", cluster="green"), "'green'"),
            107: (server.row(107, "never", cluster=["blue"]), "not for cluster blue"),
            108: (server.row(108, "never", jobspec=None), "no jobspec"),
            109: (server.row(109, "never", jobspec={"version": 1}), "no jobspec"),
            110: (server.row(109, "never"), "says that it is 109"),
            111: (server.row(111, "never", id=True), "says that it is True"),
            112: (server.row(112, "never", jobspec="\ud800"), "not Unicode text"),
            113: (server.row(113, "never", cluster="\ud800"), "not for cluster blue"),
            114: (server.row(114, "never", jobspec=""), ""),
            115: (server.row(115, "never", jobspec="tasks: ["), ""),
        }
        server.rows |= {job_id: row for job_id, (row, _) in odd.items()}
        server.rows[120] = server.row(120, "beside", name="\x1b[31m\ud800")
        server.the_next_job_runs("next")
        eventually(lambda: len(server.jobs()) == len(odd) + 2, "all are in the ledger")
        jobs = server.jobs()
        for job_id, (_, reason) in odd.items():
            assert jobs[job_id].state is JobState.REFUSED, job_id
            assert reason in (jobs[job_id].reason or ""), job_id
        shown = {job["id"]: job for job in server.site.program.show("jobs")}
        assert {n for n, job in shown.items() if job["state"] == "refused"} == set(odd)
        assert all(shown[job_id]["reason"] for job_id in odd)
        eventually(
            lambda: server.proxy.report().get("jobs_refused") == len(odd), "rainbow has the report"
        )
        assert server.site.program.show("status")["jobs"]["refused"] == len(odd)
        eventually(lambda: server.rows == {}, "all were let go")
        assert sorted(server.site.written()) == ["beside", "next"]
        assert "\x1b[31m" not in server.site.program.run("jobs").out
        for job_id in odd:
            assert f"job {job_id}" in agent.log()


@pytest.mark.full
def test_ids_that_no_database_gives(tmp_path: Path) -> None:
    """Negative, none, and the largest there is: a job is a job, and runs once under its id."""
    with serving(tmp_path) as (server, _):
        server.rows |= {job_id: server.row(job_id, f"id {job_id}") for job_id in ODD_IDS}
        eventually(lambda: len(server.site.written()) == len(ODD_IDS), "all run", seconds=60)
        server.the_next_job_runs("next")
        server.site.program.await_end(len(ODD_IDS) + 1)
        jobs = server.jobs()
        assert {jobs[job_id].state for job_id in ODD_IDS} == {JobState.COMPLETED}
        assert sorted(server.site.written()) == sorted(["next", *(f"id {n}" for n in ODD_IDS)])
        for job_id in ODD_IDS:
            (found,) = server.site.program.run("jobs", "-o", "json", "--", str(job_id)).value
            assert found["state"] == "completed"
        told = server.proxy.seen(rainbow_rpc.ACCEPT_JOBS, taken=True)
        accepted = [job_id for request in told for job_id in request.jobids]
        assert {*ODD_IDS} <= {*accepted}
        assert len(accepted) == len(set(accepted))


@pytest.mark.full
def test_one_id_twice(tmp_path: Path) -> None:
    """The same row again is the same job; another one under its id runs too, and both is shown."""
    with serving(tmp_path) as (server, agent):
        first = server.row(500, "first")
        server.rows[500] = first
        eventually(lambda: "first" in server.site.written(), "it runs")
        eventually(lambda: server.rows == {}, "rainbow has the reports")
        server.rows[500] = first  # as after its database was put back
        eventually(lambda: server.rows == {}, "it is let go again")
        reuses = "rainbow-reuses-ids"
        eventually(lambda: reuses in server.reasons(), "status says so")
        assert agent.log().count("Rainbow offers job 500") >= 1
        server.rows[500] = server.row(500, "second")
        server.the_next_job_runs("next")
        eventually(lambda: server.rows == {}, "rainbow knows of that one too")
        assert "500" in server.reasons()[reuses]
        assert agent.log().count("Rainbow gave the number 500") == 1
        assert sorted(server.site.written()) == ["first", "next", "second"]
        jobs = [row for row in server.site.program.rows() if row.key.id == 500]
        assert [job.state for job in jobs] == [JobState.COMPLETED] * 2


def test_one_id_twice_in_one_answer(tmp_path: Path) -> None:
    """Of two rows with one number the last counts, as protobuf says; it runs once."""
    with serving(tmp_path) as (server, _):
        twice = [Reply(jobs={7: server.row(7, line)}) for line in ("one", "other")]
        for_ever = b"".join(reply.SerializeToString() for reply in twice)
        answers = iter([for_ever, for_ever])
        server.proxy.answer_with(rainbow_rpc.RECEIVE_JOBS, lambda raw: next(answers, raw))
        eventually(lambda: server.site.written() != [], "it runs")
        server.the_next_job_runs("next")
        assert sorted(server.site.written()) == ["next", "other"]
        assert [row.key.id for row in server.site.program.rows()].count(7) == 1


def unknown_status(reply: Any) -> Callable[[bytes], bytes]:
    """Put a status there that no version of rainbow has."""

    def change(raw: bytes) -> bytes:
        message = reply.FromString(raw)
        message.status = 42
        changed: bytes = message.SerializeToString()
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param("status", "status 42", id="unknown status"),
        pytest.param(
            lambda _: b"\xff\xff\xff", "ReceiveJobs", id="no message", marks=pytest.mark.full
        ),
        pytest.param(
            lambda raw: raw + b"\x12\x05\x08", "ReceiveJobs", id="cut short", marks=pytest.mark.full
        ),
    ],
)
@pytest.mark.parametrize("rpc", [rainbow_rpc.RECEIVE_JOBS], ids=str)
def test_answers_that_are_none(tmp_path: Path, rpc: Rpc[Any, Any], change: Any, says: str) -> None:
    """`status` says what came, nothing is taken, and with the next good answer all continues."""
    with serving(tmp_path) as (server, _):
        make = unknown_status(rpc.reply) if change == "status" else change
        server.proxy.answer_with(rpc, make)
        server.site.fleet.send(jobspec(task(server.site.writes("waits"))))
        eventually(
            lambda: any(says in reason for reason in server.reasons().values()), "it is reported"
        )
        assert server.site.program.rows() == []
        server.proxy.answer_with(rpc, lambda _: b"")  # an empty answer: there are no jobs
        eventually(lambda: server.reasons() == {}, "no jobs is no trouble")
        assert server.site.program.rows() == []
        server.proxy.answer_with(rpc, None)
        server.site.program.await_end(1)
        server.the_next_job_runs("next")
        assert server.site.written() == ["waits", "next"]


@pytest.mark.full
@pytest.mark.parametrize("rpc", [rainbow_rpc.ACCEPT_JOBS, rainbow_rpc.UPDATE_STATE], ids=str)
def test_answers_to_what_was_told(tmp_path: Path, rpc: Rpc[Any, Any]) -> None:
    """An unknown status is not a success: it is sent again, and nothing runs twice for it."""
    with serving(tmp_path) as (server, agent):
        server.proxy.answer_with(rpc, unknown_status(rpc.reply))
        server.site.fleet.send(jobspec(task(server.site.writes("once"))))
        server.site.program.await_end(1)
        eventually(
            lambda: any("status 42" in reason for reason in server.reasons().values()), "it shows"
        )
        server.proxy.answer_with(rpc, None)
        server.the_next_job_runs("next")
        eventually(lambda: server.reasons() == {}, "all is well again")
        assert server.site.written() == ["once", "next"]
        assert "status 42" in agent.log()
