"""What a cluster's agent does for the sender of a job, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import Unavailable
from rainbow_agent.core.handles import SenderAddress
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.keys import SenderKeys
from rainbow_agent.fleet.messages.listener import BUSY_RAINBOW_S, LOOK_AGAIN_S, Listener
from rainbow_agent.fleet.messages.requests import JOB_WAIT_S, Requests
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import ledger_asked
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_handles import Unread
from support.common import Background, FakeClock, eventually
from support.ledger import REGISTRATION, add_job, checked_ledger, news
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.senders import CLUSTER, ask_part, make_handle


class World:
    """A cluster's agent with one job that has a handle, and the list that senders write to."""

    def __init__(self, path: Path, ledger: SqliteLedger, *, boxes: bool) -> None:
        self.ledger, self.rainbow, self.clock = ledger, FakeScheduler(), FakeClock(5000.0)
        self.rainbow.boxes = {} if boxes else None
        given = self.rainbow.register(CLUSTER, REGISTRATION_SECRET, "{}")
        self.session: Session | None = Session(CLUSTER, Secret(given.secret), REGISTRATION.id)
        self.told = 0
        self.requests = Requests(
            scheduler=self.rainbow, ledger=ledger, clock=self.clock, messenger=self
        )
        self.woken, self.stop = 0, Stop()
        self.listener = Listener(
            session=lambda: self.session,
            open_carrier=lambda: self.rainbow,
            open_ledger=lambda: SqliteLedger.open(path),
            messenger=self,
            kept=self.kept,
            clock=self.clock,
            stop=self.stop,
        )
        ledger.open_registration(REGISTRATION)
        self.handle = make_handle(1)
        self.key = self.add(1)

    def changed(self) -> None:
        """As the messenger's."""
        self.told += 1

    def kept(self) -> None:
        """As the main loop: the listener has kept something."""
        self.woken += 1
        self.requests.kept_more()

    def add(self, number: int) -> JobKey:
        """A job with a handle that was told."""
        key = add_job(self.ledger, number, "t")
        self.ledger.record_handles({key: make_handle(number)})
        self.ledger.mark_told([(key, "received", 1)])
        return key

    def content(self, counter: int = 1, **other: Any) -> dict[str, Any]:
        """What asks for the job's end, in time."""
        return {"ask": "cancel", "reason": "wrong", "counter": counter, "until": 6000.0, **other}

    def put(self, *parts: rows.Part, by: str | None = None, to: str = CLUSTER) -> None:
        """A message for the cluster."""
        self.rainbow.post(CLUSTER, rows.Message(to, by or self.handle.inbox, parts))

    def poll(self) -> int:
        """One turn of the listener, then one poll; how many jobs were among the rows."""
        with suppress(Unavailable):
            self.listener.turn(self.rainbow)
        assert self.session is not None
        rows_ = self.rainbow.receive(CLUSTER, self.session.secret.reveal(), 0)
        jobs = self.requests.jobs_among(self.session, list(rows_))
        self.requests.carry_out(self.session)
        return len(jobs)

    @property
    def canceled(self) -> bool:
        """Whether the job's end was asked for."""
        return self.ledger.cancellation_of(self.key) is not None


@pytest.fixture(params=[False, True], ids=["rows", "boxes"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        found = World(path, ledger, boxes=request.param)
        yield found
        found.listener.close()


def test_the_sender_of_a_job_cancels_it(world: World) -> None:
    """It is in the ledger before the row leaves rainbow, and they are told how the job is."""
    world.put(ask_part(world.handle, world.content()))
    assert world.poll() == 0
    asked = world.ledger.cancellation_of(world.key)
    assert asked is not None
    assert (asked.who, asked.why) == (f"the sender of {world.handle.id}", "wrong")
    assert world.rainbow.waiting(CLUSTER) == []
    assert [each.job.key for each in world.ledger.untold(9)] == [world.key]
    assert world.told
    assert world.ledger.asked() == []


def test_a_sender_who_only_asks_is_told_again(world: World) -> None:
    """And nothing else happens."""
    world.put(ask_part(world.handle, world.content(ask="state")))
    world.poll()
    assert [each.job.key for each in world.ledger.untold(9)] == [world.key]
    assert not world.canceled


@pytest.mark.parametrize("ask", ["taken", "state", "logs", "cancel"])
def test_each_question_says_what_was_taken(world: World, ask: str) -> None:
    """The rows up to there no longer count, and later ones, and those of others, do."""
    bob = SenderAddress(world.handle.inbox, b"b" * 32)
    for turn in (5, 6, 7):
        world.ledger.note_row(world.handle.address, turn, 100, 5000.0, 60.0)
    world.ledger.note_row(bob, 5, 100, 5000.0, 60.0)
    world.put(ask_part(world.handle, world.content(ask=ask, taken=6)))
    world.poll()
    assert world.ledger.unread(0.0) == {world.handle.address: Unread(1, 100), bob: Unread(1, 100)}
    if ask == "taken":
        assert world.ledger.untold(9) == []


@pytest.mark.parametrize("ask", ["logs", "explain"])
def test_what_takes_an_answer_is_kept_for_it(world: World, ask: str) -> None:
    """With its counter, by which the sender knows the answer; nothing is told beside it."""
    world.put(ask_part(world.handle, world.content(9, ask=ask)))
    world.poll()
    (request,) = world.ledger.requests(9)
    assert (request.job, request.counter, request.content["ask"]) == (world.key, 9, ask)
    assert request.handle == world.handle
    assert world.ledger.untold(9) == []
    world.ledger.end_request(request.seq)
    assert world.ledger.requests(9) == []


def test_a_job_that_is_over_is_told_as_it_is(world: World) -> None:
    """The request changes nothing of it."""
    world.ledger.apply([news(world.key, "t", TaskState.COMPLETED, finished=1002.0)])
    world.put(ask_part(world.handle, world.content()))
    world.poll()
    assert not world.canceled
    assert len(world.ledger.untold(9)) == 1


WRONG: dict[str, dict[str, Any]] = {
    "late": {"until": 4999.0},
    "another registration": {"registration": "other"},
    "an unknown question": {"ask": "remove"},
    "no counter": {"counter": None},
    "a counter that is none": {"counter": "1"},
    "a counter of nothing": {"counter": 0},
    "a counter beyond all": {"counter": 2**63},
    "no end": {"until": None},
    "what was taken is no number": {"taken": "1"},
    "what was taken is beyond all": {"taken": 2**63},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_is_not_as_it_should_be_changes_nothing(world: World, change: dict[str, Any]) -> None:
    """Although the sender signed it; and it does not stay."""
    world.put(ask_part(world.handle, {**world.content(), **change}))
    world.poll()
    assert not world.canceled
    assert world.ledger.untold(9) == []
    assert (world.rainbow.waiting(CLUSTER), world.ledger.asked()) == ([], [])


def test_a_forged_request_changes_nothing(world: World) -> None:
    """Another key, another cluster, another inbox, another job, a changed body, no signature."""
    other = SenderKeys(bytes(32))
    good = ask_part(world.handle, world.content())
    another = make_handle(2)
    world.add(2)
    world.put(ask_part(world.handle, world.content(), keys=other))
    world.put(ask_part(world.handle, world.content(), to="green"))
    world.put(ask_part(make_handle(1, inbox="inbox-bob"), world.content()), by="inbox-bob")
    world.put(ask_part(make_handle(1, inbox="inbox-bob"), world.content()))
    world.put(rows.Part(good.kind, another.id, good.body, good.proof))
    world.put(rows.Part(good.kind, good.handle, rows.pack({**world.content(9)}), good.proof))
    world.put(rows.Part(good.kind, good.handle, good.body, b"\0" * 64))
    world.put(rows.Part(rows.Kind.STATE, good.handle, good.body, good.proof))
    world.put(good, to="green")
    world.poll()
    assert not world.canceled
    assert world.ledger.untold(9) == []
    assert (world.rainbow.waiting(CLUSTER), world.ledger.asked()) == ([], [])


def test_what_is_replayed_or_reordered_changes_nothing(world: World) -> None:
    """A counter that was used, or is below one that was."""
    ask = ask_part(world.handle, world.content(5, ask="state"))
    world.put(ask)
    world.poll()
    world.ledger.mark_told([(world.key, "received", 2)])
    world.put(ask)
    world.put(ask_part(world.handle, world.content(4)))
    world.put(ask_part(world.handle, world.content(5)))
    world.poll()
    assert not world.canceled
    assert world.ledger.untold(9) == []
    world.put(ask_part(world.handle, world.content(6)))
    world.poll()
    assert world.canceled


def test_a_request_that_comes_before_its_job_waits_for_it(world: World) -> None:
    """In the ledger: the row leaves rainbow at once; after a day it is dropped."""
    for number in (7, 8):
        world.put(ask_part(make_handle(number), world.content(until=10**9)))
    world.poll()
    assert world.rainbow.waiting(CLUSTER) == []
    key = world.add(7)
    world.poll()
    assert world.ledger.cancellation_of(key) is not None
    assert len(world.ledger.asked()) == 1
    world.clock.advance(JOB_WAIT_S + 1)
    world.poll()
    assert world.ledger.asked() == []


def test_what_waits_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody with the token can ask about handles that there are not."""
    monkeypatch.setattr(ledger_asked, "MAX_ASKED", 3)
    for number in range(10, 20):
        world.put(ask_part(make_handle(number), world.content()))
    world.poll()
    assert len(world.ledger.asked()) == 3


def test_what_rainbow_does_not_let_go_of_is_done_once(world: World) -> None:
    """It comes again with the next poll, and its counter is used."""
    world.put(ask_part(world.handle, world.content(ask="state")))
    for method in ("accept", "remove_messages"):
        world.rainbow.fail(method, Unavailable("away"))
    world.poll()
    world.ledger.mark_told([(world.key, "received", 2)])
    assert len(world.rainbow.waiting(CLUSTER)) == 1
    world.poll()
    assert world.rainbow.waiting(CLUSTER) == []
    assert world.ledger.untold(9) == []


def test_a_job_that_looks_like_a_message_is_a_job(world: World) -> None:
    """Only what is word for word a message is none."""
    world.rainbow.put(CLUSTER, "version: 1", rows.ROW_NAME)
    world.rainbow.put(CLUSTER, "version: 1", "job")
    assert world.poll() == 2


def test_the_main_loop_is_woken_for_what_the_listener_kept(world: World) -> None:
    """A cancellation is carried out there; without boxes it finds the rows itself."""
    world.put(ask_part(world.handle, world.content()))
    pause = world.listener.turn(world.rainbow)
    boxes = world.rainbow.boxes is not None
    assert (world.woken > 0, world.canceled, pause) == (
        boxes,
        boxes,
        0.0 if boxes else LOOK_AGAIN_S,
    )
    assert world.listener.turn(world.rainbow) == (BUSY_RAINBOW_S if boxes else LOOK_AGAIN_S)


def test_an_agent_that_is_not_the_owner_takes_nothing(world: World) -> None:
    """Another one may be, and has the same box."""
    world.put(ask_part(world.handle, world.content()))
    waiting = world.rainbow.waiting(CLUSTER)
    world.session = None
    world.listener.turn(world.rainbow)
    assert world.rainbow.waiting(CLUSTER) == waiting
    assert world.woken == 0


def test_the_listener_hears_until_the_stop(world: World) -> None:
    """Also after a rainbow that did not answer."""
    world.rainbow.fail("messages", Unavailable("away"))
    thread = Background(world.listener.run)
    thread.start()
    world.put(ask_part(world.handle, world.content()))
    if world.rainbow.boxes is not None:
        eventually(lambda: world.canceled, "it has heard")
    world.stop.set("the test is over")
    thread.end()
