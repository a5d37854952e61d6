"""For tests: what others have on record: the workload manager's journal, rainbow's database.

The agent's own ledger is what is to be proven right, so it is no witness.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.ports import Workload
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from support.common import eventually

#: Notes each row that leaves the list of jobs: both servers delete a row when it is accepted.
_WATCH: Final = """
CREATE TABLE IF NOT EXISTS let_go (id INTEGER);
CREATE TRIGGER IF NOT EXISTS note_let_go AFTER DELETE ON jobs
BEGIN INSERT INTO let_go VALUES (OLD.idJob); END;
"""


@dataclass
class Record:
    """What the workload manager's journal has of one job of ours."""

    key: TaskKey
    started: bool = False
    status: int | None = None  # wait status
    exception: str = ""  # the first fatal one, with its note
    ended: bool = False


def history(workload: Workload) -> list[WorkloadEvent]:
    """All that a workload manager's journal has.

    Raises:
        AssertionError: it does not end.
    """
    found: list[WorkloadEvent] = []

    def is_read() -> bool:
        events = journal.next_events(1.0)
        found.extend(events)
        return any(event.kind is EventKind.CAUGHT_UP for event in events)

    with closing(workload.open_journal()) as journal:
        eventually(is_read, "the journal's history is read", seconds=60)
    return found


def records(events: Iterable[WorkloadEvent]) -> dict[int, Record]:
    """The jobs with a key of ours, by their id in the workload manager."""
    found: dict[int, Record] = {}
    for event in events:
        if event.kind is EventKind.SUBMIT and event.key is not None:
            found[event.flux_id] = Record(event.key)
        record = found.get(event.flux_id)
        if record is None:
            continue
        if event.kind is EventKind.START:
            record.started = True
        elif event.kind is EventKind.FINISH:
            record.status = event.status
        elif event.kind is EventKind.EXCEPTION and event.severity == 0:
            record.exception = record.exception or f"{event.exception}: {event.note}"
        elif event.kind is EventKind.CLEAN:
            record.ended = True
    return found


def times_submitted(found: Iterable[Record]) -> Counter[TaskKey]:
    """How many jobs each task ever was."""
    return Counter(record.key for record in found)


class Books:
    """A rainbow's own record of the jobs that it let go; either server's database.

    Args:
        db: the file; the server has made its tables. It notes nothing before this is made.
    """

    def __init__(self, db: Path) -> None:
        self._db = db
        self.watch()

    def watch(self) -> None:
        """Begin to note; to be called again when the database was made anew."""
        db = self._db
        with closing(sqlite3.connect(db, timeout=20.0)) as connection:
            connection.executescript(_WATCH)

    def let_go(self) -> Counter[int]:
        """How often the row of each job id was taken off the list."""
        with closing(sqlite3.connect(self._db, timeout=20.0)) as connection:
            return Counter(row[0] for row in connection.execute("SELECT id FROM let_go"))
