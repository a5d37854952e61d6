"""Jobs of the ledger, some at a time: what a list costs does not grow with how many there are."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.states import FINAL_TASK_STATES, JobState
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_file import connect_readonly


@dataclass(frozen=True)
class Listed:
    """One job in a list. Times are epoch seconds."""

    place: int  # grows with each job that comes
    key: JobKey
    name: str
    state: JobState
    reason: str | None
    received: float
    started: float | None
    finished: float | None
    tasks: int  # replicas
    over: int  # of them
    #: The task that decided the end of a job with several: as monitoring.remedies.blamed().
    blamed: str | None = None


@dataclass(frozen=True)
class Page:
    """Some jobs, the newest first."""

    jobs: Sequence[Listed]
    total: int  # that match
    more: bool  # older ones match


#: Conditions, by what is asked for; one that is not asked for costs nothing.
_OF_STATE = "+state IN (SELECT value FROM json_each(:states))"
_RUNS_AS = """
seq IN (
    SELECT job FROM replica
    WHERE state = 'running' AND in_group = 0 AND flux_id IN (SELECT value FROM json_each(:on))
)
"""
_NAMED = "(name LIKE :pattern ESCAPE '\\' OR id = :number)"
_NAMED_AT_LENGTH = "instr(lower(name), lower(:text)) > 0"
#: Characters of a text that LIKE looks for; sqlite refuses some 50,000.
_MAX_PATTERN = 1000
#: A number as it is printed, which sqlite can hold.
_ID = re.compile("0|-?[1-9][0-9]{0,17}")
_BEFORE = "seq < :before"
_COLUMNS = "seq, registration, id, name, state, reason, received, finished"
#: Where so few jobs are in the states that are asked for, they are found by them and not by place.
_FEW = 20_000
_STATES = "SELECT state, jobs FROM tally"
_TASKS = """
SELECT
    job, count(*), sum(state IN (SELECT value FROM json_each(?))), min(started)
FROM replica WHERE task IN (SELECT seq FROM task WHERE job IN (SELECT value FROM json_each(?)))
GROUP BY job
"""
_CULPRITS = """
SELECT job, task, replica FROM (
    SELECT
        replica.job, task.name AS task, replica.replica,
        row_number() OVER (
            PARTITION BY replica.job
            ORDER BY
                CASE replica.state WHEN 'lost' THEN 0 WHEN 'failed' THEN 1 ELSE 2 END,
                coalesce(replica.finished, 0), position, replica.replica
        ) AS rank
    FROM replica JOIN task ON task.seq = replica.task JOIN job ON job.seq = replica.job
    WHERE replica.job IN (SELECT value FROM json_each(?)) AND job.reason IS NOT NULL
    AND replica.state IN ('lost', 'failed', 'canceled')
    AND EXISTS (SELECT * FROM task AS other WHERE other.job = replica.job AND other.position > 0)
) WHERE rank = 1
"""
_OVER = json.dumps([state.value for state in FINAL_TASK_STATES])


class LedgerPages(LedgerPart):
    """A read-only connection for one look."""

    @classmethod
    def open(cls, path: Path) -> LedgerPages:
        """Open the ledger to read.

        Raises:
            Fatal, LedgerError, UsageError: as connect_readonly().
        """
        return cls(connect_readonly(path))

    def page(
        self,
        *,
        states: tuple[JobState, ...],
        before: int | None,
        text: str,
        limit: int,
        running_as: Sequence[int] | None = None,
    ) -> Page:
        """The newest jobs before a place.

        Args:
            states: only jobs in these; all when empty.
            before: the place of the last job of the page before; None for the first.
            text: only jobs whose name has it, in any case, or whose id it is; "" for all.
            limit: how many.
            running_as: only jobs with a task that runs as one of these jobs of the workload
                manager; None: all.
        """
        asked = {
            "states": json.dumps([state.value for state in states]),
            "before": before,
            "text": text,
            "pattern": f"%{_escaped(text)}%",
            "number": int(text) if _ID.fullmatch(text) else None,
            "on": json.dumps(list(running_as or ())),
            "limit": limit + 1,  # one more says whether there are more
        }
        match = _conditions(states=bool(states), on=running_as is not None, text=text)
        with self._connection.read() as db:
            counts = {JobState(state): n for state, n in db.execute(_STATES)}
            of_states = sum(n for state, n in counts.items() if not states or state in states)
            few = " INDEXED BY job_by_state" if states and of_states <= _FEW else ""
            rows = db.execute(_page(match, few, before), asked).fetchall()
            shown = rows[:limit]
            tasks = _of_tasks(db, [row[0] for row in shown])
            if not text and running_as is None:
                total = of_states
            elif before is None and len(rows) <= limit:
                total = len(rows)
            else:
                (total,) = db.execute(_total(match, few), asked).fetchone()
        jobs = [_listed(*row, *tasks.get(row[0], (0, 0, None, None))) for row in shown]
        return Page(jobs, total, more=len(rows) > limit)


def _of_tasks(db: sqlite3.Connection, jobs: Sequence[int]) -> dict[int, list[Any]]:
    """Of each job: how many tasks, how many are over, the first start, and who is to blame."""
    places = json.dumps(jobs)
    blamed = {
        job: TaskKey(JobKey("", 0), name, replica).label
        for job, name, replica in db.execute(_CULPRITS, (places,))
    }
    return {job: [*facts, blamed.get(job)] for job, *facts in db.execute(_TASKS, (_OVER, places))}


def _conditions(*, states: bool, on: bool, text: str) -> list[str]:
    named = _NAMED if len(text) <= _MAX_PATTERN else _NAMED_AT_LENGTH
    asked = ((states, _OF_STATE), (on, _RUNS_AS), (bool(text), named))
    return [condition for wanted, condition in asked if wanted]


def _page(match: Sequence[str], index: str, before: int | None) -> str:
    where = _where([*match, _BEFORE] if before is not None else match, index)
    return f"SELECT {_COLUMNS} FROM job{index} {where} ORDER BY seq DESC LIMIT :limit"  # noqa: S608


def _total(match: Sequence[str], index: str) -> str:
    return f"SELECT count(*) FROM job{index} {_where(match, index)}"  # noqa: S608 - constants


def _where(conditions: Sequence[str], index: str) -> str:
    where = " AND ".join(conditions)
    if index:  # a plus keeps sqlite from using one
        where = where.replace("+state", "state")
    return f"WHERE {where}" if where else ""


def _escaped(text: str) -> str:
    """The text as it stands, for LIKE."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return text


def _listed(  # noqa: PLR0917 - a row
    seq: int,
    registration: str,
    job_id: int,
    name: str,
    state: str,
    reason: str | None,
    received: float,
    finished: float | None,
    count: int,
    over: int,
    started: float | None,
    blamed: str | None,
) -> Listed:
    key = JobKey(registration, job_id)
    times = (received, started, finished)
    return Listed(seq, key, name, JobState(state), reason, *times, count, over, blamed)
