"""Nodes describe themselves once; an error is distinguished from no answer."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.inventory.survey import (
    MAX_ASK_AGAIN_S,
    MIN_ASK_AGAIN_S,
    Discovery,
    NodeAnswer,
    NodeCondition,
    Survey,
)
from rainbow_agent.runtime.stop import Stop
from support.common import FakeClock
from support.nodes import FakeExtractor, changed, node_json, views


class Harness:
    """A discovery, and all that it talks to."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ranks = FakeExtractor()
        self.kept: dict[int, str] = {}
        self.stop = Stop()
        self.discovery = Discovery(
            extractor=self.ranks, keep=self.kept.__setitem__, clock=self.clock
        )

    def survey(self, nodes: list[NodeView], *, ask_again: Collection[int] = ()) -> Survey:
        """What it finds out about these nodes."""
        return self.discovery.survey(PoolView(tuple(nodes)), self.stop, ask_again=ask_again)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def conditions(survey: Survey) -> list[NodeCondition]:
    return [each.condition for each in survey.nodes]


def test_every_rank_is_asked_at_once_and_only_once(harness: Harness) -> None:
    """What is known is not asked again; all of it is kept as files."""
    first = harness.survey(views(3))
    assert harness.survey(views(3)) == first
    assert harness.ranks.asked == [[0, 1, 2]]
    assert conditions(first) == [NodeCondition.UP] * 3
    assert [each.facts.name for each in first.nodes if each.facts] == ["blue-0", "blue-1", "blue-2"]
    assert sorted(harness.kept) == [0, 1, 2]


def test_what_is_free_makes_no_other_survey(harness: Harness) -> None:
    """A job that starts changes nothing about the cluster."""
    before = harness.survey(views(2))
    assert harness.survey(changed(views(2), 1, cores_free=0)) == before


def test_a_node_that_is_down_is_not_asked_and_does_not_count(harness: Harness) -> None:
    """It is shown as down; when it comes up it is asked, as another machine may have its name."""
    survey = harness.survey(changed(views(2), 1, up=False))
    assert harness.ranks.asked == [[0]]
    assert conditions(survey) == [NodeCondition.UP, NodeCondition.DOWN]
    assert [each.view.rank for each in survey.counted] == [0]
    assert len(harness.survey(views(2)).counted) == 2
    harness.survey(changed(views(2), 1, up=False))
    harness.survey(views(2))
    assert harness.ranks.asked == [[0], [1], [1]]


def test_a_drained_node_is_asked_and_counts(harness: Harness) -> None:
    """Draining passes: the cluster is as large as before, and `status` says what is the matter."""
    survey = harness.survey(changed(views(2), 1, up=False, drained=True))
    assert harness.ranks.asked == [[0, 1]]
    assert conditions(survey) == [NodeCondition.UP, NodeCondition.DRAINED]
    assert len(survey.counted) == 2


def test_a_rank_that_does_not_answer_is_left_out_until_it_does(harness: Harness) -> None:
    """It is asked again later, each time a little later than before."""
    harness.ranks.answers[1] = NodeAnswer(1, problem="no answer within 10 s", silent=True)
    survey = harness.survey(views(2))
    assert conditions(survey) == [NodeCondition.UP, NodeCondition.SILENT]
    assert [each.view.rank for each in survey.counted] == [0]
    assert survey.nodes[1].problem == "no answer within 10 s"
    harness.survey(views(2))
    assert harness.ranks.asked == [[0, 1]]
    for wait in (MIN_ASK_AGAIN_S, MIN_ASK_AGAIN_S * 2, MIN_ASK_AGAIN_S * 4):
        assert harness.discovery.next_due() == pytest.approx(harness.clock.monotonic() + wait)
        harness.clock.advance(wait)
        harness.survey(views(2))
    assert harness.ranks.asked == [[0, 1], [1], [1], [1]]
    del harness.ranks.answers[1]
    harness.clock.advance(MAX_ASK_AGAIN_S)
    assert conditions(harness.survey(views(2))) == [NodeCondition.UP] * 2
    assert harness.discovery.next_due() == float("inf")


def test_the_wait_between_two_attempts_has_a_limit(harness: Harness) -> None:
    """A node that is repaired after a week is found within minutes."""
    harness.ranks.answers[0] = NodeAnswer(0, problem="no answer", silent=True)
    for _ in range(40):
        harness.survey(views(1))
        harness.clock.advance(MAX_ASK_AGAIN_S)
    harness.survey(views(1))
    assert harness.discovery.next_due() - harness.clock.monotonic() <= MAX_ASK_AGAIN_S


@pytest.mark.parametrize(
    "answer",
    [
        NodeAnswer(1, problem="No such file or directory"),
        NodeAnswer(1, "this is no node JSON"),
        NodeAnswer(1, '{"results": {"strange": {}}}'),
    ],
    ids=["no agent there", "no JSON", "other JSON"],
)
def test_a_rank_that_cannot_describe_itself_counts_all_the_same(
    harness: Harness, answer: NodeAnswer, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers and runs jobs; what is not known of it is shown with the reason, once."""
    harness.ranks.answers[1] = answer
    survey = harness.survey(views(2))
    assert conditions(survey) == [NodeCondition.UP] * 2
    assert survey.nodes[1].facts is None
    assert survey.nodes[1].problem
    assert 1 not in harness.kept
    harness.clock.advance(MIN_ASK_AGAIN_S)
    harness.survey(views(2))
    assert len([r for r in caplog.records if "blue-1" in r.getMessage()]) == 1


def test_what_a_node_said_before_is_kept_when_it_cannot_say_it_again(harness: Harness) -> None:
    """A probe that fails once does not change the cluster's graph."""
    before = harness.survey(views(1))
    harness.ranks.answers[0] = NodeAnswer(0, problem="out of memory")
    after = harness.survey(views(1), ask_again=[0, 1])
    assert after.nodes[0].facts == before.nodes[0].facts
    assert after.nodes[0].problem == "out of memory"


def test_everybody_is_asked_again_when_software_changed(harness: Harness) -> None:
    """And what they say now counts."""
    harness.survey(views(2))
    harness.ranks.answers[0] = NodeAnswer(0, node_json("blue-0", packages=["ior@3.3.0"]))
    survey = harness.survey(views(2), ask_again=[0, 1])
    assert harness.ranks.asked == [[0, 1], [0, 1]]
    facts = survey.nodes[0].facts
    assert facts is not None
    assert [package.name for package in facts.packages] == ["ior"]


def test_a_stop_ends_the_questions(harness: Harness) -> None:
    """Nothing is learned, and nothing is made of what is not known."""
    harness.stop.set("the test stops it")
    assert [each.facts for each in harness.survey(views(2)).nodes] == [None, None]


def test_software_on_another_node_is_found_by_looking_there(harness: Harness) -> None:
    """Each change once; what was there when the node was asked is none."""
    harness.ranks.stamped = {0: "a", 1: "a", 2: ""}
    harness.survey(views(3))
    assert harness.discovery.changed_elsewhere(harness.stop) == set()
    harness.ranks.stamped = {0: "a", 1: "b", 2: "a"}
    assert harness.discovery.changed_elsewhere(harness.stop) == {1, 2}
    assert harness.discovery.changed_elsewhere(harness.stop) == set()
    harness.survey(views(3), ask_again={1, 2})
    assert harness.ranks.asked == [[0, 1, 2], [1, 2]]


def test_a_single_node_is_not_looked_at_from_afar(harness: Harness) -> None:
    """The agent runs there and watches its files."""
    harness.survey(views(1))
    assert harness.discovery.changed_elsewhere(harness.stop) == set()
    assert harness.ranks.stamp_looks == 0


def test_a_node_that_is_down_is_remembered_for_what_it_was(harness: Harness) -> None:
    """It counts for nothing, but jobs that need what it has can wait for it."""
    harness.ranks.packages = ("ior@3.3.0",)
    harness.survey(views(2))
    (_, down) = harness.survey(changed(views(2), 1, up=False)).nodes
    assert down.facts is None
    assert down.past is not None
    assert [package.name for package in down.past.packages] == ["ior"]


def test_an_earlier_agents_description_is_remembered_too(harness: Harness) -> None:
    """Unless it is of another machine, or no description."""
    kept = {0: node_json("blue-0"), 1: node_json("red-1"), 2: "{"}
    discovery = Discovery(
        extractor=harness.ranks, keep=harness.kept.__setitem__, clock=harness.clock, recall=kept.get
    )
    nodes = [view for rank in range(4) for view in [changed(views(4), rank, up=False)[rank]]]
    survey = discovery.survey(PoolView(tuple(nodes)), harness.stop)
    assert [each.past is not None for each in survey.nodes] == [True, False, False, False]
