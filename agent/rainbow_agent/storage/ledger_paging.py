"""Jobs of the ledger, some at a time: what a list costs does not grow with how many there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rainbow_agent.core.model import JobKey
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


@dataclass(frozen=True)
class Page:
    """Some jobs, the newest first."""

    jobs: Sequence[Listed]
    total: int  # that match
    more: bool  # older ones match


_MATCH = """
(:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
AND (:on IS NULL OR seq IN (
    SELECT job FROM replica
    WHERE state = 'running' AND in_group = 0 AND flux_id IN (SELECT value FROM json_each(:on))
))
AND (:text = '' OR instr(lower(name), lower(:text)) > 0 OR CAST(id AS TEXT) = :text)
"""
_PAGE = f"""
SELECT seq, registration, id, name, state, reason, received, finished FROM job
WHERE (:before IS NULL OR seq < :before) AND {_MATCH}
ORDER BY seq DESC LIMIT :limit
"""  # noqa: S608 - two constants
_TOTAL = f"SELECT count(*) FROM job WHERE {_MATCH}"  # noqa: S608 - likewise
_STATES = "SELECT state, jobs FROM tally"
_TASKS = """
SELECT
    job, count(*), sum(state IN (SELECT value FROM json_each(?))), min(started)
FROM replica WHERE task IN (SELECT seq FROM task WHERE job IN (SELECT value FROM json_each(?)))
GROUP BY job
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
            "states": json.dumps([state.value for state in states]) if states else None,
            "before": before,
            "text": text,
            "on": None if running_as is None else json.dumps(list(running_as)),
            "limit": limit + 1,  # one more says whether there are more
        }
        with self._connection.read() as db:
            rows = db.execute(_PAGE, asked).fetchall()
            shown = rows[:limit]
            tasks = {
                job: facts
                for job, *facts in db.execute(
                    _TASKS, (_OVER, json.dumps([row[0] for row in shown]))
                )
            }
            if text or running_as is not None:
                (total,) = db.execute(_TOTAL, asked).fetchone()
            else:
                counts = {JobState(state): n for state, n in db.execute(_STATES)}
                total = sum(n for state, n in counts.items() if not states or state in states)
        jobs = [_listed(*row, *tasks.get(row[0], (0, 0, None))) for row in shown]
        return Page(jobs, total, more=len(rows) > limit)


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
) -> Listed:
    key = JobKey(registration, job_id)
    return Listed(seq, key, name, JobState(state), reason, received, started, finished, count, over)
