"""How long the owner of a cluster gets to answer, by how slowly rainbow does."""

from __future__ import annotations

from typing import Any

import pytest

from rainbow_agent.fleet.ownership import Ownership
from rainbow_agent.fleet.ownership_messages import AgentIdentity, OwnershipRecord
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.runtime.setting_types import Secret
from support.common import FakeClock
from support.scheduler import REGISTRATION_SECRET, FakeScheduler


class _Forgetful:
    """No folder: this agent never owned anything."""

    def load(self) -> OwnershipRecord | None:
        return None

    def save(self, ownership_record: OwnershipRecord) -> None:
        pass


@pytest.mark.parametrize(
    ("poll_max", "answers_take", "patience"),
    [
        (0.2, 0.0, 2.0),  # at least that
        (5.0, 0.001, 15.0),  # three polls
        (20.0, 0.001, 40.0),  # one poll, and 20 s that it may be late
        (1.0, 0.3, 9.0),  # three polls of an owner that polls every 3 s for that
        (20.0, 3.0, 50.0),
        (20.0, 60.0, 100.0),  # an owner polls every 80 s at least
    ],
)
def test_it_is_as_long_as_the_owners_polls_are_apart(
    poll_max: float, answers_take: float, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent that asks takes over after that, and not a second before."""
    clock, rainbow = FakeClock(1000.0), FakeScheduler()
    given, receive = rainbow.register("blue", REGISTRATION_SECRET, "{}"), rainbow.receive
    ownership = Ownership(
        scheduler=rainbow,
        store=_Forgetful(),
        token=lambda: given.token,
        identity=AgentIdentity("agent-1", "host-1", 100, 1.0, "/state"),
        poll_max=poll_max,
        clock=clock,
        conditions=Conditions(clock),
    )
    ownership.found("of secret-1", known=False)

    def slowly(*asked: Any) -> Any:
        clock.advance(answers_take)
        return receive(*asked)

    monkeypatch.setattr(rainbow, "receive", slowly)
    session = Session("blue", Secret(given.secret), "of secret-1")
    assert not ownership.resolve(session)
    clock.advance(patience - answers_take - 0.5)
    assert not ownership.resolve(session)
    clock.advance(1.0)
    assert ownership.resolve(session)
