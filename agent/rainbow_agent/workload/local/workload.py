"""ports.Workload over the local workload manager, which is started where none runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.obstacles import Obstacle
from rainbow_agent.core.ports import Journal, StopSignal
from rainbow_agent.core.workload_values import Submission, SubmitOutcome, SubmitRefused, Submitted
from rainbow_agent.runtime.stop import Deadline, Stop
from rainbow_agent.workload.local.journal import LocalJournal
from rainbow_agent.workload.local.server import folder as folders
from rainbow_agent.workload.local.server.client import Channel
from rainbow_agent.workload.local.server.launch import Hello, Launch, reach
from rainbow_agent.workload.local.server.protocol import Op

#: Seconds a server that lives may take to answer.
_SERVER_TIMEOUT_S = 30.0


class LocalWorkload:
    """A connection to the local workload manager of a folder.

    It connects with the first call that needs it, and again with the first one after
    WorkloadUnavailable.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cores: int | None = None,
        idle_exit: float = 60.0,
        launch: bool = True,
        stop: Stop | None = None,
        lifeline: int | None = None,
    ) -> None:
        """Describe the server; nothing is started yet.

        Args:
            folder: the server's folder; its journal and the jobs' output are kept there.
            cores: how many cores a server that is started here schedules; None takes those of
                the machine that this process may use. A server that runs already keeps its own.
            idle_exit: seconds after which a server that is started here leaves when it has no
                client and no job.
            launch: whether to start a server when none runs.
            stop: shortens waits; None when there is none.
            lifeline: the reading end of a pipe: a server that is started here ends, with its
                jobs, when the other end is closed.
        """
        self._stop = stop
        self._folder = folder.absolute()
        options = Launch(cores=cores, idle_exit=idle_exit, lifeline=lifeline)
        self._launch = options if launch else None
        self._channel: Channel | None = None
        self._hello: Hello | None = None
        self._numbers = count(1)
        self._waiting: dict[int, TaskKey] = {}  # request -> what was submitted with it
        self._outcomes: list[SubmitOutcome] = []

    @property
    def kind(self) -> str:
        """`local`."""
        return "local"

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"local://{self._folder}"

    @property
    def instance(self) -> str:
        """Identity of the server's journal: another one if the folder was made anew.

        Raises:
            WorkloadUnavailable: no server can be reached.
        """
        self._connected()
        return self._hello.instance if self._hello else ""

    @property
    def lineage(self) -> Lineage:
        """The same as the instance, which lives as long as its folder; it forgets no job.

        Raises:
            WorkloadUnavailable: no server can be reached.
        """
        return Lineage(self.instance, 0)

    def expected_wait(self) -> float | None:
        """See ports.Workload: nothing is expected."""
        return None

    def resources(self) -> PoolView:
        """The machine as one node.

        Raises:
            WorkloadUnavailable: the server is gone.
        """
        facts = self._ask(Op.RESOURCES)
        name, cores, free = str(facts["host"]), int(facts["cores"]), int(facts["cores_free"])
        return PoolView((NodeView(0, name, cores, gpus=0, cores_free=free),))

    def obstacles(self, *, trial: bool = False) -> list[Obstacle]:  # noqa: ARG002 - none is needed
        """It has no queues, and schedules as long as it runs."""
        return []

    def start_submit(self, submission: Submission) -> None:
        """Begin one submission; does not wait.

        Raises:
            WorkloadUnavailable: the server is gone.
        """
        number = next(self._numbers)
        message = {"id": number, "op": Op.SUBMIT.value, "jobspec": _with_dependencies(submission)}
        try:
            self._do(lambda channel: channel.send(message))
        except Rejected as exc:
            self._outcomes.append(_refused(submission.key, str(exc)))
        else:
            self._waiting[number] = submission.key

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """Outcomes that are there; waits up to `timeout` seconds for the first.

        Raises:
            WorkloadUnavailable: the server is gone, and with it the fate of what was in flight.
        """
        if not self._outcomes and self._waiting:
            self._pump(timeout)
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def in_flight(self) -> int:
        """Submissions begun whose outcome was not collected."""
        return len(self._waiting) + len(self._outcomes)

    def cancel(self, flux_ids: Sequence[int], note: str) -> None:
        """End jobs; ids that are over or unknown are no error.

        Raises:
            WorkloadUnavailable: the server is gone.
        """
        self._ask(Op.CANCEL, jobs=list(flux_ids), note=note)

    def settle(self, stop: StopSignal) -> None:
        """Return once nothing that a dead predecessor sent can still become a job.

        What a dead process sent lies in a socket whose other end is closed. The server answers
        once it has read every such socket to its end, or has dropped the connection with what was
        not read, and once the jobs that came of it are in the journal.

        Raises:
            WorkloadUnavailable: the server is gone.
        """
        self._ask(Op.SETTLE, stop=stop)

    def open_journal(self, follow: Callable[[TaskKey], bool] | None = None) -> Journal:
        """A journal on a connection of its own; it may be used by another thread.

        Raises:
            WorkloadUnavailable: no server can be reached.
        """
        channel, _ = reach(self._folder, self._launch, self._stop)
        try:
            return LocalJournal(channel, self._folder, follow)
        except WorkloadUnavailable:
            channel.close()
            raise

    def shutdown(self, *, kill: bool = True) -> None:
        """End the server, and return when its process has ended. Without one, nothing happens.

        Args:
            kill: end the jobs that run, with their processes; what only waits runs when a server
                is started on the folder again. False refuses while there are jobs.

        Raises:
            Rejected: there are jobs, and `kill` is false.
            WorkloadUnavailable: it does not answer, or does not leave.
        """
        if self._channel is None:
            try:
                self._channel, self._hello = reach(self._folder, None)
            except WorkloadUnavailable:
                return
        self._ask(Op.SHUTDOWN, kill=kill)
        self.close()
        if not folders.wait_free(self._folder, _SERVER_TIMEOUT_S):
            raise WorkloadUnavailable(
                f"the local workload manager at {self._folder} was asked to stop and did not"
                f" within {_SERVER_TIMEOUT_S:.0f} s; see {folders.LOG} there"
            )

    def close(self) -> None:
        """End the connection. Jobs and the server go on."""
        if self._channel is not None:
            self._channel.close()
        self._channel, self._hello = None, None
        self._waiting.clear()
        self._outcomes.clear()

    def _connected(self) -> Channel:
        if self._channel is None:
            self._channel, self._hello = reach(self._folder, self._launch, self._stop)
        return self._channel

    def _do(self, action: Callable[[Channel], Any]) -> Any:
        """Act on the connection; when it is broken, forget it, and what was in flight on it."""
        try:
            return action(self._connected())
        except WorkloadUnavailable:
            self.close()
            raise

    def _pump(self, timeout: float) -> dict[int, dict[str, Any]]:
        """Receive answers: those to submissions become outcomes, the others come back."""
        others = {}
        for answer in self._do(lambda channel: channel.receive(timeout)):
            key = self._waiting.pop(answer.get("id"), None)
            if key is None:
                others[answer.get("id")] = answer
            elif "result" in answer:
                self._outcomes.append(Submitted(key, int(answer["result"]["job"])))
            else:
                self._outcomes.append(_refused(key, str(answer.get("refused"))))
        return others

    def _ask(self, op: Op, *, stop: StopSignal | None = None, **fields: Any) -> dict[str, Any]:
        """One request and its answer; empty when `stop` is set before it comes.

        Raises:
            Rejected: the server refuses.
            WorkloadUnavailable: it is gone, or does not answer.
        """
        number = next(self._numbers)
        self._do(lambda channel: channel.send({"id": number, "op": op.value, **fields}))
        deadline = Deadline(_SERVER_TIMEOUT_S, self._stop)
        while deadline.left() > 0:
            answer = self._pump(deadline.poll_interval()).get(number)
            if answer is not None and "result" in answer:
                return dict(answer["result"])
            if answer is not None:
                raise Rejected(str(answer.get("refused")))
            if stop is not None and stop.is_set():
                return {}
        self.close()
        raise WorkloadUnavailable(
            f"the local workload manager at {self._folder} did not answer `{op.value}`"
            f" {'before the stop' if deadline.cut else f'in {_SERVER_TIMEOUT_S:.0f} s'};"
            " see server.log there"
        )


def shut_down(folder: Path, *, kill: bool = True) -> None:
    """End the local workload manager of a folder and its running jobs, if there is one.

    Raises:
        Rejected: there are jobs, and `kill` is false.
        WorkloadUnavailable: it does not answer, or does not leave.
    """
    workload = LocalWorkload(folder, launch=False)
    try:
        workload.shutdown(kill=kill)
    finally:
        workload.close()


def _with_dependencies(submission: Submission) -> dict[str, Any]:
    """The jobspec with its `afterok` job ids in it (RFC 26)."""
    jobspec = dict(submission.jobspec)
    if not submission.afterok:
        return jobspec
    attributes = dict(jobspec.get("attributes") or {})
    system = dict(attributes.get("system") or {})
    system["dependencies"] = [
        *(system.get("dependencies") or ()),
        *({"scheme": "afterok", "value": str(job)} for job in submission.afterok),
    ]
    return {**jobspec, "attributes": {**attributes, "system": system}}


def _refused(key: TaskKey, reason: str) -> SubmitRefused:
    """The server says of a dependency that failed what Flux does."""
    return SubmitRefused(key, reason, dependency_failed=reason.startswith("dependency"))
