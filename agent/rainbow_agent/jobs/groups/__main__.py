"""`python -m rainbow_agent.jobs.groups FILE`: the program of a group's instance.

FILE is the plan that travelled in the group's Flux job (jobspec/groupfile.py). Where the runner
is it learns from the instance itself: under Flux from the broker's attributes, under the local
workload manager from its environment.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rainbow_agent.core.errors import JobspecError, RainbowAgentError, UsageError
from rainbow_agent.core.model import PlannedTask, TaskKey, TaskKind
from rainbow_agent.core.notation import parse_f58
from rainbow_agent.core.ports import Records, Workload
from rainbow_agent.core.site import SiteNode
from rainbow_agent.jobs.groups import local_tasks
from rainbow_agent.jobs.groups.denied import Judge
from rainbow_agent.jobs.groups.event_log import EventLogWriter, to_file
from rainbow_agent.jobs.groups.output import Copies
from rainbow_agent.jobs.groups.run import GroupContext, GroupRun
from rainbow_agent.jobs.submitter import GROUP_KEY
from rainbow_agent.jobspec.groupfile import from_data
from rainbow_agent.jobspec.placement import Verdict, judge_inside, place_inside
from rainbow_agent.jobspec.unplaceable import Unplaceable
from rainbow_agent.runtime import logs
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.runtime.stop import stop_on_signals
from rainbow_agent.workload.local.server.nest import Nest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Instance:
    """The instance that the group is."""

    workload: Workload
    open_writer: Callable[[], Callable[[str], None]]  # of the log outside it
    open_records: Callable[[], Records]  # of what it keeps of its jobs
    #: Ranks of its nodes in the instance around it, by its own.
    outer_ranks: Callable[[], Sequence[int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a group; 0 when all of its tasks ended well, 1 when not, else the error's exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    logs.set_up("warning", "text")
    try:
        if len(words) != 1:
            raise UsageError("usage: python -m rainbow_agent.jobs.groups FILE")
        key, tasks = _read(Path(words[0]), os.environ)
        return 0 if _run(key, tasks) else 1
    except RainbowAgentError as exc:
        sys.stderr.write(f"rainbow-agent group runner: {exc}\n")
        return exc.exit_code


def _read(path: Path, environ: Mapping[str, str]) -> tuple[TaskKey, tuple[PlannedTask, ...]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        key = TaskKey.from_attribute(json.loads(environ.get(GROUP_KEY, "null")))
    except (OSError, ValueError) as exc:
        raise JobspecError(f"the group's plan cannot be read: {path}: {exc}") from exc
    _, tasks = from_data(data)
    if key is None:
        raise UsageError(f"{GROUP_KEY} is not set: only the agent starts the runner")
    return key, tasks


def _run(key: TaskKey, tasks: Sequence[PlannedTask]) -> bool:
    mark = secrets.token_hex(16)
    any_local = any(task.kind is TaskKind.LOCAL for task in tasks)
    if any_local:
        local_tasks.guard(mark)
    environment = job_environment(os.environ)
    # What a local task starts is meant for this instance, so it gets the variables that name it.
    beside = {name: value for name, value in os.environ.items() if not name.startswith("RAINBOW_")}
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        instance = stack.enter_context(_instance(os.environ))
        writer = EventLogWriter(instance.open_writer)
        stack.callback(writer.close)
        copies = Copies(instance.open_records)
        stack.callback(copies.close)
        if any_local:
            stack.callback(local_tasks.end_all, mark)
        placed, unplaceable = _placed(tasks, instance)
        run = GroupRun(
            key,
            placed,
            GroupContext(
                instance.workload,
                environment,
                SystemClock(),
                stop,
                writer.report,
                _judge(tasks, instance),
                copies.copy,
            ),
            lambda on_change: local_tasks.InPlaceTasks(beside, mark, on_change),
            unplaceable,
        )
        return run.run()


def _placed(
    tasks: Sequence[PlannedTask], instance: _Instance
) -> tuple[list[PlannedTask], dict[str, str]]:
    """The tasks on the nodes of this instance; of those that none can run, the reasons by name."""
    if not any(task.options for task in tasks):
        return list(tasks), {}
    views, outer = instance.workload.resources().nodes, instance.outer_ranks()
    # A broker that is still on its way is as good as one that is there.
    nodes = [SiteNode(view.rank, view.name, view.cores, view.gpus) for view in views]
    placed: list[PlannedTask] = []
    unplaceable: dict[str, str] = {}
    for task in tasks:
        try:
            placed += place_inside([task], nodes, outer)
        except Unplaceable as exc:
            placed.append(task)
            unplaceable[task.name] = f"on the nodes that its group got: {exc}"
    return placed, unplaceable


def _judge(tasks: Sequence[PlannedTask], instance: _Instance) -> Judge:
    by_name = {task.name: task for task in tasks}

    def judge(name: str, nodes: Sequence[SiteNode]) -> Verdict:
        task = by_name[name]
        return judge_inside(task, nodes, instance.outer_ranks() if task.options else ())

    return judge


@contextmanager
def _instance(environ: Mapping[str, str]) -> Iterator[_Instance]:
    nest = Nest.from_environment(environ)
    with _local(nest) if nest else _flux() as instance:
        yield instance


@contextmanager
def _local(nest: Nest) -> Iterator[_Instance]:
    """A server of the local workload manager's of our own, which ends with this process."""
    from rainbow_agent.workload.local.records import LocalRecords  # noqa: PLC0415 - or Flux
    from rainbow_agent.workload.local.workload import LocalWorkload  # noqa: PLC0415 - likewise

    reading, writing = os.pipe()
    workload = LocalWorkload(nest.folder, cores=nest.cores, lifeline=reading)
    try:
        # Started here, once: a thread that also tried would be ended with the group's processes.
        workload.resources()
        yield _Instance(
            workload,
            lambda: to_file(nest.events),
            lambda: LocalRecords(nest.folder),
            lambda: [0],
        )
    finally:
        workload.close()
        os.close(writing)
        os.close(reading)
        # Its jobs are over, or end now; nothing of the group is left when this program ends.
        end = LocalWorkload(nest.folder, launch=False)
        try:
            end.shutdown(kill=True)
        except RainbowAgentError as exc:
            log.warning("The group's own workload manager did not end in order: %s", exc)
        finally:
            end.close()


@contextmanager
def _flux() -> Iterator[_Instance]:
    """The Flux instance whose initial program this is, and the one around it."""
    from rainbow_agent.workload.flux.allocation import ranks_of  # noqa: PLC0415 - or local
    from rainbow_agent.workload.flux.connection import Connection  # noqa: PLC0415 - likewise
    from rainbow_agent.workload.flux.group_log import to_job  # noqa: PLC0415 - likewise
    from rainbow_agent.workload.flux.records import FluxRecords  # noqa: PLC0415 - likewise
    from rainbow_agent.workload.flux.workload import FluxWorkload  # noqa: PLC0415 - likewise

    connection = Connection()
    around, job = connection.attribute("parent-uri"), connection.attribute("jobid")
    connection.close()
    if not around or not job:
        raise UsageError("this Flux instance is in no other one: the runner runs in a group's job")
    flux_id = parse_f58(job)
    workload = FluxWorkload()
    try:
        yield _Instance(
            workload,
            lambda: to_job(around, flux_id),
            lambda: FluxRecords(None),
            lambda: ranks_of(around, flux_id),
        )
    finally:
        workload.close()


if __name__ == "__main__":
    sys.exit(main())
