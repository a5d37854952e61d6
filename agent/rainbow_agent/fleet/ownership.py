"""Whether this agent is the one that receives the cluster's jobs (docs/decisions/0042).

The one that registered the cluster is, and stays so with its state folder. An agent that finds
credentials beside a folder that never held the cluster asks first: through a row in rainbow's list
of jobs, which only agents of this cluster read. The one that holds it answers, and the other one
exits with status 42. If there is no answer the owner is gone: the new one takes its place, and has
rainbow give it another secret, so that the old one could not come back unnoticed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from rainbow_agent.core.errors import (
    ClusterUnknown,
    Fatal,
    Refused,
    RequestDenied,
    Transient,
    UsageError,
)
from rainbow_agent.core.model import Offer
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet import ownership_messages
from rainbow_agent.fleet.ownership_messages import (
    AgentIdentity,
    OwnershipAnswer,
    OwnershipQuestion,
    OwnershipRecord,
)
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.logs import clean, when
from rainbow_agent.runtime.pace import longest

log = logging.getLogger(__name__)

#: How long an answer is waited for, at least.
MIN_ANSWER_WAIT_S: Final = 2.0
#: By how much a poll of the other agent may be late: as a multiple of the time between two, but
#: by no more seconds than two calls may take.
POLLS_PER_ANSWER: Final = 3.0
LATE_POLL_S: Final = 20.0
#: An answer that was not read is removed after that long.
STALE_ANSWER_S: Final = 60.0
#: Seconds that another agent, if there is one, gets to load the cluster's graph again.
GRAPH_WAIT_S: Final = 40.0
#: Seconds between looks at the list while no jobs are asked for.
QUESTION_INTERVAL_S: Final = 5.0


class OwnershipStore(Protocol):
    """Where that is kept (adapters.holding): in the folder, and not in a copy of the folder."""

    def load(self) -> OwnershipRecord | None:
        """What was saved here; None where nothing was, or somewhere else."""

    def save(self, ownership_record: OwnershipRecord) -> None:
        """Keep it; durable when it returns."""


class Ownership:
    """Used by the main loop; `held` by any thread.

    Args:
        scheduler: the main loop's connection.
        store: the state folder's memory.
        token: what submits to this cluster; "" when it is not known, and nothing can be asked.
        identity: who we are.
        poll_max: seconds between polls at most, here and, so it is taken, over there.
        clock: measures how long an answer is waited for.
        conditions: where it is said that we ask.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        store: OwnershipStore,
        token: Callable[[], str],
        identity: AgentIdentity,
        poll_max: float,
        clock: Clock,
        conditions: Conditions,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._token = token
        self._identity = identity
        self._clock = clock
        self._conditions = conditions
        self._poll_max = poll_max
        self._slowest_answer = 0.0  # seconds that we waited for one, since we are asking
        self._ownership_record: OwnershipRecord | None = None
        self._asked: float | None = None
        self._waiting: set[int] = set()  # jobs in rainbow's list, when we asked and looked
        self._lost = 0  # how often our question was gone without an answer
        self._first_seen: dict[int, float] = {}  # rows of others, by id
        self._graphless: float | None = None
        self._others_informed_at = float("-inf")  # when every agent that asked has its answer
        self._looked_at = float("-inf")

    @property
    def held(self) -> bool:
        """Whether we are the one."""
        return self._ownership_record is not None and self._ownership_record.held

    @property
    def secret_rotation_due(self) -> bool:
        """Whether another secret is due: somebody else may have the one that we have."""
        secret_rotated = self._ownership_record is None or self._ownership_record.secret_rotated
        return self.held and not secret_rotated and self.may_renew()

    def may_renew(self) -> bool:
        """Whether an agent that asked at the same time has its answer by now.

        Otherwise it would only see its secret denied.
        """
        return self.held and self._clock.monotonic() >= self._others_informed_at

    # -- the registrar says where credentials come from (ports.OwnershipEvents) --------------------

    def found(self, registration: str, *, known: bool) -> None:
        """There are credentials; `known`: the ledger knew them before."""
        kept = self._store.load()
        if kept is not None and kept.registration == registration:
            self._ownership_record = kept
        elif kept is None and known:  # of a version that kept no such note
            self._keep(OwnershipRecord(registration, held=True))
        else:
            self._keep(OwnershipRecord(registration, held=False))

    def registered(self, registration: str) -> None:
        """Rainbow gave this secret to this agent only."""
        self._keep(OwnershipRecord(registration, held=True))

    def replaced(self, registration: str) -> None:
        """Somebody put another secret into the place of ours."""
        self._asked, self._lost = None, 0
        self._keep(OwnershipRecord(registration, held=False))

    def mark_secret_rotated(self) -> None:
        """It is settled, as far as it can be."""
        if self._ownership_record is not None:
            self._keep(replace(self._ownership_record, secret_rotated=True))

    @property
    def _patience(self) -> float:
        """Seconds that the other agent gets; it polls more seldom where rainbow is slow."""
        poll = longest(self._poll_max, self._slowest_answer)
        return max(MIN_ANSWER_WAIT_S, min(POLLS_PER_ANSWER * poll, poll + LATE_POLL_S))

    # -- asking ------------------------------------------------------------------------------------

    def resolve(self, session: Session) -> bool:
        """One step on the way to know it; True when we are the one.

        Raises:
            Fatal: another agent is.
            Transient, Refused: as the scheduler.
        """
        if self.held:
            return True
        token = self._token()
        if not token:
            log.warning(
                "This state folder has never owned cluster %s, and without a token the agent cannot"
                " ask whether another one does; it continues",
                session.cluster,
                extra={"action": "cannot_ask"},
            )
            return self._take_over()
        offers = self._look_at_list(session)
        jobs, questions, answers = ownership_messages.sort_rows(offers)
        if self._asked is None:
            self._waiting = {job.id for job in jobs}
            return self._ask(session, token)
        self._look_who_works(jobs)
        return self._look(session, token, questions, answers)

    def _look_at_list(self, session: Session) -> list[Offer]:
        began = self._clock.monotonic()
        try:
            return self._scheduler.receive(session.cluster, session.secret.reveal(), 0)
        finally:
            took = self._clock.monotonic() - began
            self._slowest_answer = max(self._slowest_answer, took)

    def _look_who_works(self, jobs: Sequence[Offer]) -> None:
        """Jobs that vanish were taken: somebody works off a list, and our question is at its end.

        Its polls come to so many rows at a time.
        """
        before, self._waiting = self._waiting, {job.id for job in jobs}
        if before - self._waiting:
            self._asked = self._clock.monotonic()

    def _ask(self, session: Session, token: str) -> bool:
        said = (
            f"this state folder has never owned cluster {session.cluster}: asking whether another"
            f" agent does, for {self._patience:g} s; no jobs are taken until then"
        )
        if self._conditions.set(ConditionName.ASKING_WHO_RECEIVES, said):
            log.warning("%s", said, extra={"action": "asking", "seconds": self._patience})
        try:
            self._add_row(session, token, ownership_messages.question(self._identity))
        except ClusterUnknown:
            # An agent that lives loads the graph again with its next report.
            self._graphless = self._graphless or self._clock.monotonic()
            if self._clock.monotonic() - self._graphless > GRAPH_WAIT_S:
                raise
        except RequestDenied:
            log.warning(
                "The agent cannot ask for another owner, since the token is denied; it continues"
            )
            return self._take_over()
        else:
            self._asked = self._clock.monotonic()
        return False

    def _look(
        self,
        session: Session,
        token: str,
        questions: Sequence[OwnershipQuestion],
        answers: Sequence[OwnershipAnswer],
    ) -> bool:
        now, asked = self._clock.monotonic(), self._asked or 0.0
        ours = [q.row for q in questions if q.by.id == self._identity.id]
        to_us = [a for a in answers if a.to == self._identity.id]
        if to_us:
            self._remove(session, [*ours, *(a.row for a in to_us)])
            raise Fatal(_held_by(session, to_us[0].by))
        if not ours and not self._waiting:
            self._lost += 1
            if self._lost > 1:
                raise Fatal(_held_by(session, None))
            return self._ask(session, token)
        # Of a list that is too large for one answer the end is not seen, where our question is.
        before = [q.row for q in questions if not ours or q.row < min(ours)]
        if any(row not in before for row in self._first_seen):
            # One that asked first has its answer; if that is that it is the one, it answers us.
            self._asked = asked = now
        self._first_seen = {row: self._first_seen.get(row, now) for row in before}
        if any(now - at < 2 * self._patience for at in self._first_seen.values()):
            return False
        if now - asked < self._patience:
            return False
        self._remove(session, [*ours, *before])
        log.warning(
            "No other agent receives the jobs of cluster %s: this one does from now on",
            session.cluster,
            extra={"action": "took_over"},
        )
        return self._take_over()

    def _take_over(self) -> bool:
        self._first_seen, self._others_informed_at = (
            {},
            self._clock.monotonic() + 2 * self._patience,
        )
        self._conditions.clear(ConditionName.ASKING_WHO_RECEIVES)
        if self._ownership_record is not None:
            self._keep(replace(self._ownership_record, held=True, secret_rotated=False))
        return True

    # -- answering ---------------------------------------------------------------------------------

    def answer_questions(self, session: Session, offers: list[Offer]) -> list[Offer]:
        """Answer the agents that ask; the jobs among these rows.

        An error here does not keep jobs from being taken: the next poll tries again.
        """
        self._looked_at = self._clock.monotonic()
        jobs, questions, answers = ownership_messages.sort_rows(offers)
        if questions or answers:
            try:
                self._reply(session, questions)
                self._clear(session, answers)
            except (Transient, Refused) as exc:
                log.warning("Another agent asks who receives these jobs; no answer yet: %s", exc)
        return jobs

    def look_for_questions(self, session: Session) -> list[Offer]:
        """While no jobs are asked for: look whether somebody asks, now and then; the jobs seen."""
        if not self.held or self._clock.monotonic() - self._looked_at < QUESTION_INTERVAL_S:
            return []
        self._looked_at = self._clock.monotonic()
        try:
            rows = self._scheduler.receive(session.cluster, session.secret.reveal(), 0)
        except (Transient, Refused):
            return []  # the next call that is needed reports it
        return self.answer_questions(session, rows)

    def _reply(self, session: Session, questions: Sequence[OwnershipQuestion]) -> None:
        for asked in questions:
            token = self._token()
            if token and asked.by.id != self._identity.id:
                log.warning(
                    "Another agent has this cluster's credentials (%s), and is answered that"
                    " this one owns the cluster. Was rainbow-config.yaml copied?",
                    clean(str(asked.by)),
                    extra={"action": "second_agent", "host": asked.by.host, "pid": asked.by.pid},
                )
                try:
                    text = ownership_messages.answer(self._identity, asked.by.id, old=asked.old)
                    self._add_row(session, token, text)
                except RequestDenied:
                    log.warning("It gets no answer, since the token is denied")
            # In this order: a question that is gone was answered, if it could be.
            self._remove(session, [asked.row])

    def _clear(self, session: Session, answers: Sequence[OwnershipAnswer]) -> None:
        now = self._clock.monotonic()
        self._first_seen = {a.row: self._first_seen.get(a.row, now) for a in answers}
        self._remove(
            session, [row for row, at in self._first_seen.items() if now - at > STALE_ANSWER_S]
        )

    # -- rows --------------------------------------------------------------------------------------

    def _add_row(self, session: Session, token: str, text: str) -> None:
        # `random` of one cluster: whatever this server selects by is left alone.
        self._scheduler.submit(
            ownership_messages.QUESTION_JOB_NAME, {session.cluster: token}, text, select="random"
        )

    def _remove(self, session: Session, rows: Sequence[int]) -> None:
        self._scheduler.accept(session.cluster, session.secret.reveal(), rows)

    def _keep(self, ownership_record: OwnershipRecord) -> None:
        if ownership_record == self._ownership_record:
            return
        self._ownership_record = ownership_record
        try:
            self._store.save(ownership_record)
        except UsageError as exc:
            log.warning("The next start will ask again who receives these jobs: %s", exc)


def _held_by(session: Session, other: AgentIdentity | None) -> str:
    if other is None:
        who = "another program, which did not say who it is, and which takes rows off its list"
    else:
        who = f"another agent ({clean(str(other))}, since {when(other.since)})"
    return (
        f"cluster {session.cluster} is held by {who}: it receives this cluster's jobs, so this"
        " agent does not. Stop that one first, or give this one another RAINBOW_CLUSTER and no copy"
        " of its rainbow-config.yaml"
    )
