"""Nodes describe themselves once; who cannot is told apart from who does not answer."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.inventory.survey import (
    RETRY_LEAST,
    RETRY_MOST,
    Answer,
    Condition,
    Discovery,
    Survey,
)
from rainbow_agent.runtime.stop import Stop
from support.common import FakeClock
from support.nodes import FakeExtractor, changed, node_json, views


class Desk:
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
def desk() -> Desk:
    return Desk()


def conditions(survey: Survey) -> list[Condition]:
    return [each.condition for each in survey.nodes]


def test_every_rank_is_asked_at_once_and_only_once(desk: Desk) -> None:
    """What is known is not asked again; all of it is kept as files."""
    first = desk.survey(views(3))
    assert desk.survey(views(3)) == first
    assert desk.ranks.asked == [[0, 1, 2]]
    assert conditions(first) == [Condition.UP] * 3
    assert [each.facts.name for each in first.nodes if each.facts] == ["blue-0", "blue-1", "blue-2"]
    assert sorted(desk.kept) == [0, 1, 2]


def test_what_is_free_makes_no_other_survey(desk: Desk) -> None:
    """A job that starts changes nothing about the cluster."""
    before = desk.survey(views(2))
    assert desk.survey(changed(views(2), 1, cores_free=0)) == before


def test_a_node_that_is_down_is_not_asked_and_does_not_count(desk: Desk) -> None:
    """It is shown as down; when it comes up it is asked, as another machine may have its name."""
    survey = desk.survey(changed(views(2), 1, up=False))
    assert desk.ranks.asked == [[0]]
    assert conditions(survey) == [Condition.UP, Condition.DOWN]
    assert [each.view.rank for each in survey.counted] == [0]
    assert len(desk.survey(views(2)).counted) == 2
    desk.survey(changed(views(2), 1, up=False))
    desk.survey(views(2))
    assert desk.ranks.asked == [[0], [1], [1]]


def test_a_drained_node_is_asked_and_counts(desk: Desk) -> None:
    """Draining passes: the cluster is as large as before, and `status` says what is the matter."""
    survey = desk.survey(changed(views(2), 1, up=False, drained=True))
    assert desk.ranks.asked == [[0, 1]]
    assert conditions(survey) == [Condition.UP, Condition.DRAINED]
    assert len(survey.counted) == 2


def test_a_rank_that_does_not_answer_is_left_out_until_it_does(desk: Desk) -> None:
    """It is asked again later, each time a little later than before."""
    desk.ranks.answers[1] = Answer(1, problem="no answer within 10 s", silent=True)
    survey = desk.survey(views(2))
    assert conditions(survey) == [Condition.UP, Condition.SILENT]
    assert [each.view.rank for each in survey.counted] == [0]
    assert survey.nodes[1].problem == "no answer within 10 s"
    desk.survey(views(2))
    assert desk.ranks.asked == [[0, 1]]
    for wait in (RETRY_LEAST, RETRY_LEAST * 2, RETRY_LEAST * 4):
        assert desk.discovery.next_due() == pytest.approx(desk.clock.monotonic() + wait)
        desk.clock.advance(wait)
        desk.survey(views(2))
    assert desk.ranks.asked == [[0, 1], [1], [1], [1]]
    del desk.ranks.answers[1]
    desk.clock.advance(RETRY_MOST)
    assert conditions(desk.survey(views(2))) == [Condition.UP] * 2
    assert desk.discovery.next_due() == float("inf")


def test_the_wait_between_two_attempts_has_a_limit(desk: Desk) -> None:
    """A node that is repaired after a week is found within minutes."""
    desk.ranks.answers[0] = Answer(0, problem="no answer", silent=True)
    for _ in range(40):
        desk.survey(views(1))
        desk.clock.advance(RETRY_MOST)
    desk.survey(views(1))
    assert desk.discovery.next_due() - desk.clock.monotonic() <= RETRY_MOST


@pytest.mark.parametrize(
    "answer",
    [
        Answer(1, problem="No such file or directory"),
        Answer(1, "this is no node JSON"),
        Answer(1, '{"results": {"strange": {}}}'),
    ],
    ids=["no agent there", "no JSON", "other JSON"],
)
def test_a_rank_that_cannot_describe_itself_counts_all_the_same(
    desk: Desk, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers and runs jobs; what is not known of it is shown with the reason, once."""
    desk.ranks.answers[1] = answer
    survey = desk.survey(views(2))
    assert conditions(survey) == [Condition.UP] * 2
    assert survey.nodes[1].facts is None
    assert survey.nodes[1].problem
    assert 1 not in desk.kept
    desk.clock.advance(RETRY_LEAST)
    desk.survey(views(2))
    assert len([r for r in caplog.records if "blue-1" in r.getMessage()]) == 1


def test_what_a_node_said_before_is_kept_when_it_cannot_say_it_again(desk: Desk) -> None:
    """A probe that fails once does not change the cluster's graph."""
    before = desk.survey(views(1))
    desk.ranks.answers[0] = Answer(0, problem="out of memory")
    after = desk.survey(views(1), ask_again=[0, 1])
    assert after.nodes[0].facts == before.nodes[0].facts
    assert after.nodes[0].problem == "out of memory"


def test_everybody_is_asked_again_when_software_changed(desk: Desk) -> None:
    """And what they say now counts."""
    desk.survey(views(2))
    desk.ranks.answers[0] = Answer(0, node_json("blue-0", packages=["ior@3.3.0"]))
    survey = desk.survey(views(2), ask_again=[0, 1])
    assert desk.ranks.asked == [[0, 1], [0, 1]]
    facts = survey.nodes[0].facts
    assert facts is not None
    assert [package.name for package in facts.packages] == ["ior"]


def test_a_stop_ends_the_questions(desk: Desk) -> None:
    """Nothing is learned, and nothing is made of what is not known."""
    desk.stop.set("the test stops it")
    assert [each.facts for each in desk.survey(views(2)).nodes] == [None, None]


def test_software_on_another_node_is_found_by_looking_there(desk: Desk) -> None:
    """Each change once; what was there when the node was asked is none."""
    desk.ranks.stamped = {0: "a", 1: "a", 2: ""}
    desk.survey(views(3))
    assert desk.discovery.changed_elsewhere(desk.stop) == set()
    desk.ranks.stamped = {0: "a", 1: "b", 2: "a"}
    assert desk.discovery.changed_elsewhere(desk.stop) == {1, 2}
    assert desk.discovery.changed_elsewhere(desk.stop) == set()
    desk.survey(views(3), ask_again={1, 2})
    assert desk.ranks.asked == [[0, 1, 2], [1, 2]]


def test_a_single_node_is_not_looked_at_from_afar(desk: Desk) -> None:
    """The agent runs there and watches its files."""
    desk.survey(views(1))
    assert desk.discovery.changed_elsewhere(desk.stop) == set()
    assert desk.ranks.stamp_looks == 0


def test_a_node_that_is_down_is_remembered_for_what_it_was(desk: Desk) -> None:
    """It counts for nothing, but jobs that need what it has can wait for it."""
    desk.ranks.packages = ("ior@3.3.0",)
    desk.survey(views(2))
    (_, down) = desk.survey(changed(views(2), 1, up=False)).nodes
    assert down.facts is None
    assert down.past is not None
    assert [package.name for package in down.past.packages] == ["ior"]


def test_an_earlier_agents_description_is_remembered_too(desk: Desk) -> None:
    """Unless it is of another machine, or no description."""
    kept = {0: node_json("blue-0"), 1: node_json("red-1"), 2: "{"}
    discovery = Discovery(
        extractor=desk.ranks, keep=desk.kept.__setitem__, clock=desk.clock, recall=kept.get
    )
    nodes = [view for rank in range(4) for view in [changed(views(4), rank, up=False)[rank]]]
    survey = discovery.survey(PoolView(tuple(nodes)), desk.stop)
    assert [each.past is not None for each in survey.nodes] == [True, False, False, False]
