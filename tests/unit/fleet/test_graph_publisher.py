"""What rainbow knows of this cluster is true, and only what changed is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Rejected
from rainbow_agent.fleet.graph_publisher import OFFER_AGAIN
from support.ledger import checked_ledger
from support.nodes import views
from support.publication import OWN_TOKEN, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


def test_after_the_registration_the_subsystems_are_sent(desk: Desk) -> None:
    """Once; the next rounds send nothing."""
    desk.sync()
    count = len(desk.portrait.subsystems) if desk.portrait else 0
    assert desk.sent() == {"register": 1, "register_subsystem": count}
    desk.sync()
    assert desk.sent() == {}
    assert desk.is_true()


def test_a_start_that_finds_nothing_changed_sends_nothing(desk: Desk) -> None:
    """The ledger knows what this registration's server was told."""
    desk.sync()
    desk.sent()
    desk.restart()
    desk.sync()
    assert desk.sent() == {}


def test_a_package_that_was_installed_is_one_subsystem(desk: Desk) -> None:
    """Added when it is the first, replaced in place later; the cluster's graph stays."""
    desk.sync()
    desk.sent()
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    assert desk.sent() == {"register_subsystem": 1}
    desk.is_now(views(2), ["ior@3.3.0", "zlib@1.3"])
    desk.sync()
    assert desk.sent() == {"delete_subsystem": 1, "register_subsystem": 1}
    assert desk.is_true()


def test_what_changed_while_the_agent_was_down_is_sent(desk: Desk) -> None:
    """At the next start, and nothing else."""
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    desk.sent()
    desk.restart()
    desk.is_now(views(2), ["ior@4.0.0"])
    desk.sync()
    assert desk.sent() == {"delete_subsystem": 1, "register_subsystem": 1}
    assert desk.is_true()


def test_a_subsystem_that_rainbow_refuses_does_not_cost_the_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the rest arrives."""
    desk.rainbow.fail("register_subsystem", Rejected("too odd"))
    desk.sync()
    desk.sync()
    assert len(desk.rainbow.names) == len(desk.portrait.subsystems) - 1 if desk.portrait else False
    assert [r.getMessage() for r in caplog.records if "too odd" in r.getMessage()] != []
    assert [c.name for c in desk.conditions.current()] == ["subsystem-refused"]


def test_a_subsystem_that_was_refused_is_offered_again(desk: Desk) -> None:
    """After a while, then less and less often: what refused it may be something between us."""
    portrait = desk.portrait
    assert portrait is not None
    everything = len(portrait.subsystems)
    first, most = OFFER_AGAIN
    desk.rainbow.fail("register_subsystem", Rejected("not now"))
    desk.sync()
    desk.sync()
    before = desk.rainbow.calls["register_subsystem"]
    desk.rainbow.fail("register_subsystem", Rejected("not now"))
    desk.clock.advance(first)
    desk.sync()
    desk.clock.advance(first)
    desk.sync()  # it waits for twice as long now
    assert desk.rainbow.calls["register_subsystem"] == before + 1
    desk.clock.advance(first)
    desk.sync()
    assert len(desk.rainbow.names) == everything
    assert desk.is_true()
    assert desk.conditions.current() == []
    assert first < most


def test_a_graph_that_is_half_replaced_is_not_left_so(desk: Desk) -> None:
    """The second half follows soon, not only when graphs may be renewed again."""
    desk.store.says = OWN_TOKEN
    desk.sync()
    desk.is_now(views(3))
    desk.rainbow.fail("register_subsystem", Rejected("something between us refused it"))
    with pytest.raises(Rejected):
        desk.sync()
    desk.sync()  # jobs are asked for in between
    desk.clock.advance(OFFER_AGAIN[0])
    desk.sync()
    assert desk.is_true()


def test_facts_tell_form_size_and_time(desk: Desk) -> None:
    """For `status`; what an earlier daemon sent has no time."""
    desk.sync()
    facts = desk.publication.facts()
    assert facts is not None
    assert (facts["form"], facts["nodes"], facts["sent"]) == ("full", 2, desk.clock.now())
    assert facts["subsystems"]["hardware"]["form"] == "shared"
    desk.restart()
    desk.sync()
    again = desk.publication.facts()
    assert again is not None
    assert again["sent"] is None


def test_before_the_first_survey_nothing_is_sent(desk: Desk) -> None:
    """A start with a stored secret goes on with jobs at once."""
    session = desk.sync()
    desk.restart()
    desk.portrait = None
    desk.sent()
    desk.publication.sync(session)
    assert (desk.sent(), desk.publication.facts()) == ({}, None)
