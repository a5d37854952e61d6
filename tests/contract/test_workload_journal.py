"""ports.Journal and the rest of ports.Workload: history, many at once, resources, settling."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import closing

from rainbow_agent.core.workload_values import EventKind, Submission, Submitted, WorkloadEvent
from support.common import eventually, helper_environment
from support.local_workload import make_jobspec
from support.places import FOREVER, Client, Place, kinds_of, new_key, status

#: A program that submits and dies at once, with everything on its way.
_DOOMED = """
import os, signal, sys
from pathlib import Path
from rainbow_agent.workload.flux.workload import FluxWorkload
from rainbow_agent.workload.local.workload import LocalWorkload
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.workload_values import Submission
from support.local_workload import make_jobspec
kind, place, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
workload = FluxWorkload(place) if kind == "flux" else LocalWorkload(Path(place))
for replica in range(count):
    key = TaskKey(JobKey("doomed", 1), "task", replica)
    jobspec = make_jobspec(["true"])
    jobspec["attributes"]["user"] = {"rainbow": key.to_attribute()}
    workload.start_submit(Submission(key, jobspec))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_later_journal_tells_the_same_story(client: Client) -> None:
    """Its history is what was seen live, job by job, keys included."""
    first = client.run(["false"])
    jobs = [first, client.run(["true"])]
    jobs.append(client.run(FOREVER, duration=0.3))
    lived = {job: client.end(job) for job in jobs}
    with closing(client.workload.open_journal()) as journal:
        later = Client(client.workload, journal)
        later.until(EventKind.CAUGHT_UP)
        assert {job: later.of(job) for job in jobs} == lived


def test_a_journal_says_once_that_it_has_caught_up(client: Client) -> None:
    """All history comes before, what happens comes after."""
    old = client.run(["true"])
    client.end(old)
    with closing(client.workload.open_journal()) as journal:
        later = Client(client.workload, journal)
        later.until(EventKind.CAUGHT_UP)
        new = client.run(["true"])
        later.end(new)
        marks = [i for i, e in enumerate(later.events) if e.kind is EventKind.CAUGHT_UP]
        assert len(marks) == 1
        before = {event.flux_id for event in later.events[: marks[0]]}
        assert old in before
        assert new not in before


def test_two_journals_see_the_same(client: Client) -> None:
    """Each has all events, in its own time."""
    with closing(client.workload.open_journal()) as journal:
        other = Client(client.workload, journal)
        job = client.run(["true"])
        assert client.end(job) == other.end(job)


def test_a_journal_serves_another_thread(client: Client) -> None:
    """The thread that opens a journal may be another than the workload's."""
    job = client.run(["true"])
    seen: list[list[WorkloadEvent]] = []

    def read() -> None:
        with closing(client.workload.open_journal()) as journal:
            seen.append(Client(client.workload, journal).end(job))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(120)
    assert seen == [client.end(job)]


def test_a_job_of_somebody_else_has_no_key(client: Client) -> None:
    """Its events come too: the reader of the journal leaves them."""
    key = new_key()
    client.workload.start_submit(Submission(key, make_jobspec(["true"])))
    (outcome,) = client.collect([key])
    assert isinstance(outcome, Submitted)
    assert client.end(outcome.flux_id)[0].key is None


def test_many_submissions_are_in_flight_at_once(client: Client) -> None:
    """Each is answered once, with an id of its own that the journal has under its key."""
    jobspec = make_jobspec(["true"])
    outcomes = client.submit(*[jobspec] * 200)
    ids = {o.flux_id: o.key for o in outcomes if isinstance(o, Submitted)}
    assert len(ids) == 200
    assert client.workload.in_flight() == 0
    for flux_id in ids:
        client.until(EventKind.SUBMIT, flux_id)
    told_by_journal = {e.flux_id: e.key for e in client.events if e.flux_id in ids and e.key}
    assert told_by_journal == ids


def test_many_jobs_run_and_end_well(client: Client) -> None:
    """More than fit at once: each runs, none twice."""
    outcomes = client.submit(*[make_jobspec(["true"])] * 20)
    per_job: dict[int, list[str]] = defaultdict(list)
    for outcome in outcomes:
        assert isinstance(outcome, Submitted)
        per_job[outcome.flux_id] = kinds_of(client.end(outcome.flux_id))
    assert set(map(tuple, per_job.values())) == {("submit", "start", "finish", "clean")}


def test_nothing_in_flight_is_no_outcome(client: Client) -> None:
    """Asking is not an error, and does not wait."""
    assert client.workload.in_flight() == 0
    assert client.workload.collect_outcomes(30.0) == []


def test_resources_say_what_there_is_and_what_is_free(client: Client, place: Place) -> None:
    """What a job holds is not free until it is over."""
    free = client.workload.resources()
    totals = free.totals()
    assert totals["cores_total"] == place.cores
    assert totals["cores_free"] == place.cores
    assert totals["nodes_free"] == totals["nodes_total"] == len(free.nodes)
    assert all(node.name and node.up for node in free.nodes)
    assert [node.rank for node in free.nodes] == list(range(len(free.nodes)))
    job = client.run(FOREVER)
    client.until(EventKind.START, job)
    taken = client.workload.resources().totals()
    assert taken["cores_free"] == place.cores - 1
    assert taken["nodes_free"] == totals["nodes_free"] - 1
    client.workload.cancel([job], "enough")
    eventually(lambda: client.workload.resources() == free, "all is free again")


def test_nothing_arrives_after_settling(client: Client, place: Place) -> None:
    """A task that the history does not have then may be submitted again.

    What a killed process had on its way is in that history, or never becomes a job.
    """
    command = [sys.executable, "-c", _DOOMED, place.kind, place.address, "300"]
    done = subprocess.run(command, check=False, timeout=60, env=helper_environment())
    assert done.returncode == -9
    with closing(place.open()) as workload:
        workload.settle(threading.Event())
        with closing(workload.open_journal()) as journal:
            later = Client(workload, journal)
            later.until(EventKind.CAUGHT_UP)
            arrived = doomed(later)
            # Whatever could still come is ahead of this job of ours.
            later.until(EventKind.SUBMIT, later.run(["true"]))
        workload.cancel([event.flux_id for event in doomed(later)], "the test is over")
    assert arrived
    assert doomed(later) == arrived
    assert len({event.key for event in arrived}) == len(arrived)


def doomed(client: Client) -> list[WorkloadEvent]:
    """Submissions of the killed process that a journal has events of."""
    return [e for e in client.events if e.key and e.key.job.registration == "doomed"]


def test_a_stop_ends_settling(client: Client) -> None:
    """A stop does not wait for a workload manager that is busy."""
    stop = threading.Event()
    stop.set()
    client.workload.settle(stop)


def test_jobs_go_on_when_a_connection_closes(place: Place, client: Client) -> None:
    """Closing is not cancelling."""
    with closing(place.open()) as other, closing(other.open_journal()) as journal:
        job = Client(other, journal).run(["sh", "-c", "sleep 0.3"])
    assert status(client.end(job)) == 0
