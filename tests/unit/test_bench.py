"""What `make bench` says of the figures that it measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> Any:
    """A module of bench/, which is a folder of scripts and not installed (see bench/run.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module(f"bench.{name}")


figures, throughput, senders = load("figures"), load("throughput"), load("senders")


@pytest.mark.parametrize(
    ("value", "at_least", "verdict"),
    [(0.2, False, "met"), (0.21, False, "MISSED"), (0.2, True, "met"), (0.19, True, "MISSED")],
)
def test_a_goal_is_a_ceiling_or_a_floor(value: float, at_least: bool, verdict: str) -> None:
    """And reaching it exactly is enough."""
    figure = figures.Figure("figure", value, "s", 0.2, at_least=at_least)
    assert figure.verdict.value == verdict
    assert figure.as_json()["verdict"] == verdict


def test_the_table_has_a_line_for_each_figure_with_its_goal_and_verdict() -> None:
    """What has no goal has no verdict; columns stand below each other."""
    rows = [
        figures.Figure("agent", 301.7, "jobs/s", 250.0, at_least=True, values=(250.0, 400.0)),
        figures.Figure("bare loop", 512.0, "jobs/s", others=0.07, load=1.26, note="quiet"),
    ]
    header, agent, bare = figures.header(), *map(figures.line, rows)
    assert " ".join(agent.split()) == "agent 302 jobs/s >= 250 jobs/s met 250 - 400"
    assert " ".join(bare.split()) == "bare loop 512 jobs/s 7% 1.3 quiet"
    assert header.index("VALUE") == agent.index("302") == bare.index("512")


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_short_number_is_within_a_hundredth_of_the_value(value: float) -> None:
    """And has no exponent where people read it."""
    text = figures.short(value)
    assert float(text) == pytest.approx(value, rel=0.01)
    assert "e" not in text or value < 1e-3


@given(
    st.lists(
        st.builds(
            throughput.Round,
            bare=st.floats(100, 1000),
            unvalidated=st.none(),
            ours=st.floats(100, 1000),
            others=st.floats(0, 1),
        ),
        min_size=1,
    )
)
def test_a_rate_is_of_quiet_rounds_where_there_are_enough(rounds: list[Any]) -> None:
    """Of all of them otherwise, and how many were quiet is said."""
    quiet = [each for each in rounds if each.others <= throughput.QUIET]
    ours, bare, ratio = throughput.summary("stopped", rounds, 0.0)
    chosen = quiet if len(quiet) >= throughput.MIN_ROUNDS else rounds
    assert ours.values == tuple(each.ours for each in chosen)
    assert bare.goal is None
    assert ratio.values == tuple(each.ours / each.bare for each in chosen)
    assert ours.note == f"{len(quiet)} of {len(rounds)} rounds were quiet"


def test_a_ratio_is_taken_round_by_round_and_also_flag_for_flag() -> None:
    """A minute in which everything is slow changes no ratio."""
    rounds = [throughput.Round(1000, 2000, 800, 0.0), throughput.Round(100, 200, 80, 0.0)]
    names = {each.name: each for each in throughput.summary("running", rounds, 0.0)}
    assert names["agent / bare loop, running"].values == (0.8, 0.8)
    assert names["agent / bare loop, flag for flag, running"].values == (0.4, 0.4)
    assert names["bare submit loop, unvalidated, running"].value == 1100


def test_a_figure_says_what_it_was_in_an_earlier_run() -> None:
    """And one that was not measured then says nothing."""
    figure = figures.Figure("start", 0.5, "s", note="5 starts")
    assert figures.compared(figure, {"start": 0.4}).note == "5 starts; was 0.4: x1.25"
    assert figures.compared(figure, {"idle": 0.4}) == figure


def test_figures_can_be_written_as_json() -> None:
    """With all that was seen, to draw the curve."""
    figure = figures.Figure("idle", 0.3, "%", 0.5, values=(0.2, 0.4))
    assert json.loads(json.dumps(figure.as_json()))["values"] == [0.2, 0.4]


def test_the_time_of_a_log_entry_is_utc() -> None:
    """To the millisecond, whatever the time zone of the machine."""
    moment = load("agents").moment
    assert moment({"time": "2024-05-17T10:00:00.250Z"}) == 1715940000.25


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(1, 1000)), min_size=1))
def test_what_senders_cost_is_compared_pair_by_pair(rates: list[tuple[float, float]]) -> None:
    """A machine that is slow for a while is slow in both rounds of a pair."""
    pairs = [
        {True: senders.Round(with_, 2.0, 0.05), False: senders.Round(without, 1.0, 0.5)}
        for with_, without in rates
    ]
    found = {each.name: each for each in senders.summary(pairs, 1.0)}
    ratio = found["with handles / without"]
    assert (ratio.goal, ratio.at_least) == (0.95, True)
    assert ratio.values == tuple(with_ / without for with_, without in rates)
    assert ratio.note == f"0 of {len(rates)} pairs were quiet"
    assert found["agent's processor time a job, with"].value == 2.0
