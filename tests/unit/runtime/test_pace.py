"""How often a server is asked: by idle time, by its answers, by failures, and spread by name."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.runtime.pace import EARLY_SHARE, SLOWEST, Pace, longest

LIMITS = st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 100.0)).map(sorted)
#: What happens, and after how many seconds.
EVENTS = st.lists(
    st.tuples(st.sampled_from(["worked", "idled", "slow", "failed"]), st.floats(0.0, 600.0)),
    max_size=40,
)


def happen(pace: Pace, what: str, now: float) -> None:
    events: dict[str, Callable[[], None]] = {
        "worked": lambda: pace.worked(now),
        "idled": pace.idled,
        "slow": lambda: pace.idled(30.0),
        "failed": lambda: pace.failed(now),
    }
    events[what]()


@given(LIMITS, EVENTS, st.text(), st.floats(0.0, 1e7))
def test_none_waits_longer_than_it_may(
    limits: list[float], events: list[tuple[str, float]], name: str, now: float
) -> None:
    """Whatever happens: that is what an agent relies on that waits for another one's answer."""
    least, most = limits
    pace = Pace(least, most, name, now=now)
    for what, seconds in events:
        now += seconds
        happen(pace, what, now)
        interval = pace.interval(now)
        slow = what == "slow" or any(each == "slow" for each, _ in events)
        assert least <= interval <= (longest(most, 30.0) * 2 if slow else most)
        assert interval <= SLOWEST * most
        assert 0.0 < pace.wait(now) <= interval * (1 + EARLY_SHARE) * 1.000001


@given(LIMITS, EVENTS)
def test_work_makes_it_quick_at_once(limits: list[float], events: list[tuple[str, float]]) -> None:
    """However long it was idle or broken: between the least and twice that."""
    least, most = limits
    pace, now = Pace(least, most, "blue", now=0.0), 0.0
    for what, seconds in events:
        now += seconds
        happen(pace, "idled" if what == "slow" else what, now)
    pace.worked(now)
    assert least <= pace.interval(now) < max(2 * least, least + 1e-9)


@given(LIMITS, st.floats(0.0, 1e5))
def test_it_waits_a_twentieth_of_the_time_for_which_nothing_came(
    limits: list[float], idle: float
) -> None:
    """Within a factor of two, and within its limits."""
    least, most = limits
    interval = Pace(least, most, "blue", now=0.0).interval(idle)
    assert interval == most or max(least, idle / 20) <= interval
    assert interval == most or interval < 2 * max(least, idle / 20) * 1.000001


def test_slow_answers_make_it_seldom_and_quick_ones_often_again() -> None:
    """Ten times as long as the answers take, on the average."""
    pace = Pace(0.25, 16.0, "blue", now=0.0)
    pace.idled(0.001)
    assert pace.interval(0.0) == 0.25
    for _ in range(40):
        pace.idled(0.4)
    assert pace.interval(0.0) == 4.0
    for _ in range(40):
        pace.idled(0.001)
    assert pace.interval(0.0) == 0.25


def test_one_slow_answer_is_no_slow_server() -> None:
    """A pause of the server's garbage collector hardly counts."""
    pace = Pace(0.25, 16.0, "blue", now=0.0)
    pace.idled(0.1)
    assert pace.interval(0.0) == 0.25


def test_failures_double_it_and_an_answer_ends_that() -> None:
    """At last it tries as seldom as it polls when nothing comes."""
    pace, seen = Pace(0.25, 16.0, "blue", now=0.0), []
    for _ in range(8):
        pace.failed(0.0)
        seen.append(pace.interval(0.0))
    assert seen == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
    pace.idled()
    assert pace.interval(0.0) == 0.25


def test_an_idle_member_does_not_try_more_often_when_the_server_is_away() -> None:
    """Or ten thousand of them would all be there in the moment of its return."""
    pace = Pace(0.25, 16.0, "blue", now=0.0)
    pace.failed(10_000.0)
    assert pace.interval(10_000.0) == 16.0


def polls(name: str, begin: float, until: float, late: float = 0.0) -> list[float]:
    """When an idle member polls, each time a little late."""
    pace, now, seen = Pace(0.25, 16.0, name, now=begin - 1e6), begin, []
    while (now := now + pace.wait(now) + late) < until:
        pace.idled()
        seen.append(now)
    return seen


@given(st.floats(0.0, 1e6), st.text())
def test_an_idle_member_polls_once_in_the_most_seconds(begin: float, name: str) -> None:
    """Whenever it began; a timer that is late does not shift the polls after it."""
    seen = polls(name, begin, begin + 33 * 16.0, late=0.05)
    assert 31 <= len(seen) <= 33
    gaps = [after - before for before, after in itertools.pairwise(seen)]
    assert all(gap == pytest.approx(16.0, abs=0.06) for gap in gaps)


def test_members_are_spread_evenly_though_they_began_together() -> None:
    """Ten thousand that began in one moment: no second has a third more than its share."""
    moments = [polls(f"cluster-{n}", 1000.0, 1033.0)[-1] for n in range(10_000)]
    per_second = Counter(int(moment) % 16 for moment in moments)
    assert len(per_second) == 16
    assert max(per_second.values()) < 10_000 / 16 * 1.33
    assert min(per_second.values()) > 10_000 / 16 * 0.67


def test_quicker_members_meet_the_times_of_slower_ones() -> None:
    """So that a change of pace makes no member poll out of turn."""
    slow, quick = Pace(16.0, 16.0, "blue", now=0.0), Pace(1.0, 16.0, "blue", now=0.0)
    due = slow.wait(0.0)
    now = 0.0
    while now < due - 0.5:
        now += quick.wait(now)
        quick.worked(now)
    assert now == pytest.approx(due)


def test_a_very_slow_server_is_asked_more_seldom_than_an_idle_one() -> None:
    """Up to four times; whoever waits for another one's poll knows by how slow it answers."""
    pace = Pace(0.25, 16.0, "blue", now=0.0)
    for _ in range(40):
        pace.failed(0.0, 3.0)
    assert pace.gap() == pytest.approx(30.0, rel=0.01)
    assert pace.interval(0.0) == 32.0
    assert longest(16.0, 3.0) == pytest.approx(30.0)
    for _ in range(40):
        pace.failed(0.0, 10.0)
    assert pace.interval(0.0) == longest(16.0, 10.0) == 64.0


def test_a_server_that_is_not_there_is_no_slow_one() -> None:
    """It refuses at once: as often as where nothing comes, and no more seldom."""
    pace = Pace(0.25, 16.0, "blue", now=0.0)
    for _ in range(40):
        pace.failed(0.0, 0.001)
    assert pace.interval(0.0) == 16.0


def test_ten_thousand_come_back_as_they_were() -> None:
    """The server was away: no second after it is fuller, and none stays away."""
    back, per_second = 160.0, Counter[int]()
    for n in range(10_000):
        pace, now = Pace(0.25, 16.0, f"cluster-{n}", now=-3600.0), 60.0
        while now < back:
            now += pace.wait(now)
            if 100.0 < now < back:
                pace.failed(now, 0.001)
            else:
                pace.idled(0.001)
        assert now < back + 16.0 * (1 + EARLY_SHARE)
        per_second[int(now - back)] += 1
    assert max(per_second.values()) < 10_000 / 16 * 1.33
