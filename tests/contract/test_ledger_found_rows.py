"""Ledger and rainbow's database put back together: jobs found in the workload manager, and rows.

Their tasks there have the digest of the row that each job came with, so that a row under the
number of such a job is taken for its own only when it is.
"""

from __future__ import annotations

from dataclasses import replace

from rainbow_agent.core.model import FoundJob, JobKey, Offer, PlannedTask
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rows_seen import row_digest
from support.ledger import NEXT, REGISTRATION, news, offer, planned

R1 = REGISTRATION.id
MINE = offer(1, "mine")
ANOTHER = replace(MINE, name="another")


def digest(row: Offer) -> str:
    """What the tasks of a job that came with this row have of it."""
    return row_digest(row).hex()


def found(ledger: SqliteLedger, row: str, registration: str = R1) -> JobKey:
    """A job that only the workload manager knew."""
    if ledger.current_registration() is None:
        ledger.open_registration(REGISTRATION)
    key = JobKey(registration, 1)
    tasks = (PlannedTask("a", 1, (), {}),)
    job = FoundJob(key, REGISTRATION.cluster, "mine", 950.0, tasks, row=row)
    ledger.adopt([job], REGISTRATION.host, 1000.0)
    return key


def test_the_ledger_says_it_of_a_row_that_came(ledger: SqliteLedger) -> None:
    """What the submitter writes into the job's tasks; also of a job that was found itself."""
    key = JobKey(R1, 1)
    ledger.open_registration(REGISTRATION)
    ledger.record_offers(R1, [MINE], 1000.0)
    assert ledger.row_digests([key, JobKey(R1, 2)]) == {key: digest(MINE)}
    again = found(ledger, digest(ANOTHER), f"{R1}.2")
    assert ledger.row_digests([again]) == {again: digest(ANOTHER)}


def test_its_own_row_is_not_run_a_second_time(ledger: SqliteLedger) -> None:
    """It is accepted under its number, once its tasks are known to be in the workload manager."""
    key = found(ledger, digest(MINE))
    assert ledger.record_offers(R1, [MINE], 1001.0) == []
    assert ledger.jobspecs([key]) == {key: MINE.jobspec}
    ledger.apply([news(key, "a", TaskState.SUBMITTED, flux_id=9)])
    assert ledger.unaccepted(R1) == [1]


def test_another_row_with_its_number_is_a_new_job(ledger: SqliteLedger) -> None:
    """It is not swallowed, and the job that was found is not accepted in its place."""
    key = found(ledger, digest(MINE))
    (new,) = ledger.record_offers(R1, [ANOTHER], 1001.0)
    assert new == JobKey(f"{R1}.2", 1)
    ledger.apply([news(key, "a", TaskState.SUBMITTED, flux_id=9)])
    assert ledger.unaccepted(R1) == []
    ledger.record_plans([planned(new, "a")], [], 1002.0)
    ledger.apply([news(new, "a", TaskState.SUBMITTED, flux_id=10)])
    assert ledger.unaccepted(R1) == [1]


def test_a_job_whose_number_had_come_twice_is_known_again(ledger: SqliteLedger) -> None:
    """Both jobs of the number are found; each row is known, and is accepted for its own job."""
    first = found(ledger, digest(ANOTHER))
    second = found(ledger, digest(MINE), f"{R1}.2")
    ledger.apply([news(first, "a", TaskState.SUBMITTED, flux_id=8)])
    for row, key in ((MINE, second), (ANOTHER, first), (MINE, second)):
        assert ledger.record_offers(R1, [row], 1001.0) == []
        assert ledger.record_offers(R1, [row], 1002.0) == []
        assert ledger.jobspecs([key]) == {key: row.jobspec}
        assert ledger.unaccepted(R1) == ([1] if key == first else [])
    ledger.apply([news(second, "a", TaskState.SUBMITTED, flux_id=9)])
    assert ledger.unaccepted(R1) == [1]


def test_its_row_that_comes_under_a_later_registration_is_known(ledger: SqliteLedger) -> None:
    """The cluster registered anew with a rainbow whose older copy has the row."""
    found(ledger, digest(MINE))
    ledger.open_registration(NEXT)
    assert ledger.record_offers(NEXT.id, [MINE], 1001.0) == []
    assert ledger.record_offers(NEXT.id, [replace(ANOTHER, id=2)], 1001.0) == [JobKey(NEXT.id, 2)]


def test_without_a_digest_any_row_with_its_number_is_its_own(ledger: SqliteLedger) -> None:
    """Tasks from an older agent have none: that nothing runs twice comes first."""
    found(ledger, "")
    assert ledger.record_offers(R1, [ANOTHER], 1001.0) == []
