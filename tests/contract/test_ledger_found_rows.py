"""Ledger and rainbow's database put back together: jobs found in the workload manager, and rows.

Their tasks there have the digest of the row that each job came with, so that a row under the
number of such a job is taken for its own only when it is.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from rainbow_agent.core.model import FoundJob, JobKey, Offer, PlannedTask, Registration, TaskKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rebuild import STRAYS
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


def strays(ledger: SqliteLedger, jobs: dict[str, str]) -> None:
    """Jobs with number 1 that are half in the workload manager: registration and digest."""
    if ledger.current_registration() is None:
        ledger.open_registration(REGISTRATION)
    keys = {name: TaskKey(JobKey(name, 1), "a", 0) for name in jobs}
    ledger.put_note(STRAYS, [{**keys[name].to_attribute(), "row": jobs[name]} for name in jobs])


def test_the_row_of_a_stray_is_its_job(ledger: SqliteLedger) -> None:
    """It is new, and has the key that the tasks in the workload manager have."""
    strays(ledger, {R1: digest(MINE)})
    assert ledger.record_offers(R1, [MINE], 1001.0) == [JobKey(R1, 1)]
    assert ledger.record_offers(R1, [MINE], 1002.0) == []


def test_another_row_with_the_number_of_a_stray_is_another_job(ledger: SqliteLedger) -> None:
    """Its tasks are not taken for submitted; the stray's row has its key still."""
    strays(ledger, {R1: digest(MINE)})
    another = JobKey(f"{R1}.2", 1)
    assert ledger.record_offers(R1, [ANOTHER], 1001.0) == [another]
    assert ledger.record_offers(R1, [MINE], 1002.0) == [JobKey(R1, 1)]
    assert ledger.record_offers(R1, [ANOTHER], 1003.0) == []
    ledger.record_plans([planned(another, "a")], [], 1004.0)
    ledger.apply([news(another, "a", TaskState.SUBMITTED, flux_id=9)])
    assert ledger.unaccepted(R1) == [1]


@pytest.mark.parametrize("first", [MINE, ANOTHER], ids=["mine", "another"])
def test_two_strays_of_one_number_get_their_own_rows(ledger: SqliteLedger, first: Offer) -> None:
    """Whichever rainbow offers first; a third row is a third job."""
    jobs = {R1: digest(ANOTHER), f"{R1}.2": digest(MINE)}
    strays(ledger, jobs)
    keys = {row.name: JobKey(name, 1) for name, row in zip(jobs, (ANOTHER, MINE), strict=True)}
    second = MINE if first is ANOTHER else ANOTHER
    assert ledger.record_offers(R1, [first], 1001.0) == [keys[first.name]]
    assert ledger.record_offers(R1, [second], 1002.0) == [keys[second.name]]
    third = replace(MINE, name="third")
    assert ledger.record_offers(R1, [third], 1003.0) == [JobKey(f"{R1}.3", 1)]
    assert ledger.jobs_of_rows(R1, [MINE]) == {1: keys["mine"]}


def test_a_stray_keeps_its_number_from_a_new_job_beside_others(ledger: SqliteLedger) -> None:
    """A job that is in the ledger had the number, and one that is a stray had it as well."""
    ledger.open_registration(REGISTRATION)
    ledger.record_offers(R1, [offer(1, "here")], 1000.0)
    strays(ledger, {f"{R1}.2": digest(MINE)})
    assert ledger.record_offers(R1, [ANOTHER], 1001.0) == [JobKey(f"{R1}.3", 1)]
    assert ledger.record_offers(R1, [MINE], 1002.0) == [JobKey(f"{R1}.2", 1)]
    assert ledger.record_offers(R1, [offer(1, "here")], 1003.0) == []


def test_the_row_of_a_stray_that_comes_under_a_later_registration(ledger: SqliteLedger) -> None:
    """It is the same job; another rainbow's row, or another row, is not."""
    strays(ledger, {R1: digest(MINE)})
    ledger.open_registration(NEXT)
    assert ledger.record_offers(NEXT.id, [ANOTHER], 1001.0) == [JobKey(NEXT.id, 1)]
    assert ledger.record_offers(NEXT.id, [MINE], 1002.0) == [JobKey(R1, 1)]
    elsewhere = Registration("r9", REGISTRATION.cluster, "elsewhere:1", 3000.0)
    ledger.open_registration(elsewhere)
    strays(ledger, {f"{R1}.2": digest(offer(1, "late"))})
    ledger.put_note(STRAYS, [{**TaskKey(JobKey(R1, 1), "a", 0).to_attribute(), "row": "00"}])
    assert ledger.record_offers("r9", [MINE], 1003.0) == [JobKey("r9", 1)]


def test_a_stray_without_a_digest_goes_by_its_number(ledger: SqliteLedger) -> None:
    """Tasks from an older agent: any row with their number is taken for their job's."""
    strays(ledger, {R1: "", f"{R1}.2": ""})
    assert ledger.record_offers(R1, [ANOTHER], 1001.0) == [JobKey(R1, 1)]
    assert ledger.record_offers(R1, [MINE], 1002.0) == [JobKey(f"{R1}.2", 1)]
