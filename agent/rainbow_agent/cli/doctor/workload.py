"""The links to the workload manager: install, bindings, instance, a job that runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing

from rainbow_agent.cli.doctor.faults import Finding, found, skipped, well
from rainbow_agent.core.errors import Fatal, RainbowAgentError, UsageError
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.node_resources import PoolView, names_of
from rainbow_agent.core.obstacles import ObstacleKind
from rainbow_agent.core.ports import Workload
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import runtime_file, state_dir
from rainbow_agent.workload.choose import Choice, choose_as_daemon, open_running, opener
from rainbow_agent.workload.flux import bindings as flux_bindings
from rainbow_agent.workload.flux.install import find_command
from rainbow_agent.workload.flux.workload import FluxWorkload

#: Seconds until an instance that does not answer counts as gone.
INSTANCE_TIMEOUT_S = 5.0
#: Seconds for the queues, and for the job.
JOB_TIMEOUT_S = 30.0


def workload(settings: Settings, environ: Mapping[str, str], *, run_job: bool) -> Iterator[Finding]:
    """`flux`, `bindings`, `instance`, `queue`, `job`; ends at the first link that is broken."""
    try:
        choice = choose_as_daemon(settings, runtime_file.read_runtime(settings.state_dir))
    except UsageError as exc:
        yield found("no-instance", str(exc))
        return
    if choice.kind == "flux":
        command = find_command(environ)
        if command is None:
            yield found("flux-missing", "no flux on PATH or where the Flux operator puts it")
            return
        yield well("flux", f"{command}; {choice.why}")
        try:
            flux_bindings.load()
        except RainbowAgentError as exc:
            yield found("bindings-missing", str(exc))
            return
    else:
        yield well("flux", f"the local workload manager: {choice.why}")
    yield from _instance(choice, settings, run_job=run_job)


def _instance(choice: Choice, settings: Settings, *, run_job: bool) -> Iterator[Finding]:
    stop = Stop()
    limit = _limit(stop, JOB_TIMEOUT_S if run_job else INSTANCE_TIMEOUT_S)
    try:
        with closing(_open(choice, settings, stop, run_job=run_job)) as workload:
            pool = workload.resources()
            if isinstance(workload, FluxWorkload):
                yield _versions(workload)
            yield well("instance", _what_there_is(workload.uri, pool))
            # It is there; to check a job it starts a process, which a busy machine makes slow.
            limit.cancel()
            limit = _limit(stop, JOB_TIMEOUT_S)
            yield from _queue_and_job(workload, stop, run_job=run_job)
    except Fatal as exc:
        yield found("instance-of-another", str(exc))
    except RainbowAgentError as exc:
        if choice.kind == "local" and not run_job:
            yield well("instance", "none runs now; the agent starts it when it needs it")
            return
        yield found("instance-unreachable", str(exc))
    finally:
        limit.cancel()


def _limit(stop: Stop, seconds: float) -> threading.Timer:
    """Ends all waits after so many seconds, unless it is canceled."""
    timer = threading.Timer(seconds, stop.set, ("no answer in time",))
    timer.daemon = True
    timer.start()
    return timer


def _what_there_is(uri: str, pool: PoolView) -> str:
    cores = pool.totals()["cores_total"]
    text = f"{uri}, {counted(len(pool.nodes), 'node')}, {counted(cores, 'core')}"
    away = names_of(node for node in pool.nodes if not node.up)
    return f"{text}; not up: {away}" if away else text


def _queue_and_job(workload: Workload, stop: Stop, *, run_job: bool) -> Iterator[Finding]:
    """Whether jobs are started and taken; without --run-job one is submitted that never runs."""
    met = workload.obstacles(trial=not run_job)
    withheld = [o for o in met if o.kind is ObstacleKind.GPUS_NOT_GIVEN]
    for obstacle in withheld:
        yield found(obstacle.kind.value, str(obstacle))
    met = [o for o in met if o not in withheld]
    closed = [o for o in met if o.default and o.kind is not ObstacleKind.REFUSES_ALL]
    if closed:
        for obstacle in closed:
            yield found(obstacle.kind.value, str(obstacle))
        return
    others = [str(o) for o in met if not o.default]
    yield well("queue", "; ".join(["jobs that name no queue start", *others]))
    refused = next((o for o in met if o.kind is ObstacleKind.REFUSES_ALL), None)
    if refused is not None:
        yield found("takes-no-jobs", str(refused))
    elif run_job:
        yield _job(workload, stop)
    elif workload.kind == "flux":
        yield well("job", "one that was held and canceled at once was taken; --run-job runs one")
    else:
        yield skipped("job", "not tried: --run-job submits one that runs `true`")


def _open(choice: Choice, settings: Settings, stop: Stop, *, run_job: bool) -> Workload:
    """A connection; the local server is only started where a job is to run."""
    if not run_job:
        return open_running(choice, settings, stop)
    if choice.kind == "local":
        state_dir.prepare(settings.state_dir)
    return opener(choice, settings, stop)()


def _versions(workload: FluxWorkload) -> Finding:
    """Whether the library that is loaded goes with the instance."""
    bindings = flux_bindings.load()
    if workload.version != bindings.version:
        text = f"libflux-core {bindings.version}, instance {workload.version}"
        return found("bindings-differ", text)
    return well("bindings", f"{bindings.folder}, libflux-core {bindings.version}")


def _job(workload: Workload, stop: Stop) -> Finding:
    """One core, `true`, through the same planner and dispatcher's order as every job."""
    from rainbow_agent.jobs.run_once import Run  # noqa: PLC0415 - the planner: only when it is used
    from rainbow_agent.jobspec.plan import plan_text  # noqa: PLC0415 - likewise
    from rainbow_agent.jobspec.simple import simple_jobspec  # noqa: PLC0415 - likewise

    clock = SystemClock()
    plan = plan_text(json.dumps(simple_jobspec(["true"], name="doctor")))
    key = JobKey("doctor", int(clock.now() * 1000))
    begun = clock.monotonic()
    run = Run(plan, key, workload=workload, environment={}, clock=clock, show=lambda _: None)
    with closing(workload.open_journal(lambda _: True)) as journal:
        run.submit(stop)
        run.watch(journal, stop)
    if not run.over():
        run.cancel()
        return found(
            "job-failed", f"it was not over after {JOB_TIMEOUT_S:.0f} s; are all cores in use?"
        )
    if run.failed():
        reasons = {news.reason or news.state.value for news in run.latest.values()}
        return found("job-failed", "; ".join(sorted(reasons)))
    return well("job", f"submitted and completed in {clock.monotonic() - begun:.2f} s")
