"""Another graph of the cluster: a new registration, or replaced in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.model import Offer, Refusal
from rainbow_agent.fleet.graph_publisher import RENEW_EVERY
from rainbow_agent.inventory.survey import Answer
from support.ledger import checked_ledger
from support.nodes import FakeExtractor, node_json, views
from support.publication import OWN_TOKEN, SHARED_TOKEN, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


def differing() -> FakeExtractor:
    """Two kinds of nodes."""
    ranks = FakeExtractor()
    ranks.answers[1] = Answer(1, node_json("blue-1", packages=["ior@3.3.0"]))
    ranks.packages = ("ior@4.0.0",)
    return ranks


def test_another_shape_is_a_new_registration_where_the_token_is_shared(desk: Desk) -> None:
    """The server cannot change a graph that it has; nobody notices another secret of ours."""
    old = desk.sync()
    desk.is_now(views(3))
    new = desk.sync()
    assert new.registration != old.registration
    current = desk.ledger.current_registration()
    assert current is not None
    assert current.id == new.registration
    assert desk.is_true()


def test_another_shape_is_replaced_in_place_where_the_token_is_our_own(desk: Desk) -> None:
    """Those who submit to us keep their token."""
    desk.store.says = OWN_TOKEN
    old = desk.sync()
    desk.sent()
    desk.is_now(views(3), ["ior@3.3.0"])
    assert desk.sync() == old
    assert "register" not in desk.sent()
    assert desk.is_true()


def test_without_a_registration_secret_the_graph_is_replaced_in_place(desk: Desk) -> None:
    """A cluster that could not come back does not leave."""
    old = desk.sync()
    desk.restart(secret="")
    desk.is_now(views(3))
    assert desk.sync() == old
    assert desk.is_true()


def test_a_registration_secret_that_rainbow_no_longer_takes_costs_nothing(desk: Desk) -> None:
    """It is tried before the cluster leaves."""
    old = desk.sync()
    desk.restart(secret="changed-over-there")
    desk.is_now(views(3))
    desk.sent()
    assert desk.sync() == old
    assert desk.sent()["register"] == 1
    assert desk.is_true()


def test_while_jobs_wait_to_be_accepted_the_registration_stays(desk: Desk) -> None:
    """Under another one they would come again, as other jobs."""
    old = desk.sync()
    desk.ledger.record_offers(old.registration, [Offer(1, "job", "blue", "nonsense")], 1.0)
    desk.is_now(views(3))
    assert desk.sync() == old
    assert not desk.is_true()
    (key,) = desk.ledger.unplanned()
    desk.ledger.record_plans([], [Refusal(key, "nonsense")], 2.0)
    assert desk.sync() == old, "rainbow was not told yet"
    desk.ledger.mark_accepted(old.registration, [1], 3.0)
    assert desk.sync() != old
    assert desk.is_true()


def test_nodes_that_come_and_go_renew_the_graph_not_all_the_time(desk: Desk) -> None:
    """The last word counts, a little later."""
    desk.sync()
    desk.is_now(views(3))
    desk.sync()
    desk.is_now(views(2))
    desk.sent()
    desk.sync()
    assert desk.sent() == {}
    desk.clock.advance(RENEW_EVERY)
    desk.sync()
    assert desk.is_true()


@pytest.mark.parametrize("token", [SHARED_TOKEN, OWN_TOKEN])
def test_subsystems_of_several_vertices_get_a_fresh_graph(desk: Desk, token: str) -> None:
    """The real server keeps edges to vertices that were deleted."""
    desk.store.says = token
    desk.is_now(views(2), ranks=differing())
    desk.sync()
    other = differing()
    other.packages = ("ior@4.1.0",)
    desk.is_now(views(2), ranks=other)
    desk.rainbow.calls.clear()
    desk.sync()
    assert desk.is_true()
    calls = desk.sent()
    assert "deregister" in calls or calls["delete_subsystem"] > 1


def test_software_that_is_gone_takes_a_fresh_graph(desk: Desk) -> None:
    """Deleting a subsystem does not delete what it offered, on the real server."""
    desk.store.says = OWN_TOKEN
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    desk.is_now(views(2))
    desk.sync()
    assert desk.is_true()
