"""Frozen values that all packages share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rainbow_agent.core.requirements import Option
from rainbow_agent.core.states import JobState, TaskState


@dataclass(frozen=True, order=True)
class JobKey:
    """Identity of a job: ids start over when rainbow loses its database, registrations do not."""

    registration: str
    id: int

    def __str__(self) -> str:
        return f"{self.registration}/{self.id}"


@dataclass(frozen=True, order=True)
class TaskKey:
    """Identity of one replica of one task."""

    job: JobKey
    task: str  # unique in the job
    replica: int  # from 0

    @property
    def label(self) -> str:
        """For people: `solve`; of a replica after the first `solve[2]`."""
        return f"{self.task}[{self.replica}]" if self.replica else self.task

    def to_attribute(self) -> dict[str, Any]:
        """What stands in `attributes.user.rainbow` of a Flux job, so that it is found again."""
        return {
            "registration": self.job.registration,
            "job": self.job.id,
            "task": self.task,
            "replica": self.replica,
        }

    @classmethod
    def from_attribute(cls, value: object) -> TaskKey | None:
        """The key in `attributes.user.rainbow`; None where it is absent or of another shape."""
        if not isinstance(value, Mapping):
            return None
        registration, job = value.get("registration"), value.get("job")
        task, replica = value.get("task"), value.get("replica")
        if (
            isinstance(registration, str)
            and isinstance(job, int)
            and isinstance(task, str)
            and isinstance(replica, int)
        ):
            return cls(JobKey(registration, job), task, replica)
        return None

    def __str__(self) -> str:
        return f"{self.job}/{self.task}/{self.replica}"


@dataclass(frozen=True)
class Origin:
    """What a Flux job of ours says of the job it belongs to: a lost ledger is rebuilt from it."""

    cluster: str
    name: str  # the job's
    position: int  # the task's place in the plan
    replicas: int  # of the task
    tasks: int  # of the plan
    depends_on: tuple[str, ...]  # names of tasks
    once: str = ""  # the job's key
    row: str = ""  # the digest of rainbow's row, as hexadecimal digits; "" where it is not known

    def to_attribute(self) -> dict[str, Any]:
        """What stands in `attributes.user.rainbow.origin`."""
        said = {**vars(self), "depends_on": list(self.depends_on)}
        return {k: v for k, v in said.items() if v != "" or k not in ("once", "row")}

    @classmethod
    def from_attribute(cls, rainbow: object) -> Origin | None:
        """The origin in `attributes.user.rainbow`; None where it is absent or of another shape."""
        value = rainbow.get("origin") if isinstance(rainbow, Mapping) else None
        if not isinstance(value, Mapping):
            return None
        cluster, name, needs = (value.get(each) for each in ("cluster", "name", "depends_on"))
        position, replicas, tasks = (value.get(each) for each in ("position", "replicas", "tasks"))
        if (
            isinstance(cluster, str)
            and isinstance(name, str)
            and isinstance(position, int)
            and isinstance(replicas, int)
            and isinstance(tasks, int)
            and isinstance(needs, list)
            and all(isinstance(need, str) for need in needs)
        ):
            once, row = (
                said if isinstance(said := value.get(each), str) else "" for each in ("once", "row")
            )
            return cls(cluster, name, position, replicas, tasks, tuple(needs), once, row)
        return None


@dataclass(frozen=True)
class FoundJob:
    """A job that the workload manager's journal has and the ledger has not."""

    key: JobKey
    cluster: str
    name: str
    received: float  # epoch seconds: when its first task was submitted, later than it came
    tasks: tuple[PlannedTask, ...]  # by position; their jobspecs are empty
    once: str = ""  # its key
    row: str = ""  # the digest of its row, as in Origin


@dataclass(frozen=True)
class Offer:
    """One row of ReceiveJobs, as rainbow sent it."""

    id: int
    name: str
    cluster: str
    jobspec: str  # YAML text, not looked into yet
    problem: str = ""  # why this row is not a job for us, whatever stands in it
    command: str = ""  # what rainbow's row has beside the jobspec; not run


class Listing(list[Offer]):
    """The rows of one answer of rainbow's.

    Attributes:
        whole: whether rainbow has no other rows of the cluster.
    """

    def __init__(self, rows: Iterable[Offer] = (), *, whole: bool = True) -> None:
        super().__init__(rows)
        self.whole = whole


@dataclass(frozen=True)
class Credentials:
    """What Register gives, once. Neither value is ever printed."""

    secret: str = field(repr=False)  # for this cluster, to receive
    token: str = field(repr=False)  # for others, to submit to it


@dataclass(frozen=True)
class Drain:
    """A request to take no new jobs: the operator's, or that of a stop."""

    since: float  # epoch seconds
    reason: str = ""
    #: Whether it ends with the daemon; an operator's lasts until `resume`.
    until_stopped: bool = False


@dataclass(frozen=True)
class Registration:
    """The life of one cluster secret."""

    id: str  # derived from the secret, which it does not reveal
    cluster: str
    host: str  # host:port of the scheduler
    opened: float  # epoch seconds


class TaskKind(str, Enum):
    """How a task is run."""

    JOB = "job"  # a job of the workload manager
    GROUP = "group"  # one as well: a nested instance whose program runs the tasks in it
    LOCAL = "local"  # a process beside the group's runner, in the place of a job


@dataclass(frozen=True)
class PlannedTask:
    """One task of a plan, before it is multiplied by its replicas.

    `jobspec` is Flux's own (RFC 14, version 1) as a JSON-like mapping, complete but for
    dependencies, environment of the host and `attributes.user.rainbow`, which the dispatcher adds.
    Of a local task it says the same, without any resources being asked for.
    """

    name: str  # unique in the job; of a task in a group GROUP/TASK
    replicas: int
    depends_on: tuple[str, ...]  # names of tasks; every replica of each must end well first
    jobspec: Mapping[str, Any]
    kind: TaskKind = TaskKind.JOB
    #: Names of tasks that must have ended before it starts, well or not: the place of a local
    #: task among its neighbours. Only in groups, where the runner is there to wait.
    after: tuple[str, ...] = ()
    #: Of a group: its tasks, in order. Its jobspec carries them to the group's runner.
    tasks: tuple[PlannedTask, ...] = ()
    #: In a group: what it writes goes into the group's output, which outlives the instance.
    watch: bool = False
    #: Ways to run it, the best first, where the nodes decide (jobspec.placement); () where not.
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A job's tasks so that each stands after all that it depends on."""

    name: str  # the jobspec's own name, or ""
    tasks: tuple[PlannedTask, ...]  # of the top level; those of a group are in the group
    warnings: tuple[str, ...] = ()
    once: str = ""  # the key by which a cluster recognises the job when it is sent again

    def every_task(self) -> Iterator[tuple[PlannedTask, PlannedTask | None]]:
        """Every task at any depth and the group that it is in, each group before its tasks."""
        queue: list[tuple[PlannedTask, PlannedTask | None]] = [(t, None) for t in self.tasks[::-1]]
        while queue:
            task, group = queue.pop()
            yield task, group
            queue += [(inner, task) for inner in task.tasks[::-1]]


@dataclass(frozen=True)
class PlannedJob:
    """A plan and the job it belongs to."""

    key: JobKey
    plan: Plan


@dataclass(frozen=True)
class Refusal:
    """A job that will never run here, and why."""

    key: JobKey
    reason: str


@dataclass(frozen=True)
class TaskChange:
    """News of one task. None means: nothing new about this."""

    key: TaskKey
    state: TaskState
    at: float  # epoch seconds, by the clock of the one that saw it happen
    cause: str  # one sentence, for the job's story
    flux_id: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    started: float | None = None
    finished: float | None = None
    unsatisfiable: bool = False  # the workload manager says that it can never run here
    inside: bool = False  # of a task in a group, reported by the group's runner
    again: bool = False  # PENDING: the job `flux_id` counts no longer; submit another
    denied: bool = False  # PENDING: `flux_id` was denied, for too few nodes are up; likewise
    dependency: bool = False  # CANCELED: for what it depends on, in the workload manager's words


@dataclass(frozen=True)
class JobChange:
    """A job's state moved because its tasks did."""

    key: JobKey
    was: JobState
    now: JobState
    reason: str | None
    #: FAILED: seconds from the first start of a task to the end; None if nothing ever started.
    ran: float | None = None


@dataclass(frozen=True)
class WaitForNodes:
    """What a task waits for that the scheduler denied."""

    nodes: str  # names, each with how it is: `blue-3 (drained)`
    since: float  # epoch seconds

    def __str__(self) -> str:
        """As it follows on "it waits"."""
        return f"for nodes to be up: {self.nodes}"


@dataclass(frozen=True)
class TaskRow:
    """One replica of one task as the ledger has it. Times are epoch seconds."""

    key: TaskKey
    position: int  # the task's place in the plan's order
    state: TaskState
    depends_on: tuple[str, ...]
    flux_id: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    submitted: float | None = None
    started: float | None = None
    finished: float | None = None
    kind: TaskKind = TaskKind.JOB
    group: str | None = None  # the task of kind group that it is in; None: the top level
    waits: WaitForNodes | None = None  # PENDING: it is not submitted before nodes come up


@dataclass(frozen=True)
class JobRow:
    """One job as the ledger has it. Times are epoch seconds."""

    key: JobKey
    name: str
    state: JobState
    reason: str | None
    received: float
    accepted: float | None  # when AcceptJobs was answered; None before
    finished: float | None
    tasks: tuple[TaskRow, ...] = ()


#: `now` of a story's line that is not a state change: what the jobspec says that nothing here acts
#: on.
WARNING = "warning"


@dataclass(frozen=True)
class StoryLine:
    """One entry of a job's story."""

    at: float
    task: str | None  # None: about the job itself
    replica: int | None
    was: str | None
    now: str
    cause: str


@dataclass(frozen=True)
class ReportLine:
    """What one report to rainbow said of a job, or reports that did not reach it."""

    at: float  # epoch seconds, of the first
    last: float  # of the last that ended alike
    times: int
    state: str | None  # of the job, as reported; None: rainbow did not take the report
    problem: str | None  # why not


@dataclass(frozen=True)
class Cancellation:
    """Somebody asked for the end of a job."""

    key: JobKey
    at: float  # epoch seconds
    who: str  # `alice@blue-0`
    why: str  # "" when no reason was given
    done: float | None = None  # when the job was over

    @property
    def reason(self) -> str:
        """One sentence for the job's story, and for the workload manager."""
        return f"canceled by {self.who}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class SatisfyAnswer:
    """What rainbow's graph says of a jobspec."""

    clusters: Sequence[str]  # that match
    total_clusters: int
    total_matches: int
    total_mismatches: int
