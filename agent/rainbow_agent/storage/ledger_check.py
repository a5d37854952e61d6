"""Whether all that stands in a ledger makes sense: damage that a look at its pages does not show.

sqlite finds broken pages, and an index that differs from its table. What is inside of
a value it does not look at: states that are none, broken JSON, jobspecs with another letter.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from typing import Any, Final

from rainbow_agent.core.model import WARNING, TaskKind
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger_file import migrate, scripts

#: Stands in a story's `now` once AcceptJobs was answered; not a state.
ACCEPTED: Final = "accepted"
#: Stands there when its row came again under another registration; no state either.
OFFERED_AGAIN: Final = "offered again"
_TABLES: Final = (
    *("registration", "job", "offer", "task", "replica", "event", "note"),
    *("report", "told", "cancellation", "removed", "tally", "once", "handle", "asked", "request"),
    "unread",
)


def _one_of(column: str, words: Iterable[str]) -> str:
    listed = ", ".join(f"'{word}'" for word in words)
    return f"{column} IN ({listed})"


def _are(kinds: str, *columns: str) -> list[str]:
    listed = ", ".join(f"'{kind}'" for kind in kinds.split())
    return [f"typeof({column}) IN ({listed})" for column in columns]


_TIME: Final = "real integer"
_JOB_STATES: Final = [state.value for state in JobState]
_TASK_STATES: Final = [state.value for state in TaskState]
_STATES: Final = sorted({*_JOB_STATES, *_TASK_STATES})
#: What is true of every row of a table that this program wrote.
_SENSE: Final = {
    "registration": [
        *_are("text", "id", "cluster", "host"),
        *_are(_TIME, "opened"),
        *_are("integer", "number"),
    ],
    "job": [
        _one_of("state", _JOB_STATES),
        *_are("integer", "id", "started", "unsatisfiable"),
        *_are("text", "name"),
        *_are("text null", "reason"),
        *_are("blob null", "found_row"),
        *_are(_TIME, "received"),
        *_are(f"{_TIME} null", "accepted", "finished"),
        f"told IS NULL OR {_one_of('told', ['', *_JOB_STATES])}",
    ],
    "handle": [
        *_are("text", "id", "inbox", "token"),
        *_are("blob", "verify", "seal", "nonce"),
        *_are("integer", "keep", "turn", "counter"),
    ],
    "request": ["json_type(content) = 'object'", *_are("integer", "counter")],
    "asked": [*_are("text", "handle", "inbox"), *_are("blob", "body", "proof"), *_are(_TIME, "at")],
    "unread": [*_are("blob", "verify"), *_are("integer", "turn", "size"), *_are(_TIME, "at")],
    "offer": [*_are("text", "cluster", "jobspec"), *_are("blob null", "digest")],
    "task": [
        _one_of("kind", [kind.value for kind in TaskKind]),
        *_are("integer", "position"),
        *_are("text", "name"),
        "json_valid(depends_on) AND json_type(depends_on) = 'array'",
    ],
    "replica": [
        _one_of("state", _TASK_STATES),
        *_are("integer", "replica", "in_group"),
        *_are("integer null", "flux_id", "exit_code"),
        *_are("text null", "reason"),
        *_are(f"{_TIME} null", "submitted", "started", "finished"),
    ],
    "event": [
        _one_of("now", [*_STATES, ACCEPTED, OFFERED_AGAIN, WARNING]),
        f"was IS NULL OR {_one_of('was', _STATES)}",
        *_are("text", "cause"),
        *_are(_TIME, "at"),
    ],
    "note": ["json_valid(value)"],
    "report": [*_are(_TIME, "at", "last"), *_are("integer", "times")],
    "told": [_one_of("state", _JOB_STATES)],
    "cancellation": _are("text", "who", "why"),
    "denial": [
        *_are("integer", "flux_id", "own"),
        *_are("integer null", "fits"),
        *_are("text", "cause"),
        *_are("text null", "waits_for"),
        *_are(_TIME, "at"),
    ],
    "tally": [_one_of("state", _JOB_STATES), *_are("integer", "jobs")],
    "once": [*_are("integer", "registration", "id"), *_are("blob", "key")],
    "removed": [*_are("integer", "id", "registration"), *_are("blob", "digest")],
}


#: A number of jobs that is not that of the jobs.
_MISCOUNTED: Final = """
SELECT state, jobs FROM tally WHERE jobs <> 0
EXCEPT SELECT state, count(*) FROM job GROUP BY state
UNION ALL
SELECT * FROM (
    SELECT state, count(*) FROM job GROUP BY state
    EXCEPT SELECT state, jobs FROM tally WHERE jobs <> 0
)
LIMIT 1
"""
#: A job that is to be planned, and nothing to plan it from.
_NO_TEXT: Final = """
SELECT 1 FROM job
WHERE state = 'received' AND NOT EXISTS (SELECT 1 FROM task WHERE task.job = job.seq)
    AND NOT EXISTS (SELECT 1 FROM offer WHERE offer.job = job.seq)
LIMIT 1
"""


def check_sum(jobspec: str) -> int:
    """What is kept beside a jobspec, to see that it is still the one that came: its CRC-32."""
    return zlib.crc32(jobspec.encode("utf-8", "surrogatepass"))


#: What of the shape belongs to one table or index, by its name.
_Shape = dict[str, list[Any]]


def _shape(db: sqlite3.Connection) -> _Shape:
    """Tables, columns, keys and indexes; of a table not the text, which has comments in it."""
    found: _Shape = {}
    listed = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    for kind, name, table, text in listed:
        found[name] = [(kind, table, text if kind == "index" else None)]
        wanted = ["table_xinfo", "foreign_key_list"] if kind == "table" else ["index_xinfo"]
        for pragma in wanted:
            found[name] += db.execute(f'PRAGMA {pragma}("{name}")').fetchall()
    return found


@lru_cache(maxsize=1)
def _expected_shape() -> _Shape:
    """That of a ledger which was just made."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, 0, scripts())
        return _shape(db)


def _has_shape(db: sqlite3.Connection) -> bool:
    """Whether all is there that should be; what an operator added (ANALYZE, an index) may be."""
    found = _shape(db)
    return all(found.get(name) == facts for name, facts in _expected_shape().items())


def problems(db: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with a ledger of this version, in words; nothing when it is whole.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    for (verdict,) in db.execute("PRAGMA integrity_check(1)"):
        if verdict != "ok":
            yield " ".join(str(verdict).split())
    if not _has_shape(db):
        yield "its tables are not those of this version"
        return
    for row in db.execute("PRAGMA foreign_key_check"):
        yield f"a row of {row[0]} has lost what it is of"
        break
    for table in _TABLES:
        # Names are from above, nothing of it comes from outside.
        deque(db.execute(f"SELECT * FROM {table}"), maxlen=0)  # noqa: S608 - text that is none
        wrong = " AND ".join(f"({each})" for each in _SENSE[table])
        if db.execute(f"SELECT 1 FROM {table} WHERE NOT ({wrong}) LIMIT 1").fetchone():  # noqa: S608
            yield f"a row of {table} holds a value that the agent never writes"
    yield from _job_problems(db)


def _job_problems(db: sqlite3.Connection) -> Iterator[str]:
    if db.execute(_MISCOUNTED).fetchone():
        yield "the number of jobs in a state is not the number of such jobs"
    if db.execute(_NO_TEXT).fetchone():
        yield "a job has lost its jobspec"
    for jobspec, crc in db.execute("SELECT jobspec, crc FROM offer WHERE crc IS NOT NULL"):
        if check_sum(jobspec) != crc:
            yield "a jobspec is not the one that was received"
            break
