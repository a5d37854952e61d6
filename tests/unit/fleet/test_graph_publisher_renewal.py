"""Another graph of the cluster: a new registration, or replaced in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.model import Offer, Refusal
from rainbow_agent.fleet.graph_publisher import RENEW_INTERVAL_S
from rainbow_agent.inventory.survey import NodeAnswer
from support.graph_publisher import OWN_TOKEN, SHARED_TOKEN, Harness
from support.ledger import checked_ledger
from support.nodes import FakeExtractor, node_json, views


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


def differing() -> FakeExtractor:
    """Two kinds of nodes."""
    ranks = FakeExtractor()
    ranks.answers[1] = NodeAnswer(1, node_json("blue-1", packages=["ior@3.3.0"]))
    ranks.packages = ("ior@4.0.0",)
    return ranks


def test_another_shape_is_a_new_registration_where_the_token_is_shared(harness: Harness) -> None:
    """The server cannot change a graph that it has; another secret of ours is not noticed."""
    old = harness.sync()
    harness.is_now(views(3))
    new = harness.sync()
    assert new.registration != old.registration
    current = harness.ledger.current_registration()
    assert current is not None
    assert current.id == new.registration
    assert harness.is_true()


def test_another_shape_is_replaced_in_place_where_the_token_is_our_own(harness: Harness) -> None:
    """Those who submit to us keep their token."""
    harness.store.says = OWN_TOKEN
    old = harness.sync()
    harness.sent()
    harness.is_now(views(3), ["ior@3.3.0"])
    assert harness.sync() == old
    assert "register" not in harness.sent()
    assert harness.is_true()


def test_without_a_registration_secret_the_graph_is_replaced_in_place(harness: Harness) -> None:
    """A cluster that could not come back does not leave."""
    old = harness.sync()
    harness.restart(secret="")
    harness.is_now(views(3))
    assert harness.sync() == old
    assert harness.is_true()


def test_a_registration_secret_that_rainbow_no_longer_takes_costs_nothing(harness: Harness) -> None:
    """It is tried before the cluster leaves."""
    old = harness.sync()
    harness.restart(secret="changed-over-there")
    harness.is_now(views(3))
    harness.sent()
    assert harness.sync() == old
    assert harness.sent()["register"] == 1
    assert harness.is_true()


def test_while_jobs_wait_to_be_accepted_the_registration_stays(harness: Harness) -> None:
    """Under another one they would come again, as other jobs."""
    old = harness.sync()
    harness.ledger.record_offers(old.registration, [Offer(1, "job", "blue", "nonsense")], 1.0)
    harness.is_now(views(3))
    assert harness.sync() == old
    assert not harness.is_true()
    (key,) = harness.ledger.unplanned()
    harness.ledger.record_plans([], [Refusal(key, "nonsense")], 2.0)
    assert harness.sync() == old, "not sent to rainbow yet"
    harness.ledger.mark_accepted(old.registration, [1], 3.0)
    assert harness.sync() != old
    assert harness.is_true()


def test_nodes_that_come_and_go_renew_the_graph_not_all_the_time(harness: Harness) -> None:
    """The last word counts, a little later."""
    harness.sync()
    harness.is_now(views(3))
    harness.sync()
    harness.is_now(views(2))
    harness.sent()
    harness.sync()
    assert harness.sent() == {}
    harness.clock.advance(RENEW_INTERVAL_S)
    harness.sync()
    assert harness.is_true()


@pytest.mark.parametrize("token", [SHARED_TOKEN, OWN_TOKEN])
def test_subsystems_of_several_vertices_get_a_fresh_graph(harness: Harness, token: str) -> None:
    """The real server keeps edges to vertices that were deleted."""
    harness.store.says = token
    harness.is_now(views(2), ranks=differing())
    harness.sync()
    other = differing()
    other.packages = ("ior@4.1.0",)
    harness.is_now(views(2), ranks=other)
    harness.rainbow.calls.clear()
    harness.sync()
    assert harness.is_true()
    calls = harness.sent()
    assert "deregister" in calls or calls["delete_subsystem"] > 1


def test_software_that_is_gone_takes_a_fresh_graph(harness: Harness) -> None:
    """Deleting a subsystem does not delete what it offered, on the real server."""
    harness.store.says = OWN_TOKEN
    harness.is_now(views(2), ["ior@3.3.0"])
    harness.sync()
    harness.is_now(views(2))
    harness.sync()
    assert harness.is_true()
