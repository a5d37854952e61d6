"""Graphs that rainbow lost, calls that were lost, crashes in between: the truth arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import ClusterUnknown, RequestDenied, Unavailable
from rainbow_agent.fleet.graph_publisher import RENEW_EVERY
from rainbow_agent.fleet.registration import Doubt
from support.ledger import checked_ledger
from support.nodes import views
from support.publication import OWN_TOKEN, SHARED_TOKEN, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


def test_a_graph_that_was_lost_is_followed_by_the_subsystems(desk: Desk) -> None:
    """Rainbow was restarted with its database."""
    session = desk.sync()
    desk.rainbow.restart(keep_database=True)
    desk.registrar.heal(Doubt(session, ClusterUnknown("cluster blue does not exist")))
    assert desk.sync() is session
    assert desk.is_true()


def test_a_second_doubt_about_the_same_loss_sends_nothing(desk: Desk) -> None:
    """Two threads may have met it."""
    session = desk.sync()
    desk.rainbow.restart(keep_database=True)
    doubt = Doubt(session, ClusterUnknown("cluster blue does not exist"))
    desk.registrar.heal(doubt)
    desk.sync()
    desk.sent()
    desk.registrar.heal(doubt)
    desk.sync()
    assert desk.sent() == {}


def test_a_restored_graph_whose_answer_was_lost_is_not_trusted(desk: Desk) -> None:
    """Nobody knows what is on the server then: it is all sent again."""
    desk.store.says = OWN_TOKEN
    session = desk.sync()
    desk.rainbow.restart(keep_database=True)
    desk.rainbow.fail("restore_graph", Unavailable("deadline exceeded"), after=True)
    doubt = Doubt(session, ClusterUnknown("cluster blue does not exist"))
    with pytest.raises(Unavailable):
        desk.registrar.heal(doubt)
    desk.registrar.heal(doubt)
    desk.sync()
    assert desk.is_true()


def test_rainbow_without_its_database_gets_everything(desk: Desk) -> None:
    """A new registration begins with nothing sent."""
    session = desk.sync()
    desk.rainbow.restart(keep_database=False)
    desk.registrar.heal(Doubt(session, RequestDenied("request denied")))
    desk.sync()
    assert desk.is_true()


LOST = [
    (token, method, call, after)
    for token in (SHARED_TOKEN, OWN_TOKEN)
    for method in ("delete_subsystem", "register_subsystem", "register")
    for call in (1, 2, 3, 5)
    for after in (False, True)
    # The answer to the second Register, after the cluster left, has the secret: it is for a human.
    if (token, method, call, after) != (SHARED_TOKEN, "register", 2, True)
]


@pytest.mark.parametrize(("token", "method", "call", "after"), LOST)
@pytest.mark.parametrize("crash", [False, True])
def test_whatever_call_is_lost_the_truth_arrives(
    desk: Desk, token: str, method: str, call: int, *, after: bool, crash: bool
) -> None:
    """With or without its effect, with or without a restart of the agent after it."""
    desk.store.says = token
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    desk.rainbow.fail(method, Unavailable("deadline exceeded"), call=call, after=after)
    for nodes, packages in ((2, ["ior@4.0.0"]), (3, ["ior@4.0.0"]), (3, ["zlib@1.3"])):
        desk.is_now(views(nodes), packages)
        for _ in range(4):
            try:
                desk.sync()
            except Unavailable:
                if crash:
                    desk.restart()
            except RequestDenied as exc:
                desk.registrar.heal(Doubt(desk.registrar.ensure(), exc))
            desk.clock.advance(RENEW_EVERY)
        assert desk.is_true()


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_while_the_graph_is_replaced_is_not_forgotten(desk: Desk, *, after: bool) -> None:
    """Also if the cluster is again what it was when the agent comes back."""
    desk.store.says = OWN_TOKEN
    desk.sync()
    desk.is_now(views(3))
    desk.rainbow.fail("register_subsystem", Unavailable("killed"), after=after)
    with pytest.raises(Unavailable):
        desk.sync()
    desk.restart()
    desk.is_now(views(2))
    desk.sync()
    assert desk.is_true()
