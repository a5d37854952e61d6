"""The sender's side: handles for the jobs that are sent, and the messages about them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rainbow_agent.core.handles import Handle, handle_id
from rainbow_agent.core.packed_jobs import unpack_job
from rainbow_agent.core.ports import Clock
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.answers import counter_of, open_answer, turn_of
from rainbow_agent.fleet.messages.carrier import Carrier
from rainbow_agent.fleet.messages.keys import PublicKeys, SenderKeys, has_mac
from rainbow_agent.fleet.messages.post import send
from rainbow_agent.fleet.messages.sender_files import InboxAccess
from rainbow_agent.jobspec.handle import attach
from rainbow_agent.storage.sent_store import SentJob, SentStore

log = logging.getLogger(__name__)

#: A cluster that speaks of so many rows which may be unread hears that they are read, not more
#: often than each so many seconds: it stops at rows.MAX_UNREAD.
SAY_TAKEN_ROWS: Final = 25
SAY_TAKEN_S: Final = 3.0


@dataclass
class _Upto:
    """What a cluster told last."""

    turn: int = 0
    unread: int | None = None  # rows of which it did not know whether they were read

    def add(self, turn: int, unread: int | None = None) -> None:
        """Something that it told; turns go back where its clock was set back."""
        self.turn = max(turn, self.turn)
        self.unread = self.unread if unread is None else unread


@dataclass(frozen=True)
class Taken:
    """What was in the inbox."""

    news: int  # states that were not known, and answers
    jobs: tuple[str, ...]  # names of jobs that somebody sent to the inbox, which runs none
    dropped: int = 0  # messages that had waited for longer than the sender wants them kept


class Sender:
    """A sender with an inbox.

    Args:
        inbox: theirs.
        store: what they remember.
        clock: for the times.
        keep: seconds for which a message may have waited that is still read.
        note: gets a sentence about what the sender should know.
    """

    def __init__(
        self,
        inbox: InboxAccess,
        store: SentStore,
        clock: Clock,
        keep: float = float("inf"),
        note: Callable[[str], None] = log.warning,
    ) -> None:
        self.note = note
        self.inbox = inbox
        self.store = store
        self._clock = clock
        self._keep = keep
        self._stale, self._dropped = float("-inf"), 0  # of one look: what is older is dropped
        #: How often in a row rainbow has denied the inbox.
        self.denials = 0
        #: What was said to the one who asks; once is enough.
        self.said: set[str] = set()
        #: Whether the last look has waited as long as was wanted, or found something: where rainbow
        #: has boxes.
        self.has_waited = False

    def prepare(
        self, document: Mapping[str, Any], name: str, public: PublicKeys, keep: float
    ) -> tuple[str, dict[str, Any]]:
        """A jobspec with a handle of its own, which is remembered before the job is sent.

        Args:
            document: the jobspec.
            name: the job's.
            public: the sender's keys.
            keep: seconds after its end for which the sender wants messages about it.

        Returns:
            The handle, and the jobspec to send.
        """
        handle = Handle(
            id=handle_id(os.urandom(10)),
            inbox=self.inbox.name,
            token=self.inbox.token,
            verify=public.verify,
            seal=public.seal,
            nonce=os.urandom(32),
            keep=int(keep),
        )
        self.store.add(handle.id, name, self.inbox.host, handle.nonce, self._clock.now())
        return handle.id, attach(document, handle)

    def ask(
        self,
        scheduler: Carrier,
        keys: SenderKeys,
        sent: SentJob,
        token: str,
        content: Mapping[str, Any],
        *,
        lasting: float,
    ) -> int:
        """Ask something of a job, of the cluster that has it.

        Args:
            scheduler: the rainbow that both are in.
            keys: the sender's.
            sent: the job, whose cluster is known.
            token: submits to that cluster.
            content: what is asked.
            lasting: seconds after which it is too late to do it.

        Returns:
            The counter, by which the answer is known.

        Raises:
            Transient, Refused: rainbow does not take it.
        """
        now, cluster = self._clock.now(), str(sent.cluster)
        counter = self.store.count(sent.handle, now)
        taken = self.store.taken(cluster)
        body = rows.pack(
            {
                **content,
                "counter": counter,
                "taken": taken,
                "until": now + lasting,
                "registration": sent.job.key.registration if sent.job else None,
            }
        )
        signed = rows.signed(cluster, self.inbox.name, rows.Kind.ASK, sent.handle, body)
        part = rows.Part(rows.Kind.ASK, sent.handle, body, keys.sign(signed))
        send(scheduler, token, rows.Message(cluster, self.inbox.name, (part,)))
        self.store.said_taken(cluster, taken, now)
        return counter

    def answer(self, keys: SenderKeys, handle: str, counter: int) -> dict[str, Any] | None:
        """The answer to something that was asked, once; None where there is none.

        Raises:
            ValueError: it was sealed for other keys than these.
        """
        sealed = self.store.take_answer(handle, counter)
        return None if sealed is None else rows.unpack(open_answer(keys, handle, sealed))

    def take(self, scheduler: Carrier, wait: float = 0.0) -> Taken:
        """Take what is in the inbox: it is stored, then it is taken away from rainbow.

        Only what is authentic, about a job that was sent from here, and newer than what is known
        counts; all else is taken away as well, or it would be in every answer. After a look within
        the time for which messages are kept, none can be older, whatever its cluster's clock says.

        Args:
            scheduler: the rainbow that has the inbox.
            wait: seconds to wait for a message, where rainbow can.

        Raises:
            Transient, Refused: rainbow does not answer, or denies the inbox.
        """
        now, looked = self._clock.now(), self.store.looked()
        away = looked is None or now - looked > self._keep
        self._stale, self._dropped = now - self._keep if away else float("-inf"), 0
        news = self._take_box(scheduler, wait)
        jobs, whole = [], False
        while not whole:
            offers = scheduler.receive(self.inbox.name, self.inbox.secret, 0)
            whole = offers.whole or not offers
            messages = {offer.id: rows.read(offer.name, offer.jobspec) for offer in offers}
            jobs += [offer.name for offer in offers if messages[offer.id] is None]
            news += self._store_all(messages.values())
            numbers = sorted(offer.id for offer in offers)
            scheduler.accept(self.inbox.name, self.inbox.secret, numbers)
        self.denials = 0
        self.store.note_look(now)
        return Taken(news, tuple(jobs), self._dropped)

    def _take_box(self, scheduler: Carrier, wait: float) -> int:
        """Take what is in the box, where there is one; how much was news."""
        name, secret, news = self.inbox.name, self.inbox.secret, 0
        box = scheduler.messages(name, secret, wait)
        self.has_waited = box is not None and box.waited
        while box is not None and box.messages:
            news += self._store_all(each.message for each in box.messages)
            scheduler.remove_messages(name, secret, [each.id for each in box.messages])
            box = None if box.whole else scheduler.messages(name, secret)
        return news

    def _store_all(self, messages: Iterable[rows.Message | None]) -> int:
        """Store what is in these; how much was news."""
        news, upto = 0, dict[str, _Upto]()
        for message in messages:
            if message is not None and message.to == self.inbox.name:
                with self.store.transaction():  # one, so that no other process waits long
                    news += sum(self._take_part(message, part, upto) for part in message.parts)
        for cluster, last in upto.items():
            self.store.took(cluster, last.turn, last.unread, self._clock.now())
        return news

    def unread(self) -> list[SentJob]:
        """A job of each cluster that should hear that its messages were taken: ask with TAKEN."""
        before = self._clock.now() - SAY_TAKEN_S
        return self.store.unread(SAY_TAKEN_ROWS, rows.MAX_UNREAD, before)

    def _take_part(self, message: rows.Message, part: rows.Part, upto: dict[str, _Upto]) -> bool:
        """Whether it was news; `upto` gets what is the last of what is authentic."""
        sent = self.store.job(part.handle)
        if sent is None or part.kind is rows.Kind.ASK or sent.cluster not in (None, message.by):
            return False
        signed = rows.signed(message.to, message.by, part.kind, part.handle, part.body)
        if not has_mac(sent.nonce, signed, part.proof):
            return False
        if part.kind is rows.Kind.ANSWER:
            upto.setdefault(message.by, _Upto()).add(turn_of(part.body))
            if self._is_stale(sent, turn_of(part.body) / 1000):
                return False
            counter = counter_of(part.body)
            self.store.put_answer(part.handle, counter, part.body, self._clock.now())
            return True
        try:
            content = rows.unpack(part.body)
            turn, job, at = int(content["turn"]), content["job"], float(content["at"])
            unread = int(content.get("unread", 0))
            unpack_job(job)
        except (ValueError, KeyError, TypeError):
            return False  # of another version of the agent
        upto.setdefault(message.by, _Upto()).add(turn, unread)
        if self._is_stale(sent, at):
            return False
        return self.store.hear(part.handle, message.by, turn, job, self._clock.now())

    def _is_stale(self, sent: SentJob, at: float) -> bool:
        """Whether a message has waited for too long; such are counted.

        Args:
            sent: its job.
            at: when it was sent, by the clock of its cluster.
        """
        stale = max(sent.at, at) < self._stale
        self._dropped += stale
        return stale
