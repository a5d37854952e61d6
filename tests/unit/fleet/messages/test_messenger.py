"""What agents tell the senders of jobs, when, and what happens when it cannot be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import Rejected, RequestDenied, Unavailable
from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.core.packed_jobs import unpack_job
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.fleet.messages import messenger as module
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.answers import counter_of, open_answer
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH
from rainbow_agent.fleet.messages.keys import has_mac
from rainbow_agent.fleet.messages.messenger import Messenger
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import Background, FakeClock, eventually
from support.ledger import REGISTRATION, add_job, checked_ledger, news
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.senders import KEYS, make_handle


class World:
    """A messenger between a ledger and a rainbow with an inbox."""

    def __init__(self, path: Path, ledger: SqliteLedger, *, boxes: bool) -> None:
        self.ledger, self.rainbow = ledger, FakeScheduler()
        self.rainbow.boxes = {} if boxes else None
        self.sends = "send_message" if boxes else "submit"  # what a message is sent with
        self.clock, self.stop = FakeClock(2000.0), Stop()
        self.access = self.rainbow.register("inbox-alice", REGISTRATION_SECRET, INBOX_GRAPH)
        self.session: Session | None = Session("blue", Secret("s"), REGISTRATION.id)
        self.messenger = Messenger(
            session=lambda: self.session,
            open_scheduler=lambda: self.rainbow,
            open_ledger=lambda: SqliteLedger.open(path),
            keep=1000.0,
            answer=self.answer,
            clock=self.clock,
            stop=self.stop,
        )

    def answer(self, key: JobKey, asked: Mapping[str, Any]) -> dict[str, Any]:
        """As Answers.answer."""
        return {"about": key.id, **asked}

    def add(self, number: int, *, keep: int = 5000, inbox: str = "inbox-alice") -> JobKey:
        """A job with a handle of its own."""
        key = add_job(self.ledger, number, "t")
        handle = make_handle(number, keep=keep, inbox=inbox, token=self.access.token)
        self.ledger.record_handles({key: handle})
        return key

    def tell(self) -> bool:
        """One turn."""
        return self.messenger.tell(self.ledger, self.rainbow)

    def told(self, inbox: str = "inbox-alice") -> list[tuple[int, JobRow]]:
        """Turn and job of each part that is in the inbox, in order; each is authentic."""
        found = []
        for message in self.rainbow.posted(inbox):
            for part in message.parts:
                if part.kind is not rows.Kind.STATE:
                    continue
                content = rows.unpack(part.body)
                job = unpack_job(content["job"])
                handle = make_handle(job.key.id)
                signed = rows.signed(inbox, "blue", part.kind, handle.id, part.body)
                assert has_mac(handle.nonce, signed, part.proof)
                found.append((content["turn"], job))
        return found


@pytest.fixture(params=[False, True], ids=["rows", "boxes"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        ledger.open_registration(REGISTRATION)
        yield World(path, ledger, boxes=request.param)


def test_a_job_without_a_handle_is_told_to_no_one(world: World) -> None:
    """Rainbow is not even asked for anything."""
    add_job(world.ledger, 1)
    before = world.rainbow.calls.copy()
    assert not world.tell()
    assert world.rainbow.calls == before
    assert world.messenger.flushed.is_set()


def test_each_state_of_a_job_is_told_once(world: World) -> None:
    """As the ledger has it, with a turn that grows."""
    key = world.add(1)
    assert world.tell()
    assert not world.tell()
    world.ledger.apply([news(key, "t", TaskState.RUNNING)])
    world.clock.advance(-500)  # a clock that is set back does not make an older turn
    assert world.tell()
    (first, received), (second, running) = world.told()
    assert (received.state, running.state) == (JobState.RECEIVED, JobState.RUNNING)
    assert running == world.ledger.job(key)
    assert second > first


def test_many_jobs_are_told_in_one_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in several where they do not fit: none is left out."""
    keys = [world.add(number) for number in range(1, 8)]
    monkeypatch.setattr(module, "MAX_JOBS", 3)
    while world.tell():
        pass
    assert [job.key for _, job in world.told()] == keys
    assert len(world.rainbow.waiting("inbox-alice")) == 3


def test_what_rainbow_did_not_take_is_told_later(world: World) -> None:
    """Also where it took it and the answer was lost: told twice, and the sender takes the newer."""
    world.add(1)
    for after in (False, True):
        world.rainbow.fail(world.sends, Unavailable("away"), after=after)
        with pytest.raises(Unavailable):
            world.tell()
    assert not world.messenger.flushed.is_set()
    assert world.tell()
    turns = [turn for turn, _ in world.told()]
    assert len(turns) == 2
    assert not world.tell()


@pytest.mark.parametrize(("spent", "seconds"), [(0.0, 0.3), (0.01, 0.3), (0.03, 0.6), (9.0, 1.0)])
def test_many_changes_are_gathered_for_longer(spent: float, seconds: float) -> None:
    """So that the messenger takes a small share of the processor from whoever submits jobs."""
    assert module.gather_after(spent) == pytest.approx(seconds)


@pytest.mark.parametrize(("jobs", "seconds"), [(0, 0.3), (49, 0.3), (50, 1.0)])
def test_many_jobs_that_move_together_are_gathered_for_longer(
    world: World, monkeypatch: pytest.MonkeyPatch, jobs: int, seconds: float
) -> None:
    """From the first of them on: what is sent while they are submitted keeps that up."""
    loop, waited = world.messenger._stop, list[float]()

    def wait(timeout: float) -> bool:
        waited.append(timeout)
        return len(waited) == 3

    monkeypatch.setattr(loop, "wait", wait)
    rests = iter((jobs, 1))
    monkeypatch.setattr(loop, "wait_for", lambda *_: world.messenger.changed(next(rests)))
    world.messenger.run()
    assert waited == [0.3, seconds, 0.3]


def test_one_denial_keeps_nothing_back(world: World) -> None:
    """Rainbow denies what it could not look up, as when it is about to stop."""
    key = world.add(1)
    world.rainbow.fail(world.sends, RequestDenied("request denied"))
    assert world.tell()
    world.ledger.add_request(key, 77, {"ask": "logs"})
    world.rainbow.fail(world.sends, RequestDenied("request denied"))
    assert world.tell()
    assert len(world.told()) == 1
    kinds = [part.kind for message in world.rainbow.posted("inbox-alice") for part in message.parts]
    assert kinds == [rows.Kind.STATE, rows.Kind.ANSWER]


def test_a_rainbow_that_lost_the_inboxs_graph_gets_it_back(world: World) -> None:
    """The sender need not be there for that; a box needs no graph."""
    world.add(1)
    world.rainbow.restart(keep_database=True)
    assert world.tell()
    assert world.rainbow.has_graph("inbox-alice") == (world.rainbow.boxes is None)
    assert len(world.told()) == 1


def test_an_inbox_that_is_gone_keeps_no_other_from_its_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again later, and given up when the sender's time is over."""
    monkeypatch.setattr(module, "MAX_JOBS", 1)
    gone = world.add(1, keep=100, inbox="inbox-gone")
    world.add(2)
    world.ledger.apply([news(gone, "t", TaskState.COMPLETED, finished=2000.0)])
    while world.tell():
        pass
    assert [job.key.id for _, job in world.told()] == [2]
    assert [each.job.key for each in world.ledger.untold(9)] == [gone]
    world.clock.advance(module.MAX_RETRY_S + 1)
    asked = world.rainbow.calls[world.sends]
    assert world.tell()
    assert world.rainbow.calls[world.sends] == asked + 2, "a denial is asked again, once"
    world.clock.advance(5000)
    world.tell()
    assert world.ledger.untold(9) == []


def test_the_operators_time_counts_where_it_is_less(world: World) -> None:
    """RAINBOW_KEEP_NEWS is 1000 s here, and the sender wants more."""
    key = world.add(1, keep=10**6)
    world.ledger.apply([news(key, "t", TaskState.COMPLETED, finished=2000.0)])
    world.clock.advance(1001)
    world.tell()
    assert world.told() == []
    assert world.ledger.untold(9) == []


def test_rows_for_a_sender_who_is_away_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then last states wait in the ledger, each job's once, until the sender has taken the rows."""
    monkeypatch.setattr(rows, "MAX_UNREAD", 3)
    keys = [world.add(number) for number in (1, 2)]
    for moment in range(6):
        state = (TaskState.RUNNING, TaskState.SUBMITTED)[moment % 2]
        world.ledger.apply([news(keys[0], "t", state)])
        world.ledger.tell_again(keys[1])
        world.clock.advance(1)
        while world.tell():
            pass
    assert len(world.rainbow.waiting("inbox-alice")) == 3
    assert world.messenger.flushed.is_set(), "there is nothing more that can be told"
    other = add_job(world.ledger, 9, "t")
    bob = make_handle(9, token=world.access.token)
    world.ledger.record_handles({other: replace(bob, verify=b"b" * 32)})
    assert world.tell()
    assert len(world.rainbow.waiting("inbox-alice")) == 4, "who names the same inbox is told"
    last = max(turn for turn, _ in world.told())
    world.ledger.apply([news(key, "t", TaskState.COMPLETED, finished=2006.0) for key in keys])
    world.ledger.note_taken(make_handle(1).address, last)
    assert world.tell()
    assert not world.tell()
    assert [job.state for _, job in world.told()[-2:]] == [JobState.COMPLETED] * 2
    assert len(world.rainbow.waiting("inbox-alice")) == 5


def test_rows_count_by_their_size_and_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender whose word is lost hears again when the time is over for which news is kept."""
    monkeypatch.setattr(module, "MAX_UNREAD_BYTES", 100)
    key = world.add(1)
    assert world.tell()
    world.ledger.apply([news(key, "t", TaskState.RUNNING)])
    assert not world.tell()
    world.clock.advance(1001)
    assert world.tell()


def test_a_sender_who_takes_nothing_is_answered_so_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And states go before."""
    monkeypatch.setattr(rows, "MAX_UNREAD", 2)
    key = world.add(1)
    for counter in range(9):
        world.ledger.add_request(key, counter + 1, {"ask": "logs"})
    while world.tell():
        pass
    assert world.ledger.requests(9) == []
    assert len(world.rainbow.waiting("inbox-alice")) == 4


def test_nothing_is_told_while_others_may_own_the_cluster(world: World) -> None:
    """It waits in the ledger."""
    world.add(1)
    world.session = None
    assert not world.tell()
    assert len(world.ledger.untold(9)) == 1


def test_a_row_that_comes_twice_has_one_handle(world: World) -> None:
    """The second job of the same handle is told of to no one: the sender sent one."""
    key = world.add(1)
    twin = add_job(world.ledger, 2)
    world.ledger.record_handles({twin: make_handle(1)})
    assert [each.job.key for each in world.ledger.untold(9)] == [key]


def test_what_a_sender_asked_is_answered(world: World) -> None:
    """Sealed, and with a MAC; where the answer got lost, the question is answered again."""
    key = world.add(1)
    world.tell()
    world.ledger.add_request(key, 77, {"ask": "logs"})
    world.rainbow.fail(world.sends, Unavailable("away"), after=True)
    with pytest.raises(Unavailable):
        world.tell()
    assert world.tell()
    assert not world.tell()
    handle, found = make_handle(1), []
    for message in world.rainbow.posted("inbox-alice"):
        for part in message.parts:
            if part.kind is rows.Kind.ANSWER:
                signed = rows.signed("inbox-alice", "blue", part.kind, handle.id, part.body)
                assert has_mac(handle.nonce, signed, part.proof)
                assert counter_of(part.body) == 77
                found.append(rows.unpack(open_answer(KEYS, handle.id, part.body)))
    assert found == [{"about": 1, "ask": "logs"}] * 2


def test_an_inbox_that_is_gone_gets_no_answer(world: World) -> None:
    """And the question does not stay for ever."""
    key = world.add(1, inbox="inbox-gone")
    world.ledger.add_request(key, 77, {"ask": "logs"})
    while world.tell():
        pass
    assert world.ledger.requests(9) == []


def test_the_thread_tells_and_ends_on_the_stop(world: World) -> None:
    """Woken by a change; what rainbow refuses meanwhile does not end it."""
    world.rainbow.fail(world.sends, Rejected("no"))
    world.add(1)
    thread = Background(world.messenger.run)
    thread.start()
    eventually(lambda: world.rainbow.calls[world.sends] > 0, "it tries")
    world.add(2)
    world.clock.advance(module.MAX_RETRY_S + 1)
    world.messenger.changed()
    eventually(lambda: len(world.told()) >= 2, "both are told")
    world.stop.set("the test is over")
    thread.end()
    key = world.add(3)
    world.ledger.add_request(key, 7, {"ask": "logs"})
    world.messenger.tell_last()
    assert {job.key.id for _, job in world.told()} == {1, 2, 3}
    assert len(world.ledger.requests(9)) == 1, "the next start answers"
