"""Jobs as people and programs look at them: every query that changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from rainbow_agent.core.model import JobKey, JobRow, StoryLine
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_rows import SELECT_JOBS, job_row, story_of, tasks_of_jobs

_WITH_KEY = " WHERE registration = ? AND id = ?"
#: As the index `job_ended_badly` has it, or it is not used.
_BADLY = " WHERE state IN ('failed', 'refused', 'lost')"
_AFTER = " WHERE seq > ? ORDER BY seq LIMIT ?"
_OLDEST_FIRST = " ORDER BY received, seq LIMIT ?"
_NEWEST_FIRST = " ORDER BY received DESC, seq DESC LIMIT ?"
_COUNT_IN = "SELECT total(jobs) FROM tally WHERE state IN (SELECT value FROM json_each(?))"
_FIND = """
SELECT registration, id FROM job WHERE id = ? ORDER BY received DESC, seq DESC
"""
_FIND_NAMED = """
SELECT registration, id FROM job WHERE name = ? ORDER BY received DESC, seq DESC LIMIT ?
"""
_OPEN_STATES = json.dumps([state.value for state in JobState if state not in FINAL_JOB_STATES])


class JobViews(LedgerPart):
    """Reads jobs."""

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state; every state is there."""
        with self._connection.read() as db:
            found = dict(db.execute("SELECT state, jobs FROM tally"))
        return {state: found.get(state.value, 0) for state in JobState}

    def open_jobs(self) -> int:
        """How many jobs are not in a final state."""
        with self._connection.read() as db:
            return int(db.execute(_COUNT_IN, (_OPEN_STATES,)).fetchone()[0])

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        limit: int | None = None,
        newest_first: bool = False,
        with_tasks: bool = True,
        since: float | None = None,
        name: str | None = None,
    ) -> list[JobRow]:
        """Jobs by time received, those of one moment in the order of their arrival.

        Args:
            states: only jobs in these; all when empty.
            limit: at most so many.
            newest_first: the last received first.
            with_tasks: whether their tasks come along.
            since: only jobs received at this time or later, epoch seconds.
            name: only jobs whose name fits this pattern (`*`, `?`, `[...]`, case counts).
        """
        where, values = _where(states, since, name)
        query = SELECT_JOBS + where + (_NEWEST_FIRST if newest_first else _OLDEST_FIRST)
        with self._connection.read() as db:
            rows = db.execute(query, (*values, -1 if limit is None else max(limit, 0))).fetchall()
            tasks = tasks_of_jobs(db, [row[0] for row in rows]) if with_tasks else {}
            return [job_row(row, tasks.get(row[0], ())) for row in rows]

    def batches(self, size: int) -> Iterator[list[JobRow]]:
        """All jobs with their tasks, in the order of their arrival, so many at a time."""
        place = -1
        while True:
            with self._connection.read() as db:
                rows = db.execute(SELECT_JOBS + _AFTER, (place, size)).fetchall()
                tasks = tasks_of_jobs(db, [row[0] for row in rows])
            if not rows:
                return
            place = rows[-1][0]
            yield [job_row(row, tasks.get(row[0], ())) for row in rows]

    def job(self, key: JobKey) -> JobRow | None:
        """One job with its tasks."""
        with self._connection.read() as db:
            row = db.execute(SELECT_JOBS + _WITH_KEY, (key.registration, key.id)).fetchone()
            return job_row(row, tasks_of_jobs(db, [row[0]]).get(row[0], ())) if row else None

    def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        """Jobs without their tasks, in the order given; unknown ones are left out."""
        with self._connection.read() as db:
            found = (
                db.execute(SELECT_JOBS + _WITH_KEY, (key.registration, key.id)).fetchone()
                for key in keys
            )
            return [job_row(row, ()) for row in found if row]

    def ended_badly(self, limit: int) -> list[JobRow]:
        """Jobs that failed, were refused or lost, without tasks, the last to end first."""
        query = SELECT_JOBS + _BADLY + " ORDER BY finished DESC, seq DESC LIMIT ?"
        with self._connection.read() as db:
            return [job_row(row, ()) for row in db.execute(query, (limit,))]

    def find_jobs(self, job_id: int) -> list[JobKey]:
        """Jobs with this rainbow id, the last received first."""
        with self._connection.read() as db:
            return [JobKey(*row) for row in db.execute(_FIND, (job_id,))]

    def find_named(self, name: str, *, limit: int) -> list[JobKey]:
        """Jobs of this name, the last received first; `limit` of them at most."""
        with self._connection.read() as db:
            return [JobKey(*row) for row in db.execute(_FIND_NAMED, (name, limit))]

    def first_received(self) -> float | None:
        """When the first of the jobs that are here came, epoch seconds; None: there is none."""
        with self._connection.read() as db:
            received: float | None = db.execute("SELECT min(received) FROM job").fetchone()[0]
        return received

    def story(self, key: JobKey) -> list[StoryLine]:
        """Everything that happened to a job, in the order in which it was learned."""
        with self._connection.read() as db:
            return story_of(db, key)


def _where(
    states: Collection[JobState], since: float | None, name: str | None
) -> tuple[str, list[Any]]:
    """The condition in SQL, and what stands for its question marks."""
    parts: list[tuple[str, Any]] = []
    if states:
        values = json.dumps([state.value for state in states])
        parts.append(("state IN (SELECT value FROM json_each(?))", values))
    if since is not None:
        parts.append(("received >= ?", since))
    if name is not None:
        parts.append(("name GLOB ?", name))
    if not parts:
        return "", []
    return " WHERE " + " AND ".join(part for part, _ in parts), [value for _, value in parts]
