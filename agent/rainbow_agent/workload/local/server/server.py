"""The server: clients ask, processes end, and each turn of it makes that true.

Whatever happens goes into the job table at once, and its events into the journal's waiting list.
The next turn writes them all with one sync to the disk; only then it answers, starts processes
and shows the events: no client sees what a crash could still undo.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rainbow_agent.core.errors import Rejected
from rainbow_agent.workload.local.server.connection import ClientConnection
from rainbow_agent.workload.local.server.job_table import Job
from rainbow_agent.workload.local.server.processes import Processes
from rainbow_agent.workload.local.server.protocol import PROTOCOL_VERSION, Op
from rainbow_agent.workload.local.server.supervisor import ServerState, Supervisor

#: Turns of asyncio's loop from a connection in the listener's queue to one that we know of: the
#: accept, the task that makes its transport, the call of connection_made().
_TURNS_TO_ACCEPT = 4
_MAX_REFUSAL_CHARS = 1000  # characters of a refusal: it may quote a jobspec of any length
_SHUT_DOWN = "the local workload manager was shut down"


@dataclass(frozen=True)
class ServerOptions:
    """How the server behaves. Times are seconds."""

    idle_exit: float = 60.0  # it leaves after so long without a client and a job
    grace: float = 5.0  # between SIGTERM and SIGKILL
    lifeline: int | None = None  # a descriptor: it leaves when the other end of that is closed


@dataclass
class _Settling:
    """A `settle` request that waits for connections that were hung up when it came."""

    client: ClientConnection
    number: Any
    hung_up: set[ClientConnection]


class Server:
    """Serves one folder, in one thread. To be made within a running event loop."""

    def __init__(
        self,
        state: ServerState,
        processes: Processes,
        options: ServerOptions,
        now: Callable[[], float],
    ) -> None:
        self._state = state
        self._journal = state.journal
        self._options = options
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._jobs = Supervisor(
            state, processes, grace=options.grace, now=now, on_change=self._plan_turn
        )
        self._clients: set[ClientConnection] = set()
        self._answers: list[tuple[ClientConnection, dict[str, Any]]] = []
        self._settling: list[_Settling] = []
        self._turn_planned = False
        self._stopping = False
        self._idle_timer: asyncio.TimerHandle | None = None

    async def serve(self, listener: socket.socket) -> None:
        """Serve until a signal, or until the server is not needed any more.

        Raises:
            OSError: the journal cannot be written.
        """
        self._loop.add_signal_handler(signal.SIGCHLD, self._jobs.reap)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, self.stop)
        if self._options.lifeline is not None:
            self._loop.add_reader(self._options.lifeline, self._orphaned, self._options.lifeline)
        # Python 3.13 would look the socket up by its address, which was good for its making only.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        door = await self._loop.create_unix_server(
            lambda: ClientConnection(self), sock=listener, **keep
        )
        self._plan_turn()
        try:
            await self._done
        finally:
            door.close()

    def stop(self) -> None:
        """End all jobs that run, then leave. Those that wait run when a server is back.

        The second call leaves at once: what still runs is killed, and reported at the next start.
        """
        if self._stopping:
            self._jobs.kill_all()
            self._leave()
            return
        self._stopping = True
        for job_id in self._jobs.running():
            self._jobs.end(job_id, "cancel", _SHUT_DOWN)
        self._plan_turn()

    def _orphaned(self, lifeline: int) -> None:
        """The process that this server was started for is gone."""
        self._loop.remove_reader(lifeline)
        self.stop()

    # What connections call (connection.Desk).

    def opened(self, client: ClientConnection) -> None:
        """A client came."""
        self._clients.add(client)
        self._plan_turn()

    def ended(self, client: ClientConnection) -> None:
        """A client went; all it sent has been taken in."""
        self._clients.discard(client)
        for settling in self._settling:
            settling.hung_up.discard(client)
        self._plan_turn()

    def request(self, client: ClientConnection, message: Mapping[str, Any]) -> None:
        """A client asks; the answer goes out in the next turn.

        Raises:
            Rejected: it is not a request, so that nothing the client says can be trusted.
        """
        try:
            op = Op(message.get("op"))
        except ValueError as exc:
            raise Rejected(f"unknown request {message.get('op')!r}") from exc
        number = message.get("id")
        if self._stopping:
            # Hung up on, not refused: the same request may succeed with the next server.
            client.close()
        elif op is Op.SETTLE:
            self._settle(client, number, _TURNS_TO_ACCEPT)
        else:
            try:
                answer = {"id": number, "result": self._do(op, client, message)}
            except Rejected as exc:
                answer = {"id": number, "refused": str(exc)[:_MAX_REFUSAL_CHARS]}
            self._answers.append((client, answer))
        self._plan_turn()

    def _do(self, op: Op, client: ClientConnection, message: Mapping[str, Any]) -> dict[str, Any]:
        if op is Op.SUBMIT:
            return {"job": self._jobs.submit(message.get("jobspec"))}
        if op is Op.CANCEL:
            return self._cancel(message.get("jobs"), message.get("note"))
        if op is Op.RESOURCES:
            machine, free = self._state.machine, self._jobs.cores_free
            return {"host": machine.host, "cores": machine.cores, "cores_free": free}
        if op is Op.JOURNAL:
            client.follow(self._journal, self._now())
            return {}
        if op is Op.SHUTDOWN:
            return self._shut_down(kill=message.get("kill") is True)
        return {"version": PROTOCOL_VERSION, "pid": os.getpid(), "instance": self._state.instance}

    def _settle(self, client: ClientConnection, number: Any, turns: int) -> None:
        """Answer once nothing that was sent by now, also by clients that left, can become a job."""
        if turns:  # a connection that was made before the request may not be accepted yet
            self._loop.call_soon(self._settle, client, number, turns - 1)
            return
        hung_up = {c for c in self._clients if c is not client and c.is_hung_up()}
        self._settling.append(_Settling(client, number, hung_up))
        self._plan_turn()

    def _cancel(self, job_ids: Any, note: Any) -> dict[str, Any]:
        if not isinstance(job_ids, list) or not all(isinstance(i, int) for i in job_ids):
            raise Rejected("cancel: jobs must be a list of job ids")
        for job_id in job_ids:
            self._jobs.end(job_id, "cancel", str(note or ""))
        return {}

    def _shut_down(self, *, kill: bool) -> dict[str, Any]:
        if self._jobs.open_jobs and not kill:
            raise Rejected(f"{self._jobs.open_jobs} jobs are not over; let them end, or kill them")
        self.stop()
        return {}

    # Turns.

    def _plan_turn(self) -> None:
        if not self._turn_planned:
            self._turn_planned = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Make what happened durable; then tell it, and do what follows from it."""
        self._turn_planned = False
        try:
            self._advance([] if self._stopping else self._jobs.start_ready())
        except OSError as exc:
            # Nothing that happens from here on could be promised to anybody.
            self._jobs.kill_all()
            self._leave(exc)
            return
        self._tell()
        if self._journal.dirty:
            self._plan_turn()
        elif self._stopping and not self._jobs.running():
            self._say_goodbye()
        self._watch_idleness()

    def _advance(self, started: list[Job]) -> None:
        self._journal.commit()
        for job in started:
            self._jobs.launch(job)
        self._journal.write()  # which processes are ours: known even if this one dies now

    def _tell(self) -> None:
        answers, self._answers = self._answers, []
        settled = [entry for entry in self._settling if not entry.hung_up]
        self._settling = [entry for entry in self._settling if entry.hung_up]
        answers += [(entry.client, {"id": entry.number, "result": {}}) for entry in settled]
        # Events before answers: who follows the journal has seen what an answer speaks of.
        for client in list(self._clients):
            client.feed()
        for client, answer in answers:
            client.send(answer)

    # The end.

    def _watch_idleness(self) -> None:
        idle = not self._clients and not self._jobs.open_jobs
        if not idle and self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        elif idle and self._idle_timer is None:
            self._idle_timer = self._loop.call_later(self._options.idle_exit, self.stop)

    def _say_goodbye(self) -> None:
        for client in list(self._clients):
            client.close()
        # One more turn of the loop, in which the connections are closed.
        self._loop.call_soon(lambda: self._loop.call_soon(self._leave))

    def _leave(self, error: OSError | None = None) -> None:
        if not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)
