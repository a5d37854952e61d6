"""Asking the cluster that has a job, over a rainbow that loses things and denies in error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import RainbowAgentError, RequestDenied, Transient, Unavailable
from rainbow_agent.fleet.messages import asking, rows
from rainbow_agent.fleet.messages.answers import seal_answer
from rainbow_agent.fleet.messages.asking import Asker
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH
from rainbow_agent.fleet.messages.keys import mac
from rainbow_agent.fleet.messages.rows import Message
from rainbow_agent.fleet.messages.sender_files import InboxAccess, sender_keys
from rainbow_agent.fleet.messages.taking import BELIEVED_DENIALS, take
from rainbow_agent.jobspec.handle import find
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.runtime.settings import Settings, load
from rainbow_agent.runtime.stop import Stop
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.senders import CLUSTER, make_sender


class Rainbow(FakeScheduler):
    """The cluster's agent answers at once what it gets; the first `losses` messages are lost."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.boxes = {}
        self.losses, self.asked = losses, list[Mapping[str, Any]]()
        self.answers: Any = None

    def send_message(self, token: str, message: Message) -> bool:
        """As rainbow, which says that it has taken it."""
        if self.losses:
            self.losses -= 1
            return True
        (part,) = message.parts
        self.asked.append(rows.unpack(part.body))
        self.post(message.by, self.answers(message, self.asked[-1]))
        return True


class World:
    """A sender, and a job of theirs."""

    def __init__(self, folder: Path, losses: int) -> None:
        reply_within = "0.5" if losses > 1 else "20"
        self.rainbow = Rainbow(losses)
        given = self.rainbow.register("inbox-alice", REGISTRATION_SECRET, INBOX_GRAPH)
        self.rainbow.register(CLUSTER, REGISTRATION_SECRET, "{}")
        self.settings: Settings = load(
            {
                "HOME": str(folder),
                "RAINBOW_SENT_DIR": str(folder / "sent"),
                "RAINBOW_CONFIG": str(folder / "none.yaml"),
                "RAINBOW_TOKEN": "token",
                "RAINBOW_REPLY_WITHIN": reply_within,
            }
        )
        access = InboxAccess("inbox-alice", "rainbow:1", given.secret, given.token)
        self.sender = make_sender(folder / "sent", access)
        keys = sender_keys(folder / "sent").public()
        name, prepared = self.sender.prepare({"version": 1, "tasks": []}, "job", keys, 60.0)
        handle = find(to_wire(prepared))
        assert handle is not None
        self.handle = handle
        self.sender.store.assigned(name, CLUSTER)
        self.rainbow.answers = self.answer

    def answer(self, asked: Message, content: Mapping[str, Any]) -> Message:
        """What the cluster's agent says."""
        body = rows.pack({"text": content["ask"]})
        sealed = seal_answer(self.handle, content["counter"], 5, body)
        signed = rows.signed(asked.by, CLUSTER, rows.Kind.ANSWER, self.handle.id, sealed)
        proof = mac(self.handle.nonce, signed)
        part = rows.Part(rows.Kind.ANSWER, self.handle.id, sealed, proof)
        return Message(asked.by, CLUSTER, (part,))

    def ask(self, *contents: str) -> list[str]:
        """The texts of the answers."""
        job = self.sender.store.job(self.handle.id)
        assert job is not None
        asker = Asker(self.sender, self.settings)
        found = asker.answers(self.rainbow, job, [{"ask": each} for each in contents], Stop())
        return [each["text"] for each in found]


@pytest.fixture
def losses() -> int:
    return 0


@pytest.fixture
def world(tmp_path: Path, losses: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(asking, "LOOK_S", 0.05)
    found = World(tmp_path, losses)
    with closing(found.sender.store):
        yield found


def test_what_is_answered_is_asked_once(world: World) -> None:
    """Each answer goes to its own question."""
    assert world.ask("logs", "explain") == ["logs", "explain"]
    assert [each["ask"] for each in world.rainbow.asked] == ["logs", "explain"]


@pytest.mark.parametrize("losses", [1])
def test_what_rainbow_lost_is_asked_again(world: World) -> None:
    """It says that it took a message also where it could not store it; the others are not asked."""
    assert world.ask("logs", "explain") == ["logs", "explain"]
    assert [each["ask"] for each in world.rainbow.asked] == ["explain", "logs"]


@pytest.mark.parametrize("losses", [99])
def test_a_cluster_that_does_not_answer_is_called_so(world: World) -> None:
    """After the time for it."""
    with pytest.raises(RainbowAgentError, match=r"has not answered for 0\.5 s"):
        world.ask("logs")


def test_a_denial_is_believed_when_it_comes_again_and_again(world: World) -> None:
    """Rainbow denies what it could not look up; one answer between two denials ends the count."""

    def denied() -> None:
        for method in ("messages", "receive"):
            world.rainbow.fail(method, RequestDenied("request denied"))
        take(world.sender, world.rainbow, world.settings)

    for _ in range(BELIEVED_DENIALS - 1):
        with pytest.raises(Unavailable):
            denied()
    world.rainbow._faults.clear()
    take(world.sender, world.rainbow, world.settings)
    for number in range(BELIEVED_DENIALS):
        with pytest.raises(RainbowAgentError) as caught:
            denied()
        assert isinstance(caught.value, Transient) == (number < BELIEVED_DENIALS - 1)
