"""When rainbow is asked again: jitter, doubling, and patience after the last work."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.runtime.backoff import Backoff

LIMITS = st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 100.0)).map(sorted)
MOVES = st.lists(st.sampled_from(["worked", "idled", "failed"]), max_size=40)


def move(backoff: Backoff, name: str, now: float) -> None:
    if name == "worked":
        backoff.worked(now)
    elif name == "idled":
        backoff.idled(now)
    else:
        backoff.failed()


@given(LIMITS, MOVES, st.integers(), st.floats(0.0, 60.0))
def test_the_cap_stays_within_its_limits(
    limits: list[float], moves: list[str], seed: int, step: float
) -> None:
    """Whatever happens the cap is between least and most, and a wait between 0 and the cap."""
    least, most = limits
    backoff, now = Backoff(least, most, random.Random(seed)), 0.0
    for name in moves:
        move(backoff, name, now)
        now += step
        assert least <= backoff.cap <= most
        assert 0.0 <= backoff.wait() <= backoff.cap


@given(LIMITS)
def test_idle_doubles_up_to_the_most(limits: list[float]) -> None:
    """Without any work the cap doubles with each empty answer until it is the most."""
    least, most = limits
    backoff, caps = Backoff(least, most), []
    for _ in range(20):
        backoff.idled(0.0)
        caps.append(backoff.cap)
    assert caps == [min(least * 2 ** (n + 1), most) for n in range(20)]


@given(LIMITS, MOVES)
def test_work_brings_the_cap_down_at_once(limits: list[float], moves: list[str]) -> None:
    """One job is enough to be quick again, however long it was idle or broken."""
    least, most = limits
    backoff = Backoff(least, most)
    for name in moves:
        move(backoff, name, 0.0)
    backoff.worked(0.0)
    assert backoff.cap == least


def test_it_stays_quick_for_a_while_after_work() -> None:
    """Work comes in bursts: empty answers slow it down only when the linger is over."""
    backoff = Backoff(0.25, 5.0)
    backoff.worked(100.0)
    for second in range(11):
        backoff.idled(100.0 + second)
        assert backoff.cap == 0.25
    backoff.idled(100.0 + Backoff.LINGER_S + 0.5)
    assert backoff.cap == 0.5


def test_a_failure_ends_the_linger() -> None:
    """The other side is not well: it backs off at once, also right after work."""
    backoff = Backoff(0.25, 5.0)
    backoff.worked(100.0)
    backoff.failed()
    assert backoff.cap == 0.5
    backoff.idled(100.1)
    assert backoff.cap == 1.0


def test_jitter_is_full() -> None:
    """Waits fill the whole range from 0 to the cap, so that agents do not fall into step."""
    backoff = Backoff(8.0, 8.0, random.Random(1))
    eighths = {int(backoff.wait()) for _ in range(500)}
    assert eighths == set(range(8))


def test_agents_do_not_share_their_jitter() -> None:
    """Two agents with the same settings wait differently."""
    first, second = Backoff(1.0, 5.0), Backoff(1.0, 5.0)
    assert [first.wait() for _ in range(8)] != [second.wait() for _ in range(8)]
