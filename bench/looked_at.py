"""What the HTTP side costs without a client, and how quickly it answers one."""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

from bench import machine
from bench.agents import AgentProcess, pause
from bench.figures import Figure
from bench.idle import JOBS, fill
from bench.site import Site
from support.common import eventually

_MIB = 2**20
_SETTLE = 12.0  # seconds until the polls have reached their longest pause
_WATCH = 20.0  # seconds of each turn
_TURNS = 3
_ASKED = 10


def measure(site: Site) -> Iterator[Figure]:
    """In turns: the same agent with and without it; then its answers over many jobs."""
    off = replace(site, environ={**site.environ, "RAINBOW_HTTP": "off"})
    on = replace(site, environ={**site.environ, "RAINBOW_HTTP": "127.0.0.1:0"})
    with off.agent() as agent:
        agent.wait_for("registered")
    folder = agent.state_dir
    fill(folder / "ledger.sqlite", JOBS)
    memory: dict[bool, list[float]] = {True: [], False: []}
    busy: dict[bool, list[float]] = {True: [], False: []}
    load, others = machine.load(), machine.Others()
    for _ in range(site.pick(_TURNS, 1)):
        for looked in (False, True):
            with (on if looked else off).agent(folder) as again:
                resident, share = _idle(again, *site.pick((_SETTLE, _WATCH), (6.0, 6.0)))
            memory[looked].append(resident)
            busy[looked].append(share)
    shared = others.share()
    more = statistics.median(memory[True]) - statistics.median(memory[False])
    yield Figure("http, no client: memory", more, "MiB", 8.0, others=shared, load=load)
    cost = statistics.median(busy[True]) - statistics.median(busy[False])
    note = f"{statistics.median(busy[False]):.2f} % without"
    yield Figure("http, no client: of a core", cost, "%", 0.1, others=shared, load=load, note=note)
    with on.agent(folder) as again:
        again.wait_for("journal_caught_up", again.started)
        yield from _answers(again, site.pick(_ASKED, 3))


def _idle(agent: AgentProcess, settle: float, watch: float) -> tuple[float, float]:
    """Resident MiB and percent of a core of an agent that has nothing to do."""
    agent.wait_for("journal_caught_up", agent.started)
    pause(settle)
    before = agent.cpu_seconds()
    pause(watch)
    share = (agent.cpu_seconds() - before) / watch * 100
    return agent.usage.memory_info().rss / _MIB, share


def _answers(agent: AgentProcess, times: int) -> Iterator[Figure]:
    runtime = agent.state_dir / "runtime.json"

    def address() -> str:
        facts = json.loads(runtime.read_text())
        return str((facts.get("http") or {}).get("address") or "")

    eventually(address, "it serves")
    url = f"http://{address()}"
    for path in ("/livez", "/readyz", "/metrics", "/status.json", "/api/jobs", "/"):
        values = []
        for _ in range(times):
            pause(0.6)  # an answer may be given again for half a second
            began = time.perf_counter()
            with urllib.request.urlopen(url + path, timeout=30) as answer:
                answer.read()
            values.append(time.perf_counter() - began)
        middle = statistics.median(values)
        yield Figure(f"http, {JOBS:,} jobs: GET {path}", middle, "s", values=tuple(values))
    resident = agent.usage.memory_info().rss / _MIB
    yield Figure("http, after it was looked at: memory of the agent", resident, "MiB")
