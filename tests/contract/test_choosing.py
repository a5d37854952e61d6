"""Which of the clusters that fit gets a job, over our own scheduler and the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RequestDenied
from rainbow_agent.fleet.choosing import NoClusterFits, Selection, preference
from rainbow_agent.fleet.submission import job_of, send
from rainbow_agent.jobspec.wire import from_wire
from support.destinations import ALL, Destinations, job_text
from support.servers import SchedulerKind, served

#: A job that only red can run.
_ONLY_RED = job_text("{type: node, count: 1, requires: [{name: spack, field: hdf5, min: 1.14.0}]}")


@pytest.fixture(scope="module")
def fleet(kind: SchedulerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Destinations]:
    """Red, pink and green."""
    with served(kind, tmp_path_factory.mktemp("fleet")) as (process, scheduler):
        yield Destinations(process, scheduler)


_PLAIN = job_text("{type: node, count: 1}")


def test_a_named_cluster_gets_it_if_it_fits(fleet: Destinations) -> None:
    """And no other, whatever else would fit."""
    assert {fleet.send(_PLAIN, Selection(cluster="pink")) for _ in range(4)} == {"pink"}
    with pytest.raises(NoClusterFits, match=r"cluster pink does not fit.*these clusters fit: red"):
        fleet.send(_ONLY_RED, Selection(cluster="pink"))
    with pytest.raises(NoClusterFits, match="cluster blue does not fit, or rainbow does not know"):
        fleet.send(_PLAIN, Selection(cluster="blue"))


def test_a_missing_token_is_said_with_its_file_and_where_tokens_come_from(
    fleet: Destinations,
) -> None:
    """Not only that there is none."""
    job = job_of(from_wire(_PLAIN), None)
    with pytest.raises(NoClusterFits) as caught:
        send(
            fleet.scheduler,
            job,
            Selection(),
            tokens={"elsewhere": "t"},
            fallback_token="",
            config_file="/home/alice/rainbow-config.yaml",
        )
    said = str(caught.value)
    assert "green, pink, red" in said
    assert "/home/alice/rainbow-config.yaml has a token for none of them" in said
    assert "it has tokens for: elsewhere" in said
    assert "copy it from there, or set RAINBOW_TOKEN" in said


@pytest.mark.parametrize(
    ("tokens", "fallback", "words"),
    [
        ({"red": "old"}, "wrong", "red (from rainbow-config.yaml)"),
        ({}, "wrong", "red (RAINBOW_TOKEN)"),
    ],
)
def test_a_token_that_rainbow_does_not_take_is_said_with_where_it_is_from(
    fleet: Destinations, tokens: dict[str, str], fallback: str, words: str
) -> None:
    """Never the token itself."""
    with pytest.raises(RequestDenied) as caught:
        send(
            fleet.scheduler,
            job_of(from_wire(_ONLY_RED), None),
            Selection(),
            tokens=tokens,
            fallback_token=fallback,
        )
    assert f"does not take the token for {words}. " in str(caught.value)
    assert "old" not in str(caught.value)


def _prefer(*texts: str) -> Selection:
    return Selection(prefer=tuple(key for text in texts for key in preference(text)))


def test_the_preferred_cluster_gets_it(fleet: Destinations) -> None:
    """The most or the least of what is reported; of equals the next key decides."""
    fleet.report("red", free=100, cost=2.5, same=1, odd=-3, text="a")
    fleet.report("pink", free=101, cost=2.25, same=1, odd=-7.5, text="b")
    fleet.report("green", free=7, cost=2.75, same=1, odd=0)
    assert fleet.send(_PLAIN, _prefer("free")) == "pink"
    assert fleet.send(_PLAIN, _prefer("free:asc")) == "green"
    assert fleet.send(_PLAIN, _prefer("cost:asc")) == "pink"
    assert fleet.send(_PLAIN, _prefer("cost:desc")) == "green"
    assert fleet.send(_PLAIN, _prefer("odd:asc")) == "pink"
    assert fleet.send(_PLAIN, _prefer("odd")) == "green"
    assert fleet.send(_PLAIN, _prefer("same", "cost:asc")) == "pink"
    assert fleet.send(_PLAIN, _prefer("free / cost")) == "pink"
    assert fleet.send(_ONLY_RED, _prefer("free")) == "red"
    for nothing in ("text", "unheard_of"):
        with pytest.raises(NoClusterFits, match=f"reports a number for '{nothing}'"):
            fleet.send(_PLAIN, _prefer(nothing))


def test_the_least_loaded_and_the_cheapest(fleet: Destinations) -> None:
    """The largest share of free cores, then the fewest open jobs; the lowest price."""
    fleet.report("red", cores_free=8, cores_up=100, jobs_open=0, cost_per_node_hour=0.5)
    fleet.report("pink", cores_free=4, cores_up=8, jobs_open=5)
    fleet.report("green", cores_free=2, cores_up=4, jobs_open=3, cost_per_node_hour=0.75)
    assert fleet.send(_PLAIN, _prefer("least-loaded")) == "green"
    assert fleet.send(_PLAIN, _prefer("cheapest")) == "red"


def test_a_draining_cluster_is_not_preferred(fleet: Destinations) -> None:
    """Unless there is no other."""
    fleet.report("red", size=3, draining=1, taking="no, draining")
    fleet.report("pink", size=2, draining=0, taking=1)
    fleet.report("green", size=1)  # an agent that says nothing of it
    assert fleet.send(_PLAIN, _prefer("size")) == "pink"
    assert fleet.send(_PLAIN, _prefer("size:asc")) == "green"
    assert fleet.send(_ONLY_RED, _prefer("size")) == "red"
    fleet.report("red", draining=0, taking=1)
    assert fleet.send(_PLAIN, _prefer("size")) == "red"


def _constraint(*priorities: str) -> Selection:
    text = "".join(
        f"- priority: {number}\n  steps:\n" + "".join(f"  - {step}\n" for step in steps.split("; "))
        for number, steps in enumerate(priorities)
    )
    return Selection(algorithm="constraint", options={"priorities": text})


def test_the_config_files_selection_is_carried_out(fleet: Destinations) -> None:
    """Filters keep, sorts sort, priorities come one after the other, over either server."""
    fleet.report("red", width=10, height=3)
    fleet.report("pink", width=20, height=2)
    fleet.report("green", width=30)
    sent = {
        "filter: 'width > 25'; select: random": "green",
        "filter: 'width > 5'; sort_descending: width; select: first": "green",
        "filter: 'width > 5'; sort_descending: width; select: last": "red",
        "sort_ascending: width; select: first": "red",
        "sort_ascending: height; select: first": "pink",
        "filter: 'width > 5 && height > 2'; select: first": "red",
        "calc: 'area=width*height'; sort_descending: area; select: first": "pink",
        "calc: 'area=width*height'; filter: 'area < 35'; select: first": "red",
    }
    assert {steps: fleet.send(_PLAIN, _constraint(steps)) for steps in sent} == sent
    nobody = "filter: 'width > 99'; select: first"
    assert fleet.send(_PLAIN, _constraint(nobody, "sort_ascending: width; select: first")) == "red"
    with pytest.raises(NoClusterFits, match="none passes the selection `constraint`"):
        fleet.send(_PLAIN, _constraint(nobody))


def test_a_jobspecs_parameters_are_names_in_expressions(fleet: Destinations) -> None:
    """Also of a jobspec that the server's own parser does not take."""
    fleet.report("red", width=10)
    fleet.report("pink", width=20)
    fleet.report("green", width=30)
    jobspec = (
        "version: 1\nattributes: {parameter: {least: 15}}\n"
        "requires: {sw: [{name: spack, field: ior, max: 3.3.0}]}\n"
        "resources: {r: {type: node, count: 1}}\n"
        "tasks:\n- {command: a string, resources: r, requires: sw}\n"
    )
    steps = "filter: 'width > least'; sort_ascending: width; select: first"
    assert fleet.send(jobspec, _constraint(steps)) == "pink"


def test_a_key_goes_to_one_cluster_each_time(fleet: Destinations) -> None:
    """So that what is sent again comes where it was sent first; keys are spread."""
    keys = [f"key-{number}" for number in range(12)]
    first = [fleet.send(_PLAIN, Selection(once=key)) for key in keys]
    assert [fleet.send(_PLAIN, Selection(once=key)) for key in keys] == first
    assert len(set(first)) > 1


def test_the_operators_selection_stays_as_it_is(kind: SchedulerKind, tmp_path: Path) -> None:
    """Without a preference the server selects by its own algorithm, among all that fit."""
    with served(kind, tmp_path) as (process, scheduler):
        fleet = Destinations(process, scheduler)
        assert {fleet.send(_PLAIN, Selection()) for _ in range(40)} == set(ALL)
