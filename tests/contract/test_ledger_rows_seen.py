"""Which of rainbow's rows were here before: its database may be put back to an older copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import NEXT, REGISTRATION, add_job, news, offer, planned

R1 = REGISTRATION.id
OTHER = {
    "name": replace(offer(1), name="tuesday"),
    "jobspec": replace(offer(1), jobspec="version: 1 # other"),
    "command": replace(offer(1), command="hostname"),
    "cluster": replace(offer(1), cluster="else"),
}


def accepted_job(ledger: SqliteLedger) -> JobKey:
    """A job that ended and was accepted in rainbow."""
    key = add_job(ledger, 1, "a")
    ledger.apply([news(key, "a", TaskState.COMPLETED)])
    ledger.mark_accepted(R1, [1], 1003.0)
    return key


def test_the_very_same_row_is_the_same_job(ledger: SqliteLedger) -> None:
    """It is not a new job; that it was accepted before is known, and stands in its story, once."""
    key = accepted_job(ledger)
    for _ in range(2):
        assert ledger.record_offers(R1, [offer(1)], 1004.0) == []
    assert ledger.let_go(R1, [1]) == {1}
    said = [line.cause for line in ledger.story(key) if line.now == "warning"]
    assert said == ["rainbow offered the very same row again; it is not run a second time"]


@pytest.mark.parametrize("what", OTHER)
def test_a_row_that_differs_is_a_new_job(ledger: SqliteLedger, what: str) -> None:
    """In anything: it has a key of its own, and is accepted where it was offered."""
    old = accepted_job(ledger)
    (new,) = ledger.record_offers(R1, [OTHER[what]], 1004.0)
    assert (new.id, new.registration) == (1, f"{R1}.2")
    assert ledger.let_go(R1, [1]) == set()
    assert ledger.record_offers(R1, [OTHER[what]], 1005.0) == []
    ledger.record_plans([planned(new, "a")], [], 1005.0)
    ledger.apply([news(new, "a", TaskState.SUBMITTED, flux_id=9)])
    assert ledger.unaccepted(R1) == [1]
    ledger.mark_accepted(R1, [1], 1006.0)
    assert ledger.let_go(R1, [1]) == {1}
    rows = [ledger.job(key) for key in (old, new)]
    assert [row.state for row in rows if row] == [JobState.COMPLETED, JobState.SUBMITTED]
    assert ledger.find_jobs(1) == [new, old]


def test_every_job_that_had_the_number_is_remembered(ledger: SqliteLedger) -> None:
    """Rainbow is put back again and again: each row is known, and each other one is new."""
    accepted_job(ledger)
    keys: list[JobKey] = []
    for each in OTHER.values():
        keys += ledger.record_offers(R1, [each], 1004.0)
        ledger.record_plans([planned(keys[-1], "a")], [], 1004.0)
        ledger.apply([news(keys[-1], "a", TaskState.SUBMITTED)])
        ledger.mark_accepted(R1, [1], 1005.0)
    assert [key.registration for key in keys] == [f"{R1}.{n}" for n in range(2, 6)]
    assert ledger.record_offers(R1, [offer(1)], 1006.0) == []
    for each in OTHER.values():
        assert ledger.record_offers(R1, [each], 1006.0) == []


def test_the_job_that_lost_its_number_is_not_accepted_by_it(ledger: SqliteLedger) -> None:
    """It goes its way; the number is the new job's, which is not safe yet."""
    old = add_job(ledger, 1, "a")
    (new,) = ledger.record_offers(R1, [OTHER["name"]], 1004.0)
    ledger.apply([news(old, "a", TaskState.COMPLETED)])
    assert ledger.unaccepted(R1) == []
    ledger.record_plans([planned(new, "a")], [], 1005.0)
    ledger.apply([news(new, "a", TaskState.SUBMITTED)])
    assert ledger.unaccepted(R1) == [1]


def test_a_row_that_differs_under_the_next_registration(ledger: SqliteLedger) -> None:
    """Ids start over: another name with the same text is another job (docs/decisions/0030)."""
    old = add_job(ledger, 1, "a")
    ledger.open_registration(NEXT)
    assert ledger.record_offers(NEXT.id, [OTHER["name"]], 1004.0) == [JobKey(NEXT.id, 1)]
    assert ledger.record_offers(NEXT.id, [OTHER["command"]], 1004.0) == [JobKey(f"{NEXT.id}.2", 1)]
    assert ledger.find_jobs(1)[-1] == old


@pytest.mark.parametrize("what", OTHER)
def test_rows_of_an_older_version_are_compared_by_what_was_kept(
    ledger: SqliteLedger, what: str
) -> None:
    """No digest of them was kept, and the command was not: all else counts."""
    accepted_job(ledger)
    with ledger._connection.write() as db:
        db.execute("UPDATE offer SET digest = NULL")
    assert ledger.record_offers(R1, [offer(1)], 1004.0) == []
    new = ledger.record_offers(R1, [OTHER[what]], 1004.0)
    assert new == ([] if what == "command" else [JobKey(f"{R1}.2", 1)])


def test_a_job_that_was_found_gets_its_row(ledger: SqliteLedger) -> None:
    """The workload manager had it, the ledger was lost: what comes under its number is its row."""
    key = accepted_job(ledger)
    with ledger._connection.write() as db:
        db.execute("DELETE FROM offer")
    assert ledger.record_offers(R1, [offer(1)], 1004.0) == []
    assert ledger.jobspecs([key]) == {key: offer(1).jobspec}
