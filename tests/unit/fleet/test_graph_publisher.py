"""What rainbow knows of this cluster is true, and only what changed is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Rejected
from rainbow_agent.fleet.graph_publisher import RENEW_INTERVAL_S, RETRY_PAUSES_S
from support.graph_publisher import OWN_TOKEN, Harness
from support.ledger import checked_ledger
from support.nodes import changed, views


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


def test_after_the_registration_the_subsystems_are_sent(harness: Harness) -> None:
    """Once; the next rounds send nothing."""
    harness.sync()
    count = len(harness.description.subsystems) if harness.description else 0
    assert harness.sent() == {"register": 1, "register_subsystem": count}
    harness.sync()
    assert harness.sent() == {}
    assert harness.is_true()


def test_a_start_that_finds_nothing_changed_sends_nothing(harness: Harness) -> None:
    """The ledger knows what this registration's server has."""
    harness.sync()
    harness.sent()
    harness.restart()
    harness.sync()
    assert harness.sent() == {}


def test_a_package_that_was_installed_is_one_subsystem(harness: Harness) -> None:
    """Added when it is the first, replaced in place later; the cluster's graph stays."""
    harness.sync()
    harness.sent()
    harness.is_now(views(2), ["ior@3.3.0"])
    harness.sync()
    assert harness.sent() == {"register_subsystem": 1}
    harness.is_now(views(2), ["ior@3.3.0", "zlib@1.3"])
    harness.sync()
    assert harness.sent() == {"delete_subsystem": 1, "register_subsystem": 1}
    assert harness.is_true()


def test_what_changed_while_the_agent_was_down_is_sent(harness: Harness) -> None:
    """At the next start, and nothing else."""
    harness.is_now(views(2), ["ior@3.3.0"])
    harness.sync()
    harness.sent()
    harness.restart()
    harness.is_now(views(2), ["ior@4.0.0"])
    harness.sync()
    assert harness.sent() == {"delete_subsystem": 1, "register_subsystem": 1}
    assert harness.is_true()


def test_a_subsystem_that_rainbow_refuses_does_not_cost_the_others(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the rest arrives."""
    harness.rainbow.fail("register_subsystem", Rejected("too odd"))
    harness.sync()
    harness.sync()
    assert (
        len(harness.rainbow.names) == len(harness.description.subsystems) - 1
        if harness.description
        else False
    )
    assert [r.getMessage() for r in caplog.records if "too odd" in r.getMessage()] != []
    assert [c.name for c in harness.conditions.current()] == ["subsystem-refused"]


def test_a_subsystem_that_was_refused_is_offered_again(harness: Harness) -> None:
    """After a while, then less and less often: what refused it may be something between us."""
    description = harness.description
    assert description is not None
    everything = len(description.subsystems)
    first, most = RETRY_PAUSES_S
    harness.rainbow.fail("register_subsystem", Rejected("not now"))
    harness.sync()
    harness.sync()
    before = harness.rainbow.calls["register_subsystem"]
    harness.rainbow.fail("register_subsystem", Rejected("not now"))
    harness.clock.advance(first)
    harness.sync()
    harness.clock.advance(first)
    harness.sync()  # it waits for twice as long now
    assert harness.rainbow.calls["register_subsystem"] == before + 1
    harness.clock.advance(first)
    harness.sync()
    assert len(harness.rainbow.names) == everything
    assert harness.is_true()
    assert harness.conditions.current() == []
    assert first < most


def test_a_graph_that_is_half_replaced_is_not_left_so(harness: Harness) -> None:
    """The second half follows soon, not only when graphs may be renewed again."""
    harness.store.says = OWN_TOKEN
    harness.sync()
    harness.is_now(views(3))
    harness.rainbow.fail("register_subsystem", Rejected("something between us refused it"))
    with pytest.raises(Rejected):
        harness.sync()
    harness.sync()  # jobs are asked for in between
    harness.clock.advance(RETRY_PAUSES_S[0])
    harness.sync()
    assert harness.is_true()


def test_facts_tell_form_size_and_time(harness: Harness) -> None:
    """For `status`: what rainbow has, also when an earlier daemon sent it."""
    harness.sync()
    facts = harness.graph_publisher.facts()
    assert facts is not None
    assert (facts["form"], facts["nodes"], facts["sent"]) == ("full", 2, harness.clock.now())
    assert facts["subsystems"]["hardware"]["form"] == "shared"
    harness.restart()
    harness.sync()
    assert harness.graph_publisher.facts() == facts


def test_facts_are_of_what_rainbow_has(harness: Harness) -> None:
    """Not of what is going to be sent, which is beside it until it is."""
    first = harness.graph_publisher.facts()
    assert first is not None
    assert (first["sent"], first["next"]["parts"]) == (None, ["cluster"])
    harness.sync()
    facts = harness.graph_publisher.facts()
    assert facts is not None
    assert facts["next"] is None
    harness.is_now(views(3))
    changed = harness.graph_publisher.facts()
    assert changed is not None
    assert {**changed, "next": None} == facts
    assert changed["next"]["nodes"] == 3
    assert "cluster" in changed["next"]["parts"]
    harness.clock.advance(RENEW_INTERVAL_S)
    harness.sync()
    facts = harness.graph_publisher.facts()
    assert facts is not None
    assert (facts["nodes"], facts["next"]) == (3, None)


def test_facts_of_what_an_older_version_sent(harness: Harness) -> None:
    """It kept no more than digests: form and size are known from what they match."""
    harness.sync()
    note = dict(harness.ledger.note("published"))
    del note["sent"]
    harness.ledger.put_note("published", note)
    harness.restart()
    harness.sync()
    facts = harness.graph_publisher.facts()
    assert facts is not None
    assert (facts["nodes"], facts["sent"], facts["next"]) == (2, None, None)


def test_nodes_that_come_back_after_a_start_are_waited_for(harness: Harness) -> None:
    """A lead that was replaced is there first: rainbow keeps the graph with all nodes."""
    harness.is_now(views(3))
    harness.sync()
    harness.sent()
    harness.restart()
    harness.arriving = True
    harness.is_now(changed(changed(views(3), 1, up=False), 2, up=False))
    harness.sync()
    assert harness.sent() == {}
    harness.is_now(views(3))
    harness.sync()
    assert harness.sent() == {}, "all are back: nothing was sent, and nothing has to be"
    harness.is_now(changed(views(3), 2, up=False))
    harness.arriving = False
    harness.sync()
    assert harness.sent(), "one does not come back: rainbow hears it"
    assert harness.is_true()


def test_the_last_node_that_comes_back_is_not_overlooked(harness: Harness) -> None:
    """Between one look and the next all are there: what rainbow has is right, and stays."""
    harness.is_now(views(3))
    harness.sync()
    harness.sent()
    harness.restart()
    harness.is_now(changed(views(3), 2, up=False))

    def come() -> bool:
        harness.is_now(views(3))
        return False

    harness.graph_publisher._arriving = come
    harness.sync()
    assert harness.sent() == {}


def test_before_the_first_survey_nothing_is_sent(harness: Harness) -> None:
    """A start with a stored secret continues with jobs at once."""
    session = harness.sync()
    facts = harness.graph_publisher.facts()
    harness.restart()
    harness.description = None
    harness.sent()
    harness.graph_publisher.sync(session, harness.renew)
    assert (harness.sent(), harness.graph_publisher.facts()) == ({}, facts)
