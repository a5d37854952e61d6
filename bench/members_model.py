"""The fleet of bench.members in made-up time: what the rule does where the machine is not busy.

    PYTHONPATH=.:tests python -m bench.members_model [--members 10000] [--cores 2]

Members poll and report by `runtime/pace.py`. The server is a queue: so many cores, and for each
call the processor time that bench.members measured with 10,000 clusters. The same numbers each
time, on any machine, within seconds. Of a server that falls behind it says only that it does.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from rainbow_agent.fleet.reporter import MIN_REPORT_INTERVAL_S
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.runtime.settings import Settings

#: Seconds of a core that rainbow needs for a call, with 10,000 clusters.
POLL_S, REPORT_S, GRAPH_S = 0.00072, 0.00046, 0.0005
IDLE_S, AWAY_S, AFTER_S = 120.0, 20.0, 60.0
JOBS, JOBS_PER_S = 1000, 5.0
_LONG_AGO = -3600.0


@dataclass
class Server:
    """Answers one call a core at a time, in the order in which they come."""

    cores: int
    away: tuple[float, float]  # from when to when
    free: list[float] = field(default_factory=list)  # when each core is
    calls: Counter[int] = field(default_factory=Counter)  # by second
    busy: Counter[int] = field(default_factory=Counter)  # milliseconds of a core, by second

    def answers(self, now: float, seconds: float) -> float | None:
        """When a call of now is answered; None when there is no server."""
        if self.away[0] <= now < self.away[1]:
            return None
        if not self.free:
            self.free = [0.0] * self.cores
        begins = max(now, heapq.heappop(self.free))
        heapq.heappush(self.free, begins + seconds)
        self.calls[int(now)] += 1
        self.busy[int(now)] += round(seconds * 1e6)
        return begins + seconds


class Fleet:
    """The members, and all that happens, in order."""

    def __init__(self, members: int, server: Server, settings: Settings) -> None:
        self._server, self._every = server, settings.report_every
        self._numbers = count()
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self.waiting: dict[int, float] = {}  # member: since when it has a job
        self.waits: list[float] = []
        self.polled: list[list[float]] = [[] for _ in range(members)]
        self._graphs = [0.0] * members  # when each was loaded
        for number in range(members):
            name = f"member-{number}"
            polls = Pace(settings.poll_min, settings.poll_max, name, now=_LONG_AGO)
            reports = Pace(MIN_REPORT_INTERVAL_S, self._every, name, now=_LONG_AGO)
            self.at(polls.wait(0.0), self._poller(number, polls))
            self.at(reports.wait(0.0), self._reporter(number, reports))

    def at(self, when: float, what: Callable[[float], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._due, (when, next(self._numbers), what))

    def run(self, until: float) -> None:
        """All that happens before then."""
        while self._due[0][0] < until:
            now, _, what = heapq.heappop(self._due)
            what(now)

    def _poller(self, number: int, pace: Pace) -> Callable[[float], None]:
        def poll(now: float) -> None:
            answered = self._server.answers(now, POLL_S)
            if answered is None:
                pace.failed(now)
            else:
                self.polled[number].append(answered)
                since = self.waiting.pop(number, None)
                if since is not None:
                    self.waits.append(answered - since)
                    pace.worked(answered)
                else:
                    pace.idled(answered - now)
            then = answered or now
            self.at(then + pace.wait(then), poll)

        return poll

    def _reporter(self, number: int, pace: Pace) -> Callable[[float], None]:
        def report(now: float) -> None:
            answered = self._server.answers(now, REPORT_S)
            if answered is None:
                pace.failed(now)
                self.at(now + pace.wait(now), report)
                return
            pace.idled(answered - now)
            if self._graphs[number] < self._server.away[1] <= now:  # it is unknown: again, with all
                self._graphs[number] = now
                for seconds in (GRAPH_S, POLL_S, REPORT_S):
                    answered = self._server.answers(answered, seconds) or answered
            self.at(answered + max(self._every, pace.gap()), report)

        return report


def main() -> None:
    """Print what the fleet does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--poll-max", type=float, default=Settings().poll_max)
    options = parser.parse_args()
    settings, chosen = replace(Settings(), poll_max=options.poll_max), random.Random(1)
    jobs_end = IDLE_S + JOBS / JOBS_PER_S + 30.0
    back = jobs_end + AWAY_S
    server = Server(options.cores, (jobs_end, back))
    fleet = Fleet(options.members, server, settings)
    capacity = options.cores / POLL_S
    print(f"capacity: {capacity:.0f} empty polls a second")
    fleet.run(IDLE_S)
    calm = range(60, int(IDLE_S))
    rate = statistics.mean(server.calls[second] for second in calm)
    used = statistics.mean(server.busy[second] for second in calm) / 1e6 / options.cores
    print(f"idle: {rate:.0f} calls a second, {used:.0%} of the server's cores")
    for place, number in enumerate(chosen.sample(range(options.members), JOBS)):
        when = IDLE_S + place / JOBS_PER_S
        fleet.at(when, partial(fleet.waiting.__setitem__, number))
    fleet.run(jobs_end)
    waits = sorted(fleet.waits)
    print(
        f"first jobs, nothing came for an hour: {len(waits)} of {JOBS} came; median"
        f" {statistics.median(waits):.1f} s, the last after {waits[-1]:.1f} s"
    )
    fleet.run(back + AFTER_S)
    after = range(int(back), int(back + AFTER_S))
    most = max(server.calls[second] for second in after)
    fullest = max(server.busy[second] for second in after) / 1e6 / options.cores
    late = [polls[-1] for polls in fleet.polled if polls[-1] < back]
    print(
        f"away for {AWAY_S:g} s: {most} calls in the fullest second after it ({fullest:.0%} of the"
        f" cores); {len(late)} members were left out {AFTER_S:g} s later"
    )


if __name__ == "__main__":
    main()
