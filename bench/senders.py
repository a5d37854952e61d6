"""What it costs the agent to tell the senders of jobs: jobs with handles and without, in turns.

A sender listens in either round. Both kinds of jobs differ from each other, each in its text.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from bench import machine
from bench.agents import AgentProcess
from bench.figures import Figure
from bench.site import SECRET, TOKEN, Site
from bench.throughput import QUIET, held, our_rate
from rainbow_agent.core.errors import Transient
from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.messages.inboxes import create_inbox, inbox_name
from rainbow_agent.fleet.messages.sender import Sender
from rainbow_agent.fleet.messages.sender_files import InboxAccess, sender_keys
from rainbow_agent.jobspec.simple import simple_jobspec
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.storage.sent_store import SentStore
from support.common import eventually

JOBS: Final = 1000
PAIRS: Final = 8
#: Seconds between the sender's looks, where rainbow does not wait with them.
LOOK_S: Final = 0.5
_KEEP_S: Final = 86400.0
_TOLD_S: Final = 120.0


@dataclass(frozen=True)
class Round:
    """Some jobs through the agent."""

    rate: float  # jobs per second, from when the agent may go on to its last AcceptJobs
    cpu: float  # milliseconds of the agent's processor time a job, until all is over and told
    others: float  # the share that others used of the machine meanwhile; the sender is not of them


class Desk:
    """A sender with an inbox, whose thread listens.

    Args:
        site: of the bench.
    """

    def __init__(self, site: Site) -> None:
        self._folder = site.folder / "sender"
        self._host = site.host
        with closing(RainbowScheduler(site.host)) as scheduler:
            path = self._folder / "inbox.yaml"
            self._inbox: InboxAccess = create_inbox(
                scheduler, inbox_name("bench"), host=site.host, secret=SECRET, path=path
            )
        self._keys = sender_keys(self._folder)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="sender")

    @contextmanager
    def listening(self) -> Iterator[Desk]:
        """While the block lasts."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def jobspec(self, store: SentStore, cluster: str, number: int, *, handle: bool) -> str:
        """A job of its own, as `submit` sends it."""
        document = simple_jobspec(["true", str(number)])
        if handle:
            sender = Sender(self._inbox, store, SystemClock())
            keys = self._keys.public()
            name, document = sender.prepare(document, f"bench-{number}", keys, _KEEP_S)
            store.assigned(name, cluster)
        return to_wire(document)

    def store(self) -> SentStore:
        """What is known of the jobs; to be closed."""
        return SentStore(self._folder)

    def await_ends(self) -> None:
        """Until the sender knows the end of every job with a handle.

        Raises:
            AssertionError: they do not learn of it.
        """
        with closing(self.store()) as store:

            def known() -> bool:
                self._stop.wait(LOOK_S)  # looking keeps the interpreter lock from the listener
                return all(s.job and s.job.state in FINAL_JOB_STATES for s in store.jobs(JOBS))

            eventually(known, "the sender knows of every end", seconds=_TOLD_S)

    def _listen(self) -> None:
        with closing(self.store()) as store, closing(RainbowScheduler(self._host)) as scheduler:
            sender = Sender(self._inbox, store, SystemClock())
            while not self._stop.is_set():
                with suppress(Transient):
                    sender.take(scheduler, LOOK_S)
                    for job in sender.unread():  # or its cluster stops telling after 100 rows
                        question = {"ask": "taken"}
                        sender.ask(scheduler, self._keys, job, TOKEN, question, lasting=_KEEP_S)
                    self._stop.wait(0.0 if sender.has_waited else LOOK_S)


def measure(site: Site) -> Iterator[Figure]:
    """Pairs of rounds; which of the two comes first changes from pair to pair."""
    jobs = site.pick(JOBS, 200)
    with site.agent() as agent, Desk(site).listening() as desk:
        agent.wait_for("registered")
        agent.wait_for("journal_caught_up")
        for handles in (False, True):  # warms up
            _round(site, agent, desk, jobs, handles=handles)
        load, pairs = machine.load(), list[dict[bool, Round]]()
        for number in range(site.pick(PAIRS, 1)):
            order = (False, True) if number % 2 else (True, False)
            pairs.append({each: _round(site, agent, desk, jobs, handles=each) for each in order})
    yield from summary(pairs, load)


def summary(pairs: list[dict[bool, Round]], load: float) -> list[Figure]:
    """Medians; the ratios are taken pair by pair.

    Args:
        pairs: the round with handles under True, the one without under False.
        load: the machine's when they began.
    """
    others = statistics.median(max(one.others for one in pair.values()) for pair in pairs)
    quiet = sum(max(one.others for one in pair.values()) <= QUIET for pair in pairs)

    def figure(name: str, values: list[float], unit: str, goal: float | None = None) -> Figure:
        return Figure(
            name,
            statistics.median(values),
            unit,
            goal,
            at_least=True,
            values=tuple(values),
            others=others,
            load=load,
            note=f"{quiet} of {len(pairs)} pairs were quiet",
        )

    rates = [pair[True].rate / pair[False].rate for pair in pairs]
    return [
        figure("jobs through the agent, without handles", [p[False].rate for p in pairs], "jobs/s"),
        figure("jobs through the agent, with handles", [p[True].rate for p in pairs], "jobs/s"),
        figure("with handles / without", rates, "", 0.95),
        figure("agent's processor time a job, without", [p[False].cpu for p in pairs], "ms"),
        figure("agent's processor time a job, with", [p[True].cpu for p in pairs], "ms"),
    ]


def _round(site: Site, agent: AgentProcess, desk: Desk, jobs: int, *, handles: bool) -> Round:
    with held(site, agent, running=True):
        _offer(site, agent, desk, jobs, handles=handles)
        others, before = machine.Others(), agent.cpu_seconds()
        rate = our_rate(agent, jobs)
        share = others.share()
        if site.flux:
            site.flux.run("flux", "queue", "drain", timeout=_TOLD_S)
        desk.await_ends()
        agent.wait_idle()
        spent = agent.cpu_seconds() - before
    return Round(rate, 1000 * spent / jobs, share)


def _offer(site: Site, agent: AgentProcess, desk: Desk, jobs: int, *, handles: bool) -> None:
    cluster = agent.state_dir.name
    with closing(RainbowScheduler(site.host)) as scheduler, closing(desk.store()) as store:
        for number in range(jobs):
            text = desk.jobspec(store, cluster, number, handle=handles)
            site.submit(scheduler, agent, f"bench-{number}", text)
