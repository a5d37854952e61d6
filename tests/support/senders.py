"""For tests: a sender of jobs with an inbox, and what agents would tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

from rainbow_agent.core.handles import Handle, handle_id
from rainbow_agent.core.model import JobKey, JobRow, TaskKey, TaskRow
from rainbow_agent.core.packed_jobs import pack_job
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.keys import SEED_BYTES, SenderKeys, mac
from rainbow_agent.fleet.messages.listener import Listener
from rainbow_agent.fleet.messages.sender import Sender
from rainbow_agent.fleet.messages.sender_files import InboxAccess
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.sent_store import SentStore
from support.common import FakeClock
from support.scheduler import FakeScheduler

#: A sender's keys, the same in every test.
KEYS = SenderKeys(bytes(range(SEED_BYTES)))
#: The cluster that jobs are sent to.
CLUSTER = "blue"


def make_handle(
    number: int = 0, *, inbox: str = "inbox-alice", keep: int = 3600, token: str = "inbox-token"
) -> Handle:
    """A handle of its own for each number."""
    public = KEYS.public()
    return Handle(
        id=handle_id(number.to_bytes(10, "big")),
        inbox=inbox,
        token=token,
        verify=public.verify,
        seal=public.seal,
        nonce=number.to_bytes(32, "big"),
        keep=keep,
    )


def make_job(
    state: JobState = JobState.COMPLETED,
    *,
    number: int = 7,
    registration: str = "reg",
    code: int = 0,
) -> JobRow:
    """A job of one task in a final state, as an agent's ledger has it."""
    key = JobKey(registration, number)
    done = TaskState.COMPLETED if state is JobState.COMPLETED else TaskState.FAILED
    reason = f"exit code {code}" if code else None
    task = TaskRow(TaskKey(key, "t", 0), 0, done, (), 12, code, reason, 1.0, 2.0, 3.0)
    return JobRow(key, "job", state, reason, 1.0, 1.5, 3.0, (task,))


def state_part(
    handle: Handle,
    job: JobRow,
    turn: int,
    *,
    by: str = CLUSTER,
    nonce: bytes | None = None,
    unread: int = 1,
    at: float = 5.0,
) -> rows.Part:
    """What an agent tells of a job.

    Args:
        handle: the job's.
        job: how it is.
        turn: of this message.
        by: the cluster that tells it.
        nonce: with another than the job's, it is forged.
        unread: rows of which the cluster does not know whether they were read.
        at: when it was sent, by the cluster's clock.
    """
    body = rows.pack({"turn": turn, "at": at, "unread": unread, "job": pack_job(job)})
    signed = rows.signed(handle.inbox, by, rows.Kind.STATE, handle.id, body)
    proof = mac(handle.nonce if nonce is None else nonce, signed)
    return rows.Part(rows.Kind.STATE, handle.id, body, proof)


def make_sender(
    folder: Path, inbox: InboxAccess | None = None, keep: float = float("inf")
) -> Sender:
    """A sender with a folder of their own; the caller closes its store."""
    access = inbox or InboxAccess("inbox-alice", "rainbow:1", "secret", "inbox-token")
    return Sender(access, SentStore(folder), FakeClock(), keep)


def ask_part(
    handle: Handle, content: dict[str, Any], *, to: str = CLUSTER, keys: SenderKeys = KEYS
) -> rows.Part:
    """What a sender asks of a job.

    Args:
        handle: the job's.
        content: what is asked.
        to: the cluster that is asked.
        keys: with others than the sender's, it is forged.
    """
    body = rows.pack(content)
    signed = rows.signed(to, handle.inbox, rows.Kind.ASK, handle.id, body)
    return rows.Part(rows.Kind.ASK, handle.id, body, keys.sign(signed))


def listener_without_cluster(stop: Stop) -> Listener:
    """A listener of an agent that is never registered, so that it asks nothing."""
    return Listener(
        session=lambda: None,
        open_carrier=FakeScheduler,
        open_ledger=Mock(),
        messenger=Mock(),
        kept=Mock(),
        clock=FakeClock(),
        stop=stop,
    )
