"""Senders of jobs in one process each: what they sent, and what arrived, when."""

from __future__ import annotations

import base64
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.errors import ClusterUnknown, Refused, Rejected, RequestDenied, Transient
from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.messages.inboxes import create_inbox, inbox_name
from rainbow_agent.fleet.messages.sender import Sender
from rainbow_agent.fleet.messages.sender_files import sender_keys
from rainbow_agent.jobspec.simple import simple_jobspec
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.storage.sent_store import SentJob, SentStore

#: Seconds between looks into the inbox, and between tries while rainbow is away.
LOOK_S: Final = 0.25
TRY_S: Final = 0.3
#: Questions for output that are open at once, and seconds for all of them.
ASKED_AT_ONCE: Final = 100
ANSWER_S: Final = 300.0
#: Seconds after which jobs whose end has not come are asked about, and how many at once.
ASK_AGAIN_S: Final = 30.0
MAX_ASKED_AGAIN: Final = 50
_KEEP_S: Final = 86400.0
_LASTING_S: Final = 86400.0


@dataclass
class Sent:
    """A job, and what arrived of it."""

    name: str
    code: int  # that it exits with
    certain: bool = True  # rainbow said that it took it
    heard: float = 0.0  # epoch seconds: when its end was read from the inbox first
    ends: set[tuple[str, int | None]] = field(default_factory=set)  # states and exit codes
    output: str | None = None


class _Watched(SentStore):
    """Notes when ends come, and messages about jobs of other senders."""

    def __init__(self, folder: Path, jobs: dict[str, Sent]) -> None:
        super().__init__(folder)
        self.sent = jobs
        self.strangers = 0

    def job(self, handle: str) -> SentJob | None:
        """As the store's."""
        found = super().job(handle)
        self.strangers += found is None
        return found

    def hear(self, handle: str, by: str, turn: int, job: dict[str, Any], at: float) -> bool:
        """As the store's."""
        news = super().hear(handle, by, turn, job, at)
        known = super().job(handle) if news else None
        if known is not None and known.job is not None and known.job.state in FINAL_JOB_STATES:
            mine = self.sent[handle]
            mine.heard = mine.heard or time.time()
            mine.ends.add((known.job.state.value, known.job.tasks[0].exit_code))
        return news


class Desk:
    """A sender with an inbox, who sends from one thread and listens in another.

    Args:
        folder: theirs.
        name: of their inbox.
        host: rainbow's.
        secret: registers the inbox.
        tokens: of the clusters that they send to.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        host: str,
        secret: str,
        tokens: Mapping[str, str],
    ) -> None:
        self.name, self._host, self._tokens = name, host, dict(tokens)
        self._folder = folder
        with closing(RainbowScheduler(host)) as scheduler:
            path = folder / "inbox.yaml"
            self._inbox = create_inbox(
                scheduler, inbox_name(name), host=host, secret=secret, path=path
            )
        self._keys = sender_keys(folder)
        self.jobs: dict[str, Sent] = {}  # by handle
        self.strangers = 0  # messages about jobs of others
        self.faults: list[str] = []
        #: Set when no more jobs are to be sent.
        self.enough = threading.Event()
        self._stop = threading.Event()
        self._listener = threading.Thread(target=self._listen, name=f"{name} listens", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        if not self._listener.is_alive():
            self._listener.start()

    def end(self) -> None:
        """Listen no more."""
        self._stop.set()
        if self._listener.ident is not None:
            self._listener.join()

    def send(self, numbers: range, marks: Path, rng: random.Random, pause: float) -> None:
        """Send jobs, one after another, each to any of the clusters; tried until rainbow answers.

        Args:
            numbers: of these jobs; several threads may send, each its own.
            marks: a file to which each appends its name.
            rng: which clusters and exit codes.
            pause: seconds between two.
        """
        store = _Watched(self._folder, self.jobs)
        sender = Sender(self._inbox, store, SystemClock())
        with closing(store), closing(RainbowScheduler(self._host)) as scheduler:
            for number in numbers:
                if self.enough.is_set():
                    return
                job = Sent(f"{self.name}-{number}", rng.choice((0, 0, 0, 1, 3, 7)))
                script = 'echo "$1" >> "$2"; echo "out of $1"; exit "$3"'
                words = ["sh", "-c", script, "sh", job.name, str(marks), str(job.code)]
                document = simple_jobspec(words, name=job.name)
                keys = self._keys.public()
                handle, prepared = sender.prepare(document, job.name, keys, _KEEP_S)
                self.jobs[handle] = job
                cluster = rng.choice(sorted(self._tokens))
                self._submit(scheduler, store, handle, cluster, to_wire(prepared))
                self._stop.wait(pause)

    def _submit(
        self, scheduler: RainbowScheduler, store: SentStore, handle: str, cluster: str, text: str
    ) -> None:
        """As `submit` does: to the one cluster that it chose."""
        job, clusters = self.jobs[handle], {cluster: self._tokens[cluster]}
        while True:
            try:
                (chosen,) = scheduler.submit(job.name, clusters, text, select="random")
            except (ClusterUnknown, Rejected, RequestDenied):
                # Rainbow was restarted and has no graph of it yet, or is about to end.
                self._stop.wait(TRY_S)
            except Transient:
                job.certain = False  # whether it took it is not known; sent again it ran twice
                self._await_rainbow(scheduler)
                return
            else:
                store.assigned(handle, chosen)
                return

    def _await_rainbow(self, scheduler: RainbowScheduler) -> None:
        """Until it answers again, so that few jobs are sent of which that is not known."""
        while not self._stop.wait(TRY_S):
            with suppress(Transient):
                scheduler.receive(self._inbox.name, self._inbox.secret, 1)
                return

    def _listen(self) -> None:
        store = _Watched(self._folder, self.jobs)
        sender = Sender(self._inbox, store, SystemClock())
        try:
            with closing(store), closing(RainbowScheduler(self._host)) as scheduler:
                again = time.monotonic() + ASK_AGAIN_S
                while not self._stop.is_set():
                    with suppress(Transient, Refused):
                        self._take(sender, scheduler)
                        if self.enough.is_set() and time.monotonic() > again:
                            again = time.monotonic() + ASK_AGAIN_S
                            self._ask_again(sender, scheduler)
                    self._stop.wait(LOOK_S)
        except Exception as exc:  # noqa: BLE001 - said at the end, in the main thread
            self.faults.append(f"{self.name} listens no more: {exc!r}")
        self.strangers += store.strangers

    def _ask_again(self, sender: Sender, scheduler: RainbowScheduler) -> None:
        """As `wait` does: rainbow may have lost messages, and said that it took them."""
        open_ = [h for h, job in list(self.jobs.items()) if job.certain and not job.ends]
        for sent in map(sender.store.job, open_[:MAX_ASKED_AGAIN]):
            if sent is not None and sent.cluster is not None:
                self._ask(sender, scheduler, sent, {"ask": "state"})

    def _take(self, sender: Sender, scheduler: RainbowScheduler) -> None:
        sender.take(scheduler)
        for job in sender.unread():
            self._ask(sender, scheduler, job, {"ask": "taken"})

    def _ask(
        self, sender: Sender, scheduler: RainbowScheduler, job: SentJob, asked: Mapping[str, Any]
    ) -> int:
        token = self._tokens[str(job.cluster)]
        return sender.ask(scheduler, self._keys, job, token, asked, lasting=_LASTING_S)

    def missing(self) -> list[Sent]:
        """Jobs that rainbow took, and whose end has not arrived."""
        return [job for job in self.jobs.values() if job.certain and not job.ends]

    def read_outputs(self) -> None:
        """Ask for the output of every job whose end arrived, some at a time."""
        store = _Watched(self._folder, self.jobs)
        sender = Sender(self._inbox, store, SystemClock())
        with closing(store), closing(RainbowScheduler(self._host)) as scheduler:
            todo = [handle for handle, job in self.jobs.items() if job.ends]
            while todo:
                some, todo = todo[:ASKED_AT_ONCE], todo[ASKED_AT_ONCE:]
                self._read_some(sender, scheduler, some)

    def _read_some(self, sender: Sender, scheduler: RainbowScheduler, handles: list[str]) -> None:
        asked: dict[str, int] = {}
        for handle in handles:
            job = sender.store.job(handle)
            if job is not None and job.job is not None:
                ids = [task.flux_id for task in job.job.tasks]
                question = {"ask": "logs", "ids": ids, "seen": {}}
                asked[handle] = self._ask(sender, scheduler, job, question)
        end = time.monotonic() + ANSWER_S
        while asked and time.monotonic() < end:
            with suppress(Transient, Refused):
                self._take(sender, scheduler)
            for handle, counter in list(asked.items()):
                answer = sender.answer(self._keys, handle, counter)
                if answer is not None:
                    self.jobs[handle].output = _text(answer)
                    del asked[handle]
            self._stop.wait(LOOK_S)


def _text(answer: Mapping[str, Any]) -> str:
    if answer.get("error"):
        return f"error: {answer['error']}"
    return b"".join(base64.b64decode(each[3]) for each in answer["pieces"]).decode()


def until(desks: Sequence[Desk], seconds: float) -> bool:
    """Wait until every end that is to arrive has; whether it did."""
    pause, limit = threading.Event(), time.monotonic() + seconds
    while any(desk.missing() for desk in desks):
        if time.monotonic() > limit or any(desk.faults for desk in desks):
            return False
        pause.wait(LOOK_S)
    return True
