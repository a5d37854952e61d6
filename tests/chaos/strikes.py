"""The strikes of a storm: each hits one part, and notes which jobs it excuses from having run."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import psutil

from chaos.jobs import Book
from chaos.parts import AgentEnded, Parts, rows_of, wait_for_registration
from support.databases import copy_hot, put_back

#: Of jobs that waited in a rainbow whose database was removed or put back.
GONE_WITH_RAINBOW: Final = "was only in the database that rainbow lost"
#: Of jobs that the agent received after the copy of its ledger was made.
GONE_WITH_LEDGER: Final = "was only in the ledger that was put back, and not over"
#: The ends of tasks that ran in a workload manager that was killed, whose journal is gone.
_BY_DEATH: Final = frozenset({"lost"})
#: And in one that was restarted: Flux cancels what runs when it is shut down.
_BY_RESTART: Final = frozenset({"lost", "failed", "canceled"})
#: The real rainbow keeps a new secret to itself where its memory has a graph that its database
#: does not: a graph that was on its way when the database was removed is enough.
_STUCK: Final = "kept the new secret to itself"


@dataclass
class Storm:
    """What strikes share."""

    parts: Parts
    book: Book
    rng: random.Random
    kinds: Sequence[str]  # of KINDS, those that happen
    struck: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)  # what no strike explains
    _ledger_copied: bool = False
    _copied_rows: set[str] = field(default_factory=set)
    _rainbow_copied: bool = False

    # -- the agent --------------------------------------------------------------------------------

    def agent_killed(self) -> None:
        """SIGKILL, and a start after a moment."""
        self._end_by(signal.SIGKILL)
        self._pause(0.0, 0.5)
        self.parts.start_agent()

    def agent_stopped(self) -> None:
        """SIGTERM: it ends in order, with 0."""
        code = self._end_by(signal.SIGTERM)
        if code not in (0, -signal.SIGTERM):  # before its handler is there the signal ends it
            self.fault(f"the agent ended with {code} after SIGTERM")
        self._pause(0.0, 0.5)
        self.parts.start_agent()

    def agent_halted(self) -> None:
        """SIGSTOP for some seconds."""
        if self.parts.agent is not None:
            with _halted(self.parts.agent.pid):
                self._pause(0.5, 4.0)

    def clock_set(self) -> None:
        """The agent's clock is wrong by up to an hour, from now on."""
        self.parts.clock.write_text(str(self.rng.randint(-3600, 3600)))

    # -- rainbow ----------------------------------------------------------------------------------

    def rainbow_killed(self) -> None:
        """SIGKILL, and a start at once; with it the graph is gone."""
        self.parts.scheduler.kill()
        self._pause(0.0, 0.3)
        self.parts.start_rainbow()

    def rainbow_away(self) -> None:
        """Stopped for some seconds."""
        self.parts.scheduler.stop()
        self._pause(1.0, 10.0)
        self.parts.start_rainbow()

    def rainbow_emptied(self) -> None:
        """Its database is removed: the cluster registers again, ids start at 1."""
        parts, old = self.parts, self.parts.secret()
        with self.book.held():
            parts.scheduler.kill()
            self._rainbow_loses()
            self._remove_rainbows_database()
            parts.start_rainbow()
            self._ledger_copied = self._rainbow_copied = False
            # A secret is given once: an agent killed before it is on disk needs a human.
            try:
                wait_for_registration(parts, besides=[old])
            except AgentEnded as exc:
                self._help_as_operator(old, str(exc))

    def _help_as_operator(self, old: str, why: str) -> None:
        """What an agent asks for that ends with 42: the row is removed, rainbow restarted."""
        if _STUCK not in why:
            raise AssertionError(why)
        print(f"chaos: the operator has to help: {why[:300]}", flush=True)
        self.struck["operator had to remove the cluster's row"] += 1
        self.parts.end_agent()
        self.parts.scheduler.kill()
        self._remove_rainbows_database()
        self.parts.start_rainbow()
        self.parts.start_agent()
        wait_for_registration(self.parts, besides=[old])

    def _remove_rainbows_database(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = self.parts.scheduler.db.with_name(self.parts.scheduler.db.name + suffix)
            path.unlink(missing_ok=True)

    def rainbow_put_back(self) -> None:
        """Its database is put back to an older copy; the first time the copy is made."""
        parts, copy = self.parts, self.parts.folder / "rainbow-copy.db"
        with self.book.held():
            if not self._rainbow_copied or self.rng.random() < 0.3:
                if parts.secret():
                    copy_hot(parts.scheduler.db, copy)
                    self._rainbow_copied = True
                    self.struck["rainbow's database copied"] += 1
                return
            parts.scheduler.kill()
            self._rainbow_loses()
            put_back(parts.scheduler.db, copy)
            parts.start_rainbow()
            self.struck["rainbow's database put back"] += 1

    def _rainbow_loses(self) -> None:
        waiting = self.parts.rows_at_rainbow()
        known = {row.name for row in self.parts.rows()}
        self.book.excuse(waiting - known, GONE_WITH_RAINBOW)

    # -- the workload manager ---------------------------------------------------------------------

    def workload_halted(self) -> None:
        """It does not answer for some seconds."""
        pid = self.parts.workload_pid()
        if pid:
            with _halted(pid):
                self._pause(0.5, 5.0)

    def workload_restarted(self) -> None:
        """It is back with what it knew: the local one after a SIGKILL, Flux after a shutdown."""
        with self._workload_lost(_BY_RESTART):
            if self.parts.real:
                self.parts.stop_flux()
                self._pause(0.0, 2.0)
                self.parts.start_flux()
            else:
                self.parts.kill_workload(tree=False)

    def workload_replaced(self) -> None:
        """SIGKILL with all that runs in it; the next one knows of nothing."""
        if not self.parts.real:  # the agent would start the next one before its folder is gone
            self._end_by(signal.SIGKILL)
        with self._workload_lost(_BY_DEATH):
            self.parts.kill_workload(tree=True)
            for row in self.parts.rows():
                for task in row.begun():
                    self.book.note_begun(row.name, task, self.parts.instances)
            self._pause(0.0, 2.0)
            self.parts.new_instance()
            self._ledger_copied = False  # neither knows any more what has run
        if self.parts.agent is None:
            self.parts.start_agent()

    @contextmanager
    def _workload_lost(self, ends: frozenset[str]) -> Iterator[None]:
        """What it had of jobs, before the block or at its end, may have got these ends by that.

        What was over before has its end; what is not submitted goes to the next one.
        """
        before = {row.key: row for row in self.parts.rows()}
        yield
        for key, row in {**before, **{row.key: row for row in self.parts.rows()}}.items():
            was = before.get(key, row)
            for task in was.there() | row.there() | {*(row.ended() - was.ended())}:
                self.book.note_met(row.name, task, ends)

    # -- the ledger -------------------------------------------------------------------------------

    def ledger_put_back(self) -> None:
        """The ledger is put back to an older copy, made while the agent ran."""
        parts, copy = self.parts, self.parts.folder / "ledger-copy.sqlite"
        if not self._ledger_copied or self.rng.random() < 0.3:
            if parts.counts()[0]:
                copy_hot(parts.ledger, copy)
                self._copied_rows = {row.key for row in rows_of(copy)}
                self._ledger_copied = True
                self.struck["ledger copied"] += 1
            return
        self._end_by(signal.SIGKILL)
        fresh = [row.name for row in parts.rows() if row.key not in self._copied_rows]
        over = {row.name for row in parts.rows() if row.over}
        self.book.excuse(set(fresh) - over, GONE_WITH_LEDGER)
        put_back(parts.ledger, copy)
        self.struck["ledger put back"] += 1
        parts.start_agent()

    # -- users ------------------------------------------------------------------------------------

    def job_canceled(self) -> None:
        """Somebody ends a job that is not over."""
        rows = [row for row in self.parts.rows() if not row.over and row.name in self.book.jobs]
        if rows:
            row = self.rng.choice(rows)
            self.book.jobs[row.name].canceled = True
            self.parts.program.run("cancel", row.key, "--no-wait", "--reason", "chaos")

    # -- which ------------------------------------------------------------------------------------

    def strike(self) -> None:
        """The next one, by chance."""
        (kind,) = self.rng.choices(self.kinds, [WEIGHTS[kind] for kind in self.kinds])
        try:
            KINDS[kind](self)
        except (AssertionError, RuntimeError, OSError) as exc:
            self.fault(f"{kind}: {exc}")
            self._repair()
        if kind not in _COUNT_THEMSELVES:
            self.struck[kind] += 1

    def _repair(self) -> None:
        """Whatever a strike left half done: rainbow and the agent run."""
        if not self.parts.scheduler.is_running():
            self.parts.start_rainbow()
        if self.parts.agent is None or not self.parts.agent.alive():
            self.parts.start_agent()

    def _end_by(self, number: signal.Signals) -> int | None:
        agent = self.parts.agent
        if agent is None:
            return None
        self.notice_end()
        agent.signal(number)
        code = agent.wait(120)
        self.parts.end_agent()
        return code

    def notice_end(self) -> bool:
        """Whether the agent has ended by itself, which is a fault."""
        if ended := self.parts.agent_ended():
            self.fault(f"the agent ended by itself, {ended}")
        return bool(ended)

    def fault(self, what: str) -> None:
        """Something that no strike explains."""
        self.faults.append(what)
        print(f"chaos: fault: {what}", flush=True)

    def _pause(self, least: float, most: float) -> None:
        Event().wait(self.rng.uniform(least, most))


@contextmanager
def _halted(pid: int) -> Iterator[None]:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).suspend()
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


#: What is done, and how often in a hundred strikes or so.
KINDS: Final[dict[str, Callable[[Storm], None]]] = {
    "agent killed": Storm.agent_killed,
    "agent stopped": Storm.agent_stopped,
    "agent halted": Storm.agent_halted,
    "agent's clock set": Storm.clock_set,
    "rainbow killed": Storm.rainbow_killed,
    "rainbow away": Storm.rainbow_away,
    "rainbow's database removed": Storm.rainbow_emptied,
    "rainbow put back": Storm.rainbow_put_back,
    "workload manager halted": Storm.workload_halted,
    "workload manager restarted": Storm.workload_restarted,
    "workload manager replaced": Storm.workload_replaced,
    "ledger": Storm.ledger_put_back,
    "job canceled": Storm.job_canceled,
}
WEIGHTS: Final = {
    "agent killed": 40,
    "agent stopped": 6,
    "agent halted": 4,
    "agent's clock set": 3,
    "rainbow killed": 10,
    "rainbow away": 3,
    "rainbow's database removed": 2,
    "rainbow put back": 6,
    "workload manager halted": 5,
    "workload manager restarted": 3,
    "workload manager replaced": 2,
    "ledger": 6,
    "job canceled": 10,
}
_COUNT_THEMSELVES: Final = frozenset({"rainbow put back", "ledger"})
