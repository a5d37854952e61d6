"""The ledger's old jobs: what may be removed, what stays of it, and how little is done at once."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.model import Cancellation, JobKey, Refusal
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage import ledger_history
from rainbow_agent.storage.history_keeper import HistoryKeeper
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_connection import CACHE_KIB
from rainbow_agent.storage.ledger_history import NOTE, Keep, LedgerHistory
from rainbow_agent.storage.ledger_metrics import LedgerMetrics
from rainbow_agent.storage.ledger_watch import LedgerWatch
from support.common import FakeClock
from support.ledger import NEXT, REGISTRATION, add_job, check_invariants, news, offer

R1 = REGISTRATION.id
#: Nothing that is over is kept.
NOTHING = Keep(0, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger.open(path)) as ledger:
        yield ledger
        check_invariants(ledger)


@pytest.fixture
def history(path: Path, ledger: SqliteLedger) -> Iterator[LedgerHistory]:
    with closing(LedgerHistory.open(path)) as history:
        yield history


def over(ledger: SqliteLedger, job_id: int, at: float = 1002.0) -> JobKey:
    """A job that is done with in every way."""
    key = add_job(ledger, job_id, "a", at=at)
    ledger.apply([news(key, "a", TaskState.COMPLETED, at)])
    ledger.mark_accepted(R1, [job_id], at)
    ledger.record_report({key: JobState.COMPLETED}, at)
    return key


def ids(ledger: SqliteLedger) -> list[int]:
    return [job.key.id for job in ledger.jobs()]


def test_the_last_to_end_are_kept(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """So many of them; the first to end go first."""
    for n in range(1, 8):
        over(ledger, n, 1000.0 + n)
    assert history.remove(Keep(3, None), 2000.0) == 4
    assert ids(ledger) == [5, 6, 7]
    assert history.remove(Keep(3, None), 2000.0) == 0


def test_the_young_are_kept(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """Those that ended within the time."""
    for n in range(1, 8):
        over(ledger, n, 1000.0 + n)
    assert history.remove(Keep(None, 100.0), 1104.5) == 4
    assert ids(ledger) == [5, 6, 7]


def test_whichever_is_less(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """Both limits hold; without any nothing goes."""
    for n in range(1, 8):
        over(ledger, n, 1000.0 + n)
    assert history.remove(Keep(None, None), 1e9) == 0
    assert history.remove(Keep(2, 10_000.0), 2000.0) == 5
    assert ids(ledger) == [6, 7]


def test_what_may_still_be_needed_stays(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """Open, not accepted, not reported, to be canceled: whatever the limits."""
    running = add_job(ledger, 1, "a")
    ledger.apply([news(running, "a", TaskState.RUNNING)])
    ledger.mark_accepted(R1, [1], 1003.0)
    unaccepted = add_job(ledger, 2, "a")
    ledger.apply([news(unaccepted, "a", TaskState.COMPLETED)])
    ledger.record_report({unaccepted: JobState.COMPLETED}, 1003.0)
    unreported = add_job(ledger, 3, "a")
    ledger.apply([news(unreported, "a", TaskState.FAILED)])
    ledger.mark_accepted(R1, [3], 1003.0)
    canceled = add_job(ledger, 4, "a")
    ledger.ask_cancel(Cancellation(canceled, 1002.0, "alice", ""))
    ledger.apply([news(canceled, "a", TaskState.COMPLETED)])
    ledger.mark_accepted(R1, [4], 1003.0)
    ledger.record_report({canceled: JobState.COMPLETED}, 1003.0)
    over(ledger, 5)
    over(ledger, 6)  # the last job of all
    assert history.remove(NOTHING, 1e9) == 1
    assert ids(ledger) == [1, 2, 3, 4, 6]
    ledger.end_cancellation(canceled, 1004.0)
    assert history.remove(NOTHING, 1e9) == 1


def test_jobs_of_a_registration_that_is_over(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """They may never be reported to rainbow: that is not waited for."""
    key = add_job(ledger, 1, "a")
    ledger.apply([news(key, "a", TaskState.FAILED)])
    ledger.mark_accepted(R1, [1], 1003.0)
    ledger.open_registration(NEXT)
    add_job(ledger, 2, registration=NEXT)
    assert history.remove(NOTHING, 1e9) == 1
    assert ids(ledger) == [2]


def test_a_removed_job_is_still_known(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """By the workload manager's key, and by rainbow's row: neither is taken for a new job."""
    key = over(ledger, 1)
    over(ledger, 2)
    assert history.remove(NOTHING, 1e9) == 1
    assert ledger.job(key) is None
    assert ledger.known([key, JobKey(R1, 9)]) == {key}
    assert ledger.record_offers(R1, [offer(1)], 3000.0) == []
    assert ledger.let_go(R1, [1]) == {1}
    assert ledger.record_offers(R1, [replace(offer(1), name="new")], 3000.0) == [
        JobKey(f"{R1}.2", 1)
    ]


def test_one_that_was_offered_again_is_known_to_both(
    ledger: SqliteLedger, history: LedgerHistory
) -> None:
    """Under the registration that it came with, and under the one that offered it later."""
    key = add_job(ledger, 1, "a")
    ledger.open_registration(NEXT)
    ledger.record_offers(NEXT.id, [offer(1)], 2001.0)
    ledger.apply([news(key, "a", TaskState.COMPLETED)])
    ledger.mark_accepted(NEXT.id, [1], 2002.0)
    add_job(ledger, 2, registration=NEXT)
    assert history.remove(NOTHING, 1e9) == 1
    assert ledger.record_offers(NEXT.id, [offer(1)], 3000.0) == []
    assert ledger.record_offers(R1, [offer(1)], 3000.0) == []
    assert ledger.known([key]) == {key}


@pytest.mark.parametrize("name", ["job", "it's", 'a "b"\n', "caf\u00e9"])
def test_a_row_of_an_older_version_is_known_by_its_name(
    ledger: SqliteLedger, history: LedgerHistory, name: str
) -> None:
    """Also where the plan has renamed the job."""
    row = replace(offer(1), name=name)
    ledger.open_registration(REGISTRATION)
    ledger.record_offers(R1, [row], 1001.0)
    key = JobKey(R1, 1)
    ledger.record_plans([], [Refusal(key, "no")], 1002.0)
    ledger.mark_accepted(R1, [1], 1003.0)
    ledger.record_report({key: JobState.REFUSED}, 1004.0)
    with ledger._connection.write() as db:
        db.execute("UPDATE offer SET digest = NULL")
        db.execute("UPDATE job SET name = 'renamed'")
    over(ledger, 2)
    assert history.remove(NOTHING, 1e9) == 1
    assert ledger.record_offers(R1, [row], 3000.0) == []


def test_a_job_without_a_row_is_known_by_its_number(
    ledger: SqliteLedger, history: LedgerHistory
) -> None:
    """It was found in the workload manager: whatever comes under its number is taken for it."""
    key = over(ledger, 1)
    over(ledger, 2)
    with ledger._connection.write() as db:
        db.execute("DELETE FROM offer WHERE job = 1")
    assert history.remove(NOTHING, 1e9) == 1
    assert ledger.known([key]) == {key}
    assert ledger.record_offers(R1, [offer(1)], 3000.0) == []


def test_numbers_are_not_given_twice(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """A reader that follows the events misses none: the last job and the last event stay."""
    for n in range(1, 5):
        over(ledger, n)
    seen, _ = ledger.moved(2**62)
    history.remove(NOTHING, 1e9)
    key = over(ledger, 9)
    assert ledger.moved(seen)[1] == [key]


def test_nothing_is_left_of_it_but_a_few_bytes(
    path: Path, ledger: SqliteLedger, history: LedgerHistory
) -> None:
    """No row of any table refers to a job that is gone, and reports about it alone are gone."""
    for n in range(1, 60):
        over(ledger, n, 1000.0 + n)
    while history.remove(Keep(5, None), 1e9):
        pass
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("SELECT count(*) FROM told").fetchone() == (5,)
        assert db.execute("SELECT count(*) FROM report").fetchone()[0] <= 6
        assert db.execute("SELECT count(*) FROM removed").fetchone() == (54,)
    assert ledger.note(NOTE) == {"removed": 54, "at": 1e9, "remembered": 54}


def test_even_what_is_remembered_has_an_end(
    ledger: SqliteLedger, history: LedgerHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest numbers are forgotten first."""
    monkeypatch.setattr(ledger_history, "MAX_REMEMBERED", 3)
    for n in range(1, 8):
        over(ledger, n, 1000.0 + n)
    history.remove(NOTHING, 1e9)
    known = ledger.known([JobKey(R1, n) for n in range(1, 7)])
    assert known == {JobKey(R1, n) for n in (4, 5, 6)}


def checkpoint(path: Path) -> None:
    """Have all of the log written into the file."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def checkpoint_if_free(path: Path) -> None:
    """Have as much of the log written into the file as can be now."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")


class TestKeeper:
    """The thread that removes."""

    @pytest.fixture(autouse=True)
    def _nothing_removed(self) -> None:
        self.removed: list[Path] = []

    def keeper(self, path: Path, stop: threading.Event, watch: LedgerWatch) -> HistoryKeeper:
        """One that keeps nothing."""
        return HistoryKeeper(
            lambda: LedgerHistory.open(path),
            keep=NOTHING,
            clock=FakeClock(),
            stop=stop,
            on_shrink=watch.shrunk,
            on_removed=lambda: self.removed.append(path),
        )

    def test_all_goes_in_portions_and_the_file_becomes_shorter(
        self, path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others write meanwhile; the watch does not take it for damage, and sees damage still."""
        monkeypatch.setattr(ledger_history, "PORTION", 50)
        monkeypatch.setattr("rainbow_agent.storage.history_keeper.PORTION", 50)
        monkeypatch.setattr("rainbow_agent.storage.history_keeper.MIN_REST_S", 0.001)
        with ledger.transaction():
            for n in range(1, 401):
                over(ledger, n, 1000.0 + n)
        checkpoint(path)
        before, watch = path.stat().st_size, LedgerWatch(path)
        assert self.keeper(path, threading.Event(), watch).tidy() == 399
        assert self.removed == [path], "the memory that it took is to be given back"
        watch.look()
        checkpoint(path)
        watch.look()
        assert path.stat().st_size < before / 2
        watch.look()
        assert len(ledger.jobs()) == 1

    def test_the_watch_knows_it_before_the_file_can_become_shorter(
        self, path: Path, ledger: SqliteLedger, history: LedgerHistory
    ) -> None:
        """Another connection may write the log into the file as soon as it is committed."""
        for n in range(1, 101):
            over(ledger, n, 1000.0 + n)
        checkpoint(path)
        watch, least = LedgerWatch(path), list[int]()

        def before(size: int) -> None:
            least.append(size)
            checkpoint_if_free(path)
            watch.look()  # not shorter yet
            watch.shrunk(size)

        while history.remove(NOTHING, 1e9):
            pass
        history.shrink(before)
        checkpoint(path)
        assert path.stat().st_size == least[0]
        for n in range(200, 300):
            over(ledger, n, 3000.0 + n)
        while history.remove(NOTHING, 1e9):
            pass
        history.shrink(before)
        watch.look()
        checkpoint(path)
        watch.look()

    def test_a_ledger_that_others_hold_is_left_for_later(
        self, path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is removed, and nothing fails."""
        monkeypatch.setattr(ledger_history, "HISTORY_BUSY_S", 0.05)
        over(ledger, 1)
        over(ledger, 2)
        with ledger.transaction():
            assert self.keeper(path, threading.Event(), LedgerWatch(path)).tidy() == 0
        assert not self.removed
        assert ids(ledger) == [1, 2]


@pytest.mark.parametrize("kind", [SqliteLedger, LedgerHistory, LedgerMetrics])
def test_connections_of_the_daemon_keep_few_pages(
    path: Path,
    ledger: SqliteLedger,
    kind: type[SqliteLedger | LedgerHistory | LedgerMetrics],
) -> None:
    """Also those that are opened for a look: what sqlite keeps leaves holes in malloc's heap."""
    with closing(kind.open(path)) as opened, opened._connection.read() as db:
        assert db.execute("PRAGMA cache_size").fetchone() == (-CACHE_KIB,)


def test_the_note_is_json(ledger: SqliteLedger, history: LedgerHistory) -> None:
    """`status` shows it."""
    over(ledger, 1)
    over(ledger, 2)
    history.remove(NOTHING, 1234.0)
    assert json.dumps(ledger.note(NOTE))
