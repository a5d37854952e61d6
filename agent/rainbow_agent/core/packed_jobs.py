"""A job and its tasks as a short JSON object, and back: what an agent tells the job's sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rainbow_agent.core.model import JobKey, JobRow, TaskKey, TaskKind, TaskRow
from rainbow_agent.core.states import JobState, TaskState

#: Tasks in a message about one job: the first of its plan.
MAX_TASKS: Final = 1000


def pack_job(job: JobRow) -> dict[str, Any]:
    """A job as a JSON object; of more than MAX_TASKS tasks the first ones."""
    return {
        "key": [job.key.registration, job.key.id],
        "name": job.name,
        "state": job.state.value,
        "reason": job.reason,
        "times": [job.received, job.accepted, job.finished],
        "all": len(job.tasks),
        "tasks": [_pack_task(task) for task in job.tasks[:MAX_TASKS]],
    }


def unpack_job(packed: Mapping[str, Any]) -> JobRow:
    """The job in pack_job()'s object.

    Raises:
        ValueError: it is not one.
    """
    try:
        registration, number = packed["key"]
        key = JobKey(_text(registration), _number(number))
        received, accepted, finished = map(_time, packed["times"])
        if received is None:
            raise ValueError("no time at which it was received")
        return JobRow(
            key,
            _text(packed["name"]),
            JobState(packed["state"]),
            _text_or_none(packed["reason"]),
            received,
            accepted,
            finished,
            tuple(_unpack_task(key, task) for task in packed["tasks"]),
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"not a job: {exc!r}") from exc


def left_out(packed: Mapping[str, Any]) -> int:
    """How many tasks of the job are not in its object."""
    return max(0, _number(packed.get("all", 0)) - len(packed["tasks"]))


def _pack_task(task: TaskRow) -> list[Any]:
    return [
        task.key.task,
        task.key.replica,
        task.position,
        task.state.value,
        list(task.depends_on),
        task.flux_id,
        task.exit_code,
        task.reason,
        [task.submitted, task.started, task.finished],
        task.kind.value,
        task.group,
    ]


def _unpack_task(job: JobKey, packed: Sequence[Any]) -> TaskRow:
    name, replica, position, state, needs, flux_id, code, reason, times, kind, group = packed
    submitted, started, finished = map(_time, times)
    return TaskRow(
        TaskKey(job, _text(name), _number(replica)),
        _number(position),
        TaskState(state),
        tuple(_text(need) for need in needs),
        None if flux_id is None else _number(flux_id),
        None if code is None else _number(code),
        _text_or_none(reason),
        submitted,
        started,
        finished,
        TaskKind(kind),
        _text_or_none(group),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return value


def _time(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no time")
    return float(value)
