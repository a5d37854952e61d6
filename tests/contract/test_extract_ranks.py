"""What discovery.Extractor promises, over this machine and over a real Flux of four brokers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rainbow_agent.inventory.early_words import child_environment
from rainbow_agent.inventory.extractors import FluxExtractor, LocalExtractor
from rainbow_agent.inventory.survey import Discovery, Extractor, NodeCondition
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.flux.workload import FluxWorkload
from rainbow_compspec import node
from support.common import FakeClock, eventually
from support.flux import (
    NO_FLUX,
    PrivateFlux,
    private_flux,
)


@dataclass(frozen=True)
class Place:
    """Ranks that can be asked."""

    ranks: tuple[int, ...]
    extractor: Callable[[float], Extractor]  # with a limit a rank, in seconds


def over_flux(flux: PrivateFlux, limit: float) -> FluxExtractor:
    """An extractor for a private instance; its environment has a trap for Python."""
    environ = child_environment({**flux.environ, "PYTHONPATH": "/nowhere:"}, frozenset())
    command = shutil.which("flux") or "flux"
    return FluxExtractor(command, {**environ, "FLUX_URI": flux.uri}, limit)


@pytest.fixture(scope="module", params=["local", pytest.param("flux", marks=pytest.mark.flux)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """This machine, or four brokers on it."""
    if request.param == "local":
        environ = child_environment(os.environ, frozenset())
        yield Place((0,), lambda limit: LocalExtractor(environ, limit))
        return
    if shutil.which("flux") is None:
        pytest.skip(NO_FLUX)
    with private_flux(size=4) as flux:
        yield Place((0, 1, 2, 3), lambda limit: over_flux(flux, limit))


def test_every_rank_describes_its_machine(place: Place) -> None:
    """Node JSON with cores, from each that was asked."""
    answers = list(place.extractor(60.0).ask(place.ranks, Stop()))
    assert [answer.rank for answer in answers] == list(place.ranks)
    assert [answer.problem for answer in answers] == [""] * len(place.ranks)
    for answer in answers:
        facts = node.to_facts(node.loads(answer.text))
        assert facts.cores
        assert facts.name == os.uname().nodename


def test_who_takes_too_long_is_silent(place: Place) -> None:
    """The limit is each rank's own: nothing happens there."""
    answers = list(place.extractor(0.01).ask(place.ranks, Stop()))
    assert [answer.silent for answer in answers] == [True] * len(place.ranks)
    assert all("within 0.01 s" in answer.problem for answer in answers)


def test_nobody_asked_nobody_answers(place: Place) -> None:
    """No process is started for it."""
    assert list(place.extractor(5.0).ask((), Stop())) == []


@pytest.mark.flux
def test_software_on_other_nodes_leaves_a_stamp(tmp_path: Path) -> None:
    """Real brokers, the real stat(1)."""
    command = shutil.which("flux")
    if command is None:
        pytest.skip(NO_FLUX)
    index = tmp_path / "index.json"
    with private_flux(size=2) as flux:
        extractor = FluxExtractor(command, flux.environ, 30.0, [index])
        assert extractor.stamps([0, 1], Stop()) == {0: "", 1: ""}
        index.write_text("{}")
        stamps = extractor.stamps([0, 1], Stop())
        assert stamps[0] == stamps[1] != ""
        index.with_name("new").write_text("[]")
        index.with_name("new").replace(index)
        assert extractor.stamps([1], Stop())[1] != stamps[1]


@pytest.mark.flux
def test_a_broker_that_goes_and_a_node_that_is_drained() -> None:
    """The one leaves the cluster's nodes, the other stays and is shown."""
    if shutil.which("flux") is None:
        pytest.skip(NO_FLUX)
    with private_flux(size=4) as flux:
        workload = FluxWorkload(flux.uri)
        discovery = Discovery(
            extractor=over_flux(flux, 60.0), keep=lambda *_: None, clock=FakeClock()
        )
        try:
            flux.run("flux", "resource", "drain", "1", "a test")
            flux.run("flux", "overlay", "disconnect", "3")

            def settled() -> bool:
                nodes = workload.resources().nodes
                online = {view.rank for view in nodes if view.online}
                return online == {0, 1, 2} and any(view.drained for view in nodes)

            eventually(settled, "Flux knows of both")
            survey = discovery.survey(workload.resources(), Stop())
        finally:
            workload.close()
    conditions = {each.view.rank: each.condition for each in survey.nodes}
    assert (conditions[0], conditions[1], conditions[2]) == (
        NodeCondition.UP,
        NodeCondition.DRAINED,
        NodeCondition.UP,
    )
    assert conditions.get(3, NodeCondition.DOWN) is NodeCondition.DOWN
    assert [each.view.rank for each in survey.counted] == [0, 1, 2]
    assert all(each.facts for each in survey.counted)


@pytest.mark.flux
def test_a_thousand_made_up_nodes_count_without_description() -> None:
    """They have no broker that could be asked; what Flux schedules is there all the same."""
    if shutil.which("flux") is None:
        pytest.skip(NO_FLUX)
    made_up = ("nnodes=1000", "cores-per-node=8", "gpus-per-node=2")
    options = [f"--conf=fake-resources.{each}" for each in made_up]
    with private_flux(options=options) as flux:
        workload = FluxWorkload(flux.uri)
        discovery = Discovery(
            extractor=over_flux(flux, 60.0), keep=lambda *_: None, clock=FakeClock()
        )
        try:
            survey = discovery.survey(workload.resources(), Stop())
        finally:
            workload.close()
    assert len(survey.counted) == 1000
    assert survey.nodes[0].facts is not None
    assert survey.nodes[999].problem == "made up: no broker runs there"
