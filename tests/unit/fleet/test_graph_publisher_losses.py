"""Graphs that rainbow lost, calls that were lost, crashes in between: the truth arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import ClusterUnknown, RequestDenied, Unavailable
from rainbow_agent.fleet.graph_publisher import RENEW_INTERVAL_S
from rainbow_agent.fleet.session import SessionError
from support.graph_publisher import OWN_TOKEN, SHARED_TOKEN, Harness
from support.ledger import checked_ledger
from support.nodes import views


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


def test_a_graph_that_was_lost_is_followed_by_the_subsystems(harness: Harness) -> None:
    """Rainbow was restarted with its database."""
    session = harness.sync()
    harness.rainbow.restart(keep_database=True)
    harness.registrar.recover(SessionError(session, ClusterUnknown("cluster blue does not exist")))
    assert harness.sync() is session
    assert harness.is_true()


def test_a_second_doubt_about_the_same_loss_sends_nothing(harness: Harness) -> None:
    """Two threads may have met it."""
    session = harness.sync()
    harness.rainbow.restart(keep_database=True)
    session_error = SessionError(session, ClusterUnknown("cluster blue does not exist"))
    harness.registrar.recover(session_error)
    harness.sync()
    harness.sent()
    harness.registrar.recover(session_error)
    harness.sync()
    assert harness.sent() == {}


def test_a_restored_graph_whose_answer_was_lost_is_not_trusted(harness: Harness) -> None:
    """What is on the server is unknown then: it is all sent again."""
    harness.store.says = OWN_TOKEN
    session = harness.sync()
    harness.rainbow.restart(keep_database=True)
    harness.rainbow.fail("restore_graph", Unavailable("deadline exceeded"), after=True)
    session_error = SessionError(session, ClusterUnknown("cluster blue does not exist"))
    with pytest.raises(Unavailable):
        harness.registrar.recover(session_error)
    harness.registrar.recover(session_error)
    harness.sync()
    assert harness.is_true()


def test_rainbow_without_its_database_gets_everything(harness: Harness) -> None:
    """A new registration begins with nothing sent."""
    session = harness.sync()
    harness.rainbow.restart(keep_database=False)
    harness.registrar.recover(SessionError(session, RequestDenied("request denied")))
    harness.sync()
    assert harness.is_true()


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
    harness: Harness, token: str, method: str, call: int, *, after: bool, crash: bool
) -> None:
    """With or without its effect, with or without a restart of the agent after it."""
    harness.store.says = token
    harness.is_now(views(2), ["ior@3.3.0"])
    harness.sync()
    harness.rainbow.fail(method, Unavailable("deadline exceeded"), call=call, after=after)
    for nodes, packages in ((2, ["ior@4.0.0"]), (3, ["ior@4.0.0"]), (3, ["zlib@1.3"])):
        harness.is_now(views(nodes), packages)
        for _ in range(4):
            try:
                harness.sync()
            except Unavailable:
                if crash:
                    harness.restart()
            except RequestDenied as exc:
                harness.registrar.recover(SessionError(harness.registrar.ensure(), exc))
            harness.clock.advance(RENEW_INTERVAL_S)
        assert harness.is_true()


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_while_the_graph_is_replaced_is_not_forgotten(
    harness: Harness, *, after: bool
) -> None:
    """Also if the cluster is again what it was when the agent comes back."""
    harness.store.says = OWN_TOKEN
    harness.sync()
    harness.is_now(views(3))
    harness.rainbow.fail("register_subsystem", Unavailable("killed"), after=after)
    with pytest.raises(Unavailable):
        harness.sync()
    harness.restart()
    harness.is_now(views(2))
    harness.sync()
    assert harness.is_true()
