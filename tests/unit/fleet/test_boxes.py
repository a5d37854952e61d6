"""Boxes for messages: the embedded scheduler's, and how a client finds that there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import RequestDenied
from rainbow_agent.fleet.grpc.boxes import from_wire, to_wire
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.stubs import messages_pb2
from rainbow_agent.fleet.messages.rows import MAX_PARTS, Kind, Message, Part
from rainbow_agent.fleet.scheduler_server import boxes, serve
from rainbow_agent.fleet.scheduler_server.boxes import BoxService
from rainbow_agent.fleet.scheduler_server.failure import Failure
from rainbow_agent.fleet.scheduler_server.store import Keys, Store
from support.common import Background, FakeClock, eventually
from support.senders import make_handle
from support.servers import make_graph

KEYS = Keys(token="token", secret="secret")


def message(number: int = 1, *, to: str = "inbox-alice", size: int = 4) -> Message:
    """Something for an inbox."""
    return Message(to, "blue", (Part(Kind.STATE, make_handle(number).id, b"b" * size, b"proof"),))


class World:
    """The service over a database with two inboxes, its clock in the test's hand."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = Store(folder / "r.db"), FakeClock()
        for name in ("inbox-alice", "inbox-bob"):
            self.store.add_cluster(name, KEYS)
        self.service = BoxService(self.store, 100.0, self.clock)

    def send(self, sent: Message, token: str = "token") -> None:
        """As a client."""
        self.service.send(messages_pb2.SendRequest(token=token, message=to_wire(sent)))

    def receive(self, cluster: str = "inbox-alice", wait: float = 0.0) -> list[Message | None]:
        """As a client; what waits."""
        asked = messages_pb2.ReceiveRequest(cluster=cluster, secret="secret", wait=wait)
        return [from_wire(each.message) for each in self.service.receive(asked).messages]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.store.close()


def test_a_message_waits_for_whom_it_is_for(world: World) -> None:
    """In order, and until it is removed; not for anybody else."""
    for number in (1, 2):
        world.send(message(number))
    world.send(message(3, to="inbox-bob"))
    assert world.receive() == [message(1), message(2)]
    asked = messages_pb2.ReceiveRequest(cluster="inbox-alice", secret="secret")
    first = world.service.receive(asked).messages[0].id
    for cluster in ("inbox-bob", "inbox-alice"):
        removal = messages_pb2.RemoveRequest(cluster=cluster, secret="secret", ids=[first])
        world.service.remove(removal)
        assert len(world.receive()) == (2 if cluster == "inbox-bob" else 1)
    assert world.receive("inbox-bob") == [message(3, to="inbox-bob")]


def test_a_box_takes_so_much(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender who never looks does not fill the disk; others have their own."""
    monkeypatch.setattr(boxes, "MAX_BOX_BYTES", 500)
    world.send(message(size=300))
    with pytest.raises(Failure, match="wait for inbox-alice"):
        world.send(message(size=300))
    world.send(message(size=300, to="inbox-bob"))
    assert len(world.receive()) == 1


def test_a_message_that_is_not_taken_is_gone_after_its_time(world: World) -> None:
    """The operator's, whatever agents and senders want."""
    world.send(message(1))
    world.clock.advance(99)
    world.send(message(2))
    assert len(world.receive()) == 2
    world.clock.advance(61)
    world.send(message(3))
    assert world.receive() == [message(2), message(3)]


def test_an_answer_has_so_much(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that there is more."""
    monkeypatch.setattr(boxes, "MAX_ANSWER_BYTES", 100)
    for number in range(3):
        world.send(message(number, size=80))
    asked = messages_pb2.ReceiveRequest(cluster="inbox-alice", secret="secret")
    reply = world.service.receive(asked)
    assert (len(reply.messages), reply.whole) == (1, False)


def test_so_many_wait_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes then is answered at once, and told so."""
    monkeypatch.setattr(boxes, "MAX_WAITING_CALLS", 1)
    heard: list[list[Message | None]] = []
    waiting = Background(lambda: heard.append(world.receive(wait=1000)))
    waiting.start()
    eventually(lambda: world.service._waiting == 1, "one waits")
    asked = messages_pb2.ReceiveRequest(cluster="inbox-bob", secret="secret", wait=1000)
    assert not world.service.receive(asked).waited
    world.send(message(3, to="inbox-bob"))
    world.send(message(1))
    waiting.end()
    assert heard == [[message(1)]]


@pytest.mark.parametrize("parts", [0, MAX_PARTS + 1])
def test_what_is_no_message_is_refused(world: World, parts: int) -> None:
    """Before it is stored."""
    part = message().parts[0]
    with pytest.raises(Failure, match="parts"):
        world.send(Message("inbox-alice", "blue", (part,) * parts))
    assert world.receive() == []


def test_what_a_row_could_not_hold_is_no_message() -> None:
    """Whoever sends something else has it taken away and not read."""
    good = to_wire(message())
    assert from_wire(good) == message()
    for name, value in (("kind", "other"), ("handle", "rb-1")):
        changed = messages_pb2.Message()
        changed.CopyFrom(good)
        setattr(changed.parts[0], name, value)
        assert from_wire(changed) is None
    assert from_wire(messages_pb2.Message(to="a b", by="blue")) is None


def test_a_stop_ends_all_waits(tmp_path: Path) -> None:
    """And whoever waited is not left without an answer for long."""
    running = serve("127.0.0.1:0", "s", "", tmp_path / "r.db")
    with closing(RainbowScheduler(f"127.0.0.1:{running.port}")) as scheduler:
        given = scheduler.register("blue", "s", make_graph())
        waiting = Background(lambda: scheduler.messages("blue", given.secret, 1000.0))
        waiting.start()
        eventually(lambda: running._boxes._waiting == 1, "it waits")
        running.stop()
        waiting.end()
    assert running._boxes._waiting == 0


def test_secrets_and_tokens_are_asked_for(tmp_path: Path) -> None:
    """As for jobs: the token to send, the secret to read and to remove."""
    running = serve("127.0.0.1:0", "s", "", tmp_path / "r.db")
    try:
        with closing(RainbowScheduler(f"127.0.0.1:{running.port}")) as scheduler:
            given = scheduler.register("inbox-alice", "s", make_graph())
            for wrong in ("", "x", given.secret):
                with pytest.raises(RequestDenied):
                    scheduler.send_message(wrong, message())
            for wrong in ("", "x", given.token):
                with pytest.raises(RequestDenied):
                    scheduler.messages("inbox-alice", wrong)
                with pytest.raises(RequestDenied):
                    scheduler.remove_messages("inbox-alice", wrong, [1])
            with pytest.raises(RequestDenied):
                scheduler.send_message(given.token, message(to="inbox-bob"))
            assert scheduler.send_message(given.token, message())
    finally:
        running.stop()


def test_a_server_without_boxes_is_asked_once_for_each_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of it is counted as a call that failed."""
    calls: list[str] = []
    running = serve("127.0.0.1:0", "s", "", tmp_path / "r.db", keep_messages=0)
    scheduler = RainbowScheduler(
        f"127.0.0.1:{running.port}", on_call=lambda name, *_: calls.append(name)
    )
    channel, tried = scheduler._channel, list[str]()
    call = channel.call

    def counted(rpc: Rpc[Any, Any], request: Any, *, wait: float = 0.0) -> Any:
        tried.append(rpc.name)
        return call(rpc, request, wait=wait)

    monkeypatch.setattr(channel, "call", counted)
    try:
        with closing(scheduler):
            assert scheduler.messages("blue", "secret") is None
            assert not scheduler.send_message("token", message())
            scheduler.remove_messages("blue", "secret", [1])
            assert tried == ["Receive"]
            scheduler.close()
            assert not scheduler.send_message("token", message())
            assert tried == ["Receive", "Send"]
        assert calls == []
    finally:
        running.stop()
