"""What ports.Scheduler promises, over our own scheduler and over the real one: jobs.

From submit to accept; the rest is in test_scheduler_*.py.
"""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from rainbow_agent.core.errors import Rejected
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.servers import JOBSPEC, Join, SchedulerProcess


def test_jobs_come_again_until_they_are_accepted(scheduler: RainbowScheduler, join: Join) -> None:
    """Receiving takes nothing off the list, accepting does."""
    name, given = join()
    assert scheduler.receive(name, given.secret, 0) == []
    assert scheduler.submit("first", {name: given.token}, JOBSPEC) == [name]
    (offer,) = scheduler.receive(name, given.secret, 0)
    assert (offer.name, offer.cluster, offer.jobspec) == ("first", name, JOBSPEC)
    assert scheduler.receive(name, given.secret, 0) == [offer]
    scheduler.accept(name, given.secret, [offer.id])
    assert scheduler.receive(name, given.secret, 0) == []


def test_jobs_are_sorted_and_limited(scheduler: RainbowScheduler, join: Join) -> None:
    """At most so many jobs as asked for, by id; all of them below 1."""
    name, given = join()
    for number in range(12):
        scheduler.submit(f"job-{number}", {name: given.token}, JOBSPEC)
    every = [offer.id for offer in scheduler.receive(name, given.secret, 0)]
    assert len(every) == 12
    assert every == sorted(every)
    assert [o.id for o in scheduler.receive(name, given.secret, -5)] == every
    some = [o.id for o in scheduler.receive(name, given.secret, 5)]
    assert len(some) == 5
    assert set(some) <= set(every)


def test_accepting_twice_is_no_error(scheduler: RainbowScheduler, join: Join) -> None:
    """Ids that are gone, repeated or never were do no harm, and no ids is no call."""
    name, given = join()
    scheduler.submit("job", {name: given.token}, JOBSPEC)
    (offer,) = scheduler.receive(name, given.secret, 0)
    scheduler.accept(name, given.secret, [])
    scheduler.accept(name, given.secret, [offer.id, offer.id, 2**31 - 1])
    scheduler.accept(name, given.secret, [offer.id])
    assert scheduler.receive(name, given.secret, 0) == []


def test_many_ids_are_accepted_at_once(scheduler: RainbowScheduler, join: Join) -> None:
    """An accept of thousands of ids works, and leaves other clusters' jobs alone."""
    name, given = join()
    other, others = join()
    scheduler.submit("mine", {name: given.token}, JOBSPEC)
    scheduler.submit("theirs", {other: others.token}, JOBSPEC)
    scheduler.accept(name, given.secret, range(1, 3001))
    assert scheduler.receive(name, given.secret, 0) == []
    assert [o.name for o in scheduler.receive(other, others.secret, 0)] == ["theirs"]


def test_a_jobspec_over_the_limit_is_rejected(scheduler: RainbowScheduler, join: Join) -> None:
    """A request over 4 MiB will never pass, and is not taken for a busy server."""
    name, given = join()
    with pytest.raises(Rejected, match="larger than max"):
        scheduler.submit("job", {name: given.token}, "x" * 5_000_000)


def test_a_backlog_larger_than_a_reply_drains(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """Where all jobs do not fit into one reply, fewer are asked for until they do."""
    process, scheduler = shared
    name, given = join()
    for number in range(5):
        scheduler.submit(f"job-{number}", {name: given.token}, "x" * 100_000)
    seen: set[str] = set()
    with closing(RainbowScheduler(process.host, max_reply=256 * 1024)) as narrow:
        while offers := narrow.receive(name, given.secret, 0):
            assert len(offers) < 5
            seen |= {offer.name for offer in offers}
            narrow.accept(name, given.secret, [offer.id for offer in offers])
    assert seen == {f"job-{number}" for number in range(5)}


def test_a_job_too_large_for_a_reply_hides_no_other(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """One row that does not fit by itself is read alone, with the larger limit of one row."""
    process, scheduler = shared
    name, given = join()
    scheduler.submit("large", {name: given.token}, "x" * 100_000)
    scheduler.submit("small", {name: given.token}, "version: 1")
    with closing(RainbowScheduler(process.host, max_reply=10_000)) as narrow:
        (large,) = narrow.receive(name, given.secret, 8)
        assert (large.name, large.cluster) == ("large", name)
        assert large.jobspec == "x" * 100_000
        narrow.accept(name, given.secret, [large.id])
        (small,) = narrow.receive(name, given.secret, 8)
        assert (small.name, small.jobspec) == ("small", "version: 1")


def test_the_largest_job_that_rainbow_takes_can_be_read(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """A request has 4 MiB, of which the row is up to six times as much: that is read."""
    name, given = join()
    scheduler.submit("large", {name: given.token}, "<" * (4 * 1024 * 1024 - 200))
    scheduler.submit("small", {name: given.token}, "version: 1")
    (large,) = scheduler.receive(name, given.secret, 1)
    assert (large.name, bool(large.problem)) == ("large", large.jobspec != "<" * 4_194_104)
    scheduler.accept(name, given.secret, [large.id])
    assert [offer.name for offer in scheduler.receive(name, given.secret, 8)] == ["small"]


def test_a_job_that_no_reply_can_hold_is_named_as_what_it_is(
    shared: tuple[SchedulerProcess, RainbowScheduler],
    join: Join,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rainbow itself takes none that is so large; it is not accepted, and its operator can act."""
    process, scheduler = shared
    name, given = join()
    scheduler.submit("large", {name: given.token}, "x" * 100_000)
    monkeypatch.setattr("rainbow_agent.fleet.grpc.scheduler.MAX_ONE_ROW_BYTES", 50_000)
    with closing(RainbowScheduler(process.host, max_reply=10_000)) as narrow:
        for _ in range(2):
            with pytest.raises(
                Rejected, match=r"cannot be read; the jobs behind it wait: .* `jobs`"
            ):
                narrow.receive(name, given.secret, 8)
    assert [offer.name for offer in scheduler.receive(name, given.secret, 8)] == ["large"]


def test_many_submitters_lose_nothing(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """Four submitters at once: every job that was answered is there, once."""
    process, scheduler = shared
    name, given = join()

    def submit(who: int) -> None:
        with closing(RainbowScheduler(process.host)) as mine:
            for number in range(10):
                mine.submit(f"{who}-{number}", {name: given.token}, JOBSPEC)

    threads = [threading.Thread(target=submit, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(offer.name for offer in scheduler.receive(name, given.secret, 0))
    assert names == sorted(f"{who}-{number}" for who in range(4) for number in range(10))
