"""What the workload manager is given and what it says: submissions, its journal, its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rainbow_agent.core.model import Origin, TaskKey


@dataclass(frozen=True)
class TaskEvent:
    """One entry of a job's eventlog in the workload manager (RFC 18), word for word."""

    at: float  # epoch seconds
    name: str
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputPiece:
    """Some of what a task wrote."""

    flux_id: int
    stream: str  # stdout or stderr
    data: bytes  # as it was written, cut anywhere
    rank: str = "0"  # of the process in its job


@dataclass(frozen=True)
class OutputTail:
    """The end of what a job has written so far."""

    pieces: Sequence[OutputPiece]
    cut: bool  # it wrote more before that


@dataclass(frozen=True)
class Submission:
    """One replica of a task, ready for the workload manager."""

    key: TaskKey
    jobspec: Mapping[str, Any]  # RFC 14 version 1, complete with environment and user attributes
    afterok: tuple[int, ...] = ()  # job ids that must end well before it starts


@dataclass(frozen=True)
class Submitted:
    """The workload manager took a submission."""

    key: TaskKey
    flux_id: int


@dataclass(frozen=True)
class SubmitRefused:
    """The workload manager will not take a submission, in its own words."""

    key: TaskKey
    reason: str
    dependency_failed: bool = False  # a job that it should wait for has failed, or is not known


@dataclass(frozen=True)
class SubmitHeld:
    """The workload manager takes no job at all now, in its own words; this one may be good."""

    key: TaskKey
    reason: str


SubmitOutcome = Submitted | SubmitRefused | SubmitHeld


class EventKind(str, Enum):
    """The events of the workload manager's journal that the agent uses."""

    SUBMIT = "submit"
    START = "start"
    FINISH = "finish"
    EXCEPTION = "exception"
    INSIDE = "inside"  # news of a task in a group that is followed; never after its CLEAN
    CLEAN = "clean"  # the job is over; nothing follows
    CAUGHT_UP = "caught-up"  # the history ends here; what follows happens now


@dataclass(frozen=True)
class WorkloadEvent:
    """One entry of the workload manager's journal (RFC 18, RFC 21)."""

    kind: EventKind
    flux_id: int  # 0 for CAUGHT_UP
    time: float  # epoch seconds
    key: TaskKey | None = None  # SUBMIT of a job of ours
    group: bool = False  # SUBMIT: it is a group
    news: Mapping[str, Any] | None = (
        None  # INSIDE: as the group's runner wrote it (core/group_events.py)
    )
    origin: Origin | None = None  # SUBMIT of a job of ours
    status: int | None = None  # FINISH: a wait status
    exception: str = ""  # EXCEPTION: its type (cancel, timeout, alloc, dependency, exec, ...)
    severity: int = 0  # EXCEPTION: 0 is fatal
    note: str = ""  # EXCEPTION: in the workload manager's words
    unsatisfiable: bool = False  # EXCEPTION: it says that nothing here can ever run the job
    denied: bool = False  # EXCEPTION: it says so of the nodes that are up at the moment
