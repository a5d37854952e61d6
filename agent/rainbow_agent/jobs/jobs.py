"""Every job of the ledger on its way into the workload manager and out of it, as one object."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rainbow_agent.core.errors import (
    LedgerBlocked,
    NotDescribed,
    SubmissionsHeld,
    WorkloadUnavailable,
)
from rainbow_agent.core.model import JobChange
from rainbow_agent.core.ports import Clock, StopSignal
from rainbow_agent.jobs.cancel import Canceler
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.jobs.ports import OnTheirWay
from rainbow_agent.jobs.stop_cancel import cancel_running
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger_rebuild import STRAYS

log = logging.getLogger(__name__)


class Jobs:
    """Submits, cancels and recovers; used by the main loop, which owns the ledger given here.

    Args:
        ledger: the main loop's.
        journal: the thread that follows the tasks; nothing is submitted before it has caught up.
        open_dispatcher: opens a connection to the workload manager and what submits over it.
        on_change: is called with jobs whose state moved.
        clock: for what is written.
        conditions: where it is said that the workload manager takes no jobs.
    """

    def __init__(
        self,
        *,
        ledger: OnTheirWay,
        journal: JournalFollower,
        open_dispatcher: Callable[[], Dispatcher],
        on_change: Callable[[list[JobChange]], None],
        clock: Clock,
        conditions: Conditions,
    ) -> None:
        self._ledger = ledger
        self._open_dispatcher = open_dispatcher
        self._on_change = on_change
        self._clock = clock
        self._conditions = conditions
        self._canceler = Canceler(ledger, clock)
        self._dispatcher: Dispatcher | None = None
        self._recovered = 0  # the journal's generation that recover() was called for
        self._problem = ""
        self._all_offered = False  # rainbow has offered all its rows since the start
        #: The thread that follows the workload manager's journal; `run` is its loop.
        self.journal = journal

    # -- submitting ----------------------------------------------------------------------------

    def submit(self, stop: StopSignal, turn: float) -> bool:
        """Submit what is pending.

        Args:
            stop: after it only what was begun is submitted.
            turn: seconds after which it returns although answers are still awaited.

        Returns:
            False while the workload manager is not ready for it: its history is being read.

        Raises:
            SubmissionsHeld: the workload manager takes no job at all; all of them wait.
            WorkloadUnavailable, NotDescribed, LedgerBlocked: what is in flight is looked up in the
                journal's history before anything is submitted again.
        """
        if not self.journal.caught_up.is_set():
            return False
        try:
            dispatcher = self._opened()
            if not self._recover(dispatcher, stop):
                return False
            # What was found pending again just now, and is to be canceled, never goes there.
            self.cancel_requested()
            dispatcher.look_at_denied()
            if dispatcher.unfinished() or dispatcher.behind():
                dispatcher.run(stop, turn)
                if dispatcher.wants_history:
                    dispatcher.wants_history = False
                    self.journal.request_resync()
                    return False
        except SubmissionsHeld:
            raise  # it answered everything: nothing is in flight
        except (WorkloadUnavailable, NotDescribed, LedgerBlocked):
            self._drop_dispatcher()
            raise
        self._problem = ""
        self._conditions.clear(ConditionName.WORKLOAD_TAKES_NO_JOBS)
        return True

    def submit_failed(self, exc: WorkloadUnavailable) -> bool:
        """The workload manager takes no jobs; True when this is a new problem."""
        self._conditions.set(ConditionName.WORKLOAD_TAKES_NO_JOBS, str(exc))
        before, self._problem = self._problem, str(exc)
        return self._problem != before

    def unfinished(self) -> bool:
        """Whether submissions were begun whose answers are awaited."""
        return self._dispatcher is not None and self._dispatcher.unfinished()

    def behind(self) -> bool:
        """Whether there is work that is not in the workload manager yet."""
        return self._dispatcher is None or self._dispatcher.behind()

    def all_over(self) -> bool:
        """Whether every job is in a final state."""
        return not self._ledger.open_jobs()

    def nothing_offered(self) -> None:
        """Rainbow offers no more: jobs of which the journal has a part only are no longer its.

        Nor has it the jobspecs of jobs that were found in the workload manager.
        """
        self._all_offered = True
        if self._dispatcher is not None:
            self._dispatcher.nothing_offered()
        if self.journal.adopt_partly.is_set() or not self._ledger.note(STRAYS):
            return
        self.journal.adopt_partly.set()
        self.journal.request_resync()

    # -- canceling -----------------------------------------------------------------------------

    def cancellation_requested(self) -> bool:
        """Whether somebody wants a job to end that has not ended."""
        return self._canceler.requested()

    def cancel_requested(self) -> None:
        """Cancel the jobs that somebody wants to end; rainbow need not be there for that.

        Raises:
            WorkloadUnavailable: it cannot be asked; the requests are kept.
        """
        if not self.journal.caught_up.is_set() or not self._canceler.requested():
            return
        try:
            moved = self._canceler.carry_out(self._opened().cancel)
        except WorkloadUnavailable:  # the connection is gone, with what a long chain has in flight
            self._drop_dispatcher()
            raise
        if moved:
            self._on_change(moved)

    def cancel_running(self, stop: Stop) -> None:
        """Cancel all that runs, and wait until the journal says that it ended (RAINBOW_ON_STOP)."""
        cancel_running(self._ledger, self._opened().cancel, self._clock, stop)

    # -- looking, ending -----------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """The key `workload` of runtime.json; from any thread."""
        return {"workload": {"reachable": self.journal.reachable, "problem": self.journal.problem}}

    def close(self) -> None:
        """End the connection to the workload manager; jobs keep running."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None

    def _opened(self) -> Dispatcher:
        if self._dispatcher is None:
            self._dispatcher = self._open_dispatcher()
            if self._all_offered:
                self._dispatcher.nothing_offered()
        return self._dispatcher

    def _recover(self, dispatcher: Dispatcher, stop: StopSignal) -> bool:
        """Once for each history that was read: what is not there is pending again.

        Returns:
            False after a stop: what is in flight stays `submitting` for the next start.
        """
        if self._recovered == self.journal.generation:
            return True
        if dispatcher.unfinished():
            dispatcher.run(stop)
        if dispatcher.unfinished():
            return False
        self._recovered = self.journal.generation
        dispatcher.recover()
        return True

    def _drop_dispatcher(self) -> None:
        """What was in flight is looked up in the journal's history.

        The connection is gone, or what became of it could not be written down. It is closed first:
        what it sent must not arrive after the history was read.
        """
        self.close()
        self.journal.request_resync()
