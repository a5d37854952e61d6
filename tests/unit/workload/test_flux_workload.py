"""FluxWorkload where Flux differs from any other workload manager: connections, words, closing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.obstacles import ObstacleKind
from rainbow_agent.core.workload_values import (
    Submission,
    SubmitHeld,
    SubmitOutcome,
    SubmitRefused,
    Submitted,
)
from rainbow_agent.workload.flux.quiesce import backlog
from rainbow_agent.workload.flux.submit_request import RequestWriter
from rainbow_agent.workload.flux.workload import FluxWorkload
from support.common import eventually
from support.flux import NO_FLUX, PrivateFlux, flux_command, private_flux
from support.local_workload import make_jobspec
from support.places import new_key

needs_flux = pytest.mark.skipif(flux_command() is None, reason=NO_FLUX)
NOWHERE = "local:///dev/null/flux/local"  # below a file: it can never be there


@pytest.fixture
def flux() -> Iterator[PrivateFlux]:
    """An instance for one test."""
    with private_flux() as instance:
        yield instance


def submission(**system: Any) -> Submission:
    """A job that does nothing."""
    return Submission(new_key(), make_jobspec(["true"], **system))


def outcomes(workload: FluxWorkload, count: int) -> list[SubmitOutcome]:
    """The next outcomes."""
    found: list[SubmitOutcome] = []

    def there() -> bool:
        found.extend(workload.collect_outcomes(0.2))
        return len(found) >= count

    eventually(there, f"{count} outcomes")
    return found


def test_importing_the_adapter_loads_no_bindings() -> None:
    """`rainbow-agent status` must not wait for Flux."""
    code = "import rainbow_agent.workload.flux.workload, sys; print('_flux' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@given(
    environments=st.lists(st.dictionaries(st.text(), st.text(), max_size=3), min_size=1),
    user=st.dictionaries(st.sampled_from(["rainbow", "environment"]), st.none() | st.text()),
)
def test_only_dependencies_are_added_to_a_jobspec(
    environments: list[dict[str, str]], user: dict[str, str | None]
) -> None:
    """As afterok, one for each job, in the notation of people (RFC 26); the original stays."""
    writer = RequestWriter()
    for environment in [*environments, environments[0]]:
        plain = make_jobspec(["true"])
        plain["attributes"]["system"]["environment"] = environment
        plain["attributes"]["user"] = user
        sent = json.loads(writer.text(Submission(new_key(), plain, (0, 57))))
        assert sent["attributes"]["system"].pop("dependencies") == [
            {"scheme": "afterok", "value": "f1"},
            {"scheme": "afterok", "value": "fz"},
        ]
        assert sent == plain
        assert json.loads(writer.text(Submission(new_key(), plain))) == plain


def test_an_environment_that_many_jobs_share_is_encoded_once() -> None:
    """It is most of a jobspec's text."""

    class Counted(dict[str, str]):
        encoded = 0

        def items(self) -> Any:  # called by the encoder
            Counted.encoded += 1
            return super().items()

    writer, shared = RequestWriter(), Counted(PATH="/bin")
    for _ in range(3):
        jobspec = make_jobspec(["true"])
        jobspec["attributes"]["system"]["environment"] = shared
        writer.text(Submission(new_key(), jobspec))
    assert Counted.encoded == 1


def test_the_backlog_counts_all_stages_of_ingest() -> None:
    """Whatever else the statistics of a version have."""
    stages = {"frobnicator": {"backlog": 2, "trash": 0}, "validator": {"backlog": 3, "running": 4}}
    assert backlog({"pipeline": stages}) == 5
    assert backlog({}) == 0


@pytest.mark.flux
@needs_flux
def test_a_flux_that_is_not_there_is_named() -> None:
    """With its URI, in every call; nothing is in flight after it."""
    workload = FluxWorkload(NOWHERE)
    for call in (workload.resources, workload.open_journal, lambda: workload.instance):
        with pytest.raises(WorkloadUnavailable, match=NOWHERE):
            call()
    with pytest.raises(WorkloadUnavailable, match=NOWHERE):
        workload.start_submit(submission())
    assert workload.in_flight() == 0
    workload.close()


@pytest.mark.flux
@needs_flux
def test_a_flux_that_dies_is_told_by_every_call(flux: PrivateFlux) -> None:
    """What was in flight is forgotten; the journal of the next instance tells."""
    with closing(FluxWorkload(flux.uri)) as workload, closing(workload.open_journal()) as journal:
        workload.start_submit(submission())
        assert isinstance(outcomes(workload, 1)[0], Submitted)
        flux.kill()

        def submit_another() -> bool:
            workload.start_submit(submission())
            workload.collect_outcomes(0.2)
            return False

        with pytest.raises(WorkloadUnavailable, match="gone"):
            eventually(submit_another, "the end is seen")
        assert workload.in_flight() == 0
        with pytest.raises(WorkloadUnavailable, match="gone"):
            eventually(lambda: journal.next_events(0.2) and False, "the end is seen")
        with pytest.raises(WorkloadUnavailable, match=flux.uri):
            workload.resources()


@pytest.mark.flux
@needs_flux
def test_a_connection_opens_again_after_a_failure(flux: PrivateFlux) -> None:
    """The caller only has to try again."""
    with closing(FluxWorkload(flux.uri)) as workload:
        assert workload.resources().nodes
        workload.close()
        assert workload.resources().nodes


@pytest.mark.flux
@needs_flux
def test_instances_differ_in_their_identity(flux: PrivateFlux) -> None:
    """Two connections to one instance agree; another instance is another."""
    with closing(FluxWorkload(flux.uri)) as one, closing(FluxWorkload(flux.uri)) as same:
        assert one.instance == same.instance
        with private_flux() as other, closing(FluxWorkload(other.uri)) as different:
            assert different.instance != one.instance


@pytest.mark.flux
@needs_flux
def test_a_restart_with_state_keeps_the_lineage(flux: PrivateFlux, tmp_path: Path) -> None:
    """It remembers the highest id that was purged, but for what a kill took away with it."""
    lineages, ids = [], []
    for n in range(4):
        with private_flux(options=[f"-Sstatedir={tmp_path}"]) as kept:
            with closing(FluxWorkload(kept.uri)) as workload:
                lineages.append(workload.lineage)
            kept.run("flux", "run", "true")
            ids.append(int(kept.run("flux", "jobs", "-a", "-n", "-o", "{id.dec}")))
            kept.run("flux", "job", "purge", "--force", "--num-limit=0")
            with closing(FluxWorkload(kept.uri)) as workload:
                assert workload.lineage == Lineage(lineages[0].name, ids[-1])
            if n == 2:
                kept.kill()
    assert [each.last_id for each in lineages] == [0, ids[0], ids[1], ids[1]]
    with closing(FluxWorkload(flux.uri)) as other:
        assert len({"", other.lineage.name} | {each.name for each in lineages}) == 3


@pytest.mark.flux
@needs_flux
def test_a_closed_instance_holds_every_job(flux: PrivateFlux) -> None:
    """The operator stopped submission for a while: no job is lost for that."""
    flux.queue("disable", reason="for maintenance")
    with closing(FluxWorkload(flux.uri)) as workload:
        workload.start_submit(submission())
        (held,) = outcomes(workload, 1)
        assert isinstance(held, SubmitHeld)
        assert "disabled: for maintenance" in held.reason
        flux.queue("enable")
        workload.start_submit(submission())
        assert isinstance(outcomes(workload, 1)[0], Submitted)


@pytest.mark.flux
@needs_flux
def test_a_drained_node_is_not_free(flux: PrivateFlux) -> None:
    """It is still counted."""
    with closing(FluxWorkload(flux.uri)) as workload:
        flux.run("flux", "resource", "drain", "0", "a test")
        view = workload.resources()
        assert [node.up for node in view.nodes] == [False]
        assert view.totals()["cores_free"] == 0
        assert view.totals()["cores_total"] > 0


@pytest.mark.flux
@needs_flux
def test_settling_does_not_swallow_outcomes(flux: PrivateFlux) -> None:
    """What this connection has in flight is answered all the same.

    Flux gives a matchtag to another request once its response is read: the second round asks with
    the matchtags of submissions whose outcomes were not collected.
    """
    with closing(FluxWorkload(flux.uri)) as workload:
        for _ in range(10):
            workload.start_submit(submission())
        workload.settle(threading.Event())
        workload.settle(threading.Event())
        found = outcomes(workload, 10)
        assert all(isinstance(each, Submitted) for each in found)


@pytest.mark.flux
@needs_flux
def test_a_question_does_not_swallow_outcomes(flux: PrivateFlux) -> None:
    """Asking for attributes, resources or a cancellation while submissions are answered."""
    with closing(FluxWorkload(flux.uri)) as workload:
        for _ in range(5):
            for _ in range(20):
                workload.start_submit(submission())
            assert workload.instance
            assert workload.resources().nodes
            workload.cancel([12345], "nobody")
        found = outcomes(workload, 100)
        assert len({each.key for each in found if isinstance(each, Submitted)}) == 100


@pytest.fixture
def queues() -> Iterator[PrivateFlux]:
    """An instance with two queues and no default one, as is usual on large systems."""
    with private_flux(options=["--conf=queues.batch={}", "--conf=queues.debug={}"]) as instance:
        instance.run("flux", "queue", "start", "--all")
        yield instance


@pytest.mark.flux
@needs_flux
def test_without_a_default_queue_every_job_is_held(queues: PrivateFlux) -> None:
    """No jobspec is at fault: the operator has to say which queue (RAINBOW_QUEUE)."""
    with closing(FluxWorkload(queues.uri)) as workload:
        for _ in range(20):
            workload.start_submit(submission())
        found = outcomes(workload, 20)
        assert all(isinstance(each, SubmitHeld) for each in found)
        assert {each.reason for each in found if isinstance(each, SubmitHeld)} == {
            "no queue specified"
        }


@pytest.mark.flux
@needs_flux
def test_jobs_go_to_the_queue_that_is_named(queues: PrivateFlux) -> None:
    """The agent's for jobs that name none; a job's own where it does."""
    with closing(FluxWorkload(queues.uri, queue="batch")) as workload:
        workload.start_submit(submission())
        workload.start_submit(submission(queue="debug"))
        assert all(isinstance(each, Submitted) for each in outcomes(workload, 2))
        names = queues.run("flux", "jobs", "-a", "-n", "-o", "{queue}").split()
        assert sorted(names) == ["batch", "debug"]


@pytest.mark.flux
@needs_flux
def test_a_job_for_a_queue_that_is_not_there_is_refused(queues: PrivateFlux) -> None:
    """That is in the job: others run."""
    with closing(FluxWorkload(queues.uri, queue="batch")) as workload:
        workload.start_submit(submission(queue="nosuch"))
        workload.start_submit(submission())
        found = {type(each): each for each in outcomes(workload, 2)}
        assert set(found) == {SubmitRefused, Submitted}
        assert "nosuch" in str(found[SubmitRefused])


@pytest.mark.flux
@needs_flux
def test_a_queue_of_the_agents_that_is_closed_holds_every_job(queues: PrivateFlux) -> None:
    """`flux queue disable batch` passes: no job is lost for it."""
    queues.queue("disable", "batch")
    with closing(FluxWorkload(queues.uri, queue="batch")) as workload:
        workload.start_submit(submission())
        assert isinstance(outcomes(workload, 1)[0], SubmitHeld)
        queues.queue("enable", "batch")
        workload.start_submit(submission())
        assert isinstance(outcomes(workload, 1)[0], Submitted)


@pytest.mark.flux
@needs_flux
def test_what_keeps_jobs_from_starting_is_told(flux: PrivateFlux) -> None:
    """A stopped or disabled queue with the operator's words, and a scheduler that is not loaded."""
    with closing(FluxWorkload(flux.uri)) as workload:
        assert workload.obstacles(trial=True) == []
        flux.queue("stop", reason="until noon")
        (stopped,) = workload.obstacles(trial=True)
        assert str(stopped) == "the queue is stopped, so no job of it starts: until noon"
        flux.queue("start")
        flux.queue("disable", reason="moving")
        kinds = [each.kind for each in workload.obstacles(trial=True)]
        assert kinds == [ObstacleKind.QUEUE_DISABLED, ObstacleKind.REFUSES_ALL]
        flux.queue("enable")
        flux.unload_scheduler()
        # Newer versions then also say that the queue is stopped.
        assert [each.kind for each in workload.obstacles()] == [ObstacleKind.NO_SCHEDULER]


@pytest.mark.flux
@needs_flux
def test_queues_without_a_default_are_told_by_a_trial(queues: PrivateFlux) -> None:
    """Nothing is stopped, and yet no job is taken; with a queue that is named it is."""
    queues.queue("stop", "debug")
    with closing(FluxWorkload(queues.uri)) as workload:
        stopped, refused = workload.obstacles(trial=True)
        assert (stopped.kind, stopped.queue) == (ObstacleKind.QUEUE_STOPPED, "debug")
        assert not stopped.default
        assert (refused.kind, refused.reason) == (ObstacleKind.REFUSES_ALL, "no queue specified")
    with closing(FluxWorkload(queues.uri, queue="batch")) as workload:
        kinds = [each.kind for each in workload.obstacles(trial=True)]
        assert kinds == [ObstacleKind.QUEUE_STOPPED]
    with closing(FluxWorkload(queues.uri, queue="debug")) as workload:
        (stopped,) = workload.obstacles()
        assert stopped.default, "now our jobs go there"
