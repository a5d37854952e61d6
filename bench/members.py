"""Ten thousand light members of one rainbow: what they ask of it, and how long a job waits.

    PYTHONPATH=.:tests python -m bench.members [--members 10000] [--minutes 1]

A member here is a few coroutines that poll and report by the agent's own rule (`runtime/pace.py`)
and do nothing with a job but to take it. All are in one process and share 64 connections; the real
rainbow is a process beside it, on loopback. Stops by itself. docs/scale.md says what it shows.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import grpc.aio
import psutil

from bench import machine
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.stubs import rainbow_pb2
from rainbow_agent.fleet.reporter import MIN_REPORT_INTERVAL_S
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.runtime.settings import Settings
from support.servers import JOBSPEC, SchedulerKind, SchedulerProcess, make_graph, running_scheduler

CONNECTIONS: Final = 64
#: Calls under way at a time where it is measured how many rainbow answers.
FLOOD_WIDTH: Final = 16
FLOOD_S: Final = 10.0
#: Jobs, one after the other, and how many a second.
JOBS: Final = 300
JOBS_PER_S: Final = 10.0
#: How long rainbow is away.
AWAY_S: Final = 20.0
#: For so long nothing came for anybody.
LONG_IDLE_S: Final = 3600.0
_SECRET, _TOKEN = "bench-secret", "bench-token"
_TIMEOUT_S = Settings().timeout
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # or all channels would share one connection
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Server:
    """Calls to rainbow, counted by the second in which they were answered."""

    def __init__(self, process: SchedulerProcess) -> None:
        self.process = process
        self._channels = [
            grpc.aio.insecure_channel(process.host, options=[*_OPTIONS, ("bench.number", n)])
            for n in range(CONNECTIONS)
        ]
        self.asked: Counter[int] = Counter()  # by second of the monotonic clock
        self.failed: Counter[str] = Counter()  # by what was the matter
        self._methods: dict[tuple[int, str], Callable[..., Awaitable[Any]]] = {}

    async def call(self, number: int, rpc: Rpc[Any, Any], **fields: Any) -> Any:
        """One call of a member.

        Raises:
            grpc.aio.AioRpcError: rainbow is away, or refuses.
        """
        key = (number % CONNECTIONS, rpc.path)
        if key not in self._methods:
            self._methods[key] = self._channels[key[0]].unary_unary(
                rpc.path,
                request_serializer=rpc.request.SerializeToString,
                response_deserializer=rpc.reply.FromString,
            )
        method = self._methods[key]
        try:
            answer = await method(rpc.request(**fields), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as exc:
            self.failed[f"{exc.code().name}: {(exc.details() or '')[:60]}"] += 1
            if exc.code() is grpc.StatusCode.UNKNOWN:  # rainbow's own refusal
                self.asked[int(time.monotonic())] += 1
            raise
        self.asked[int(time.monotonic())] += 1
        return answer

    def cpu_seconds(self) -> float:
        """Processor time that it has used since it started."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    async def close(self) -> None:
        """End the connections."""
        for channel in self._channels:
            await channel.close()


class Member:
    """One cluster of the fleet, as rainbow sees it."""

    def __init__(self, number: int, server: Server, settings: Settings) -> None:
        self.number, self.name, self.secret = number, f"member-{number}", ""
        self.polled: list[float] = []  # answered polls, by the monotonic clock
        self.waited: list[float] = []  # of its jobs, from the call of SubmitJob on
        self._server, self._settings = server, settings
        self._woken = asyncio.Event()

    async def register(self) -> None:
        """Become a member."""
        answer = await self._call(
            rainbow_rpc.REGISTER, name=self.name, secret=_SECRET, nodes=_GRAPH, subsystem=""
        )
        self.secret = answer.secret

    async def poll(self) -> int:
        """Ask for jobs and accept them; how many came."""
        answer = await self._call(
            rainbow_rpc.RECEIVE_JOBS, cluster=self.name, secret=self.secret, maxJobs=1024
        )
        now = time.monotonic()
        self.polled.append(now)
        if answer.jobs:
            self.waited += [now - float(json.loads(row)["name"]) for row in answer.jobs.values()]
            await self._call(
                rainbow_rpc.ACCEPT_JOBS, cluster=self.name, secret=self.secret, jobids=answer.jobs
            )
        return len(answer.jobs)

    async def polls(self) -> None:
        """The main loop of an agent, as far as rainbow sees it."""
        pace = self._pace(self._settings.poll_min, self._settings.poll_max)
        while True:
            with suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pace.wait(time.monotonic()))
            self._woken.clear()
            began = time.monotonic()
            try:
                if await self.poll():
                    pace.worked(time.monotonic())
                else:
                    pace.idled(time.monotonic() - began)
            except grpc.aio.AioRpcError:
                pace.failed(time.monotonic(), time.monotonic() - began)

    async def reports(self) -> None:
        """The reporter's loop; rainbow may have lost the graph."""
        pace = self._pace(MIN_REPORT_INTERVAL_S, self._settings.report_every)
        wait = pace.wait(time.monotonic())
        while True:
            await asyncio.sleep(wait)
            began = time.monotonic()
            try:
                await self._report()
                pace.idled(time.monotonic() - began)
                wait = max(self._settings.report_every, pace.gap())
            except grpc.aio.AioRpcError as exc:
                if "does not exist" in (exc.details() or ""):
                    with suppress(grpc.aio.AioRpcError):
                        await self._load_graph()
                    wait = self._settings.report_every
                else:
                    pace.failed(time.monotonic(), time.monotonic() - began)
                    wait = pace.wait(time.monotonic())

    async def _report(self) -> None:
        await self._call(
            rainbow_rpc.UPDATE_STATE, cluster=self.name, secret=self.secret, payload=_STATE
        )

    async def _load_graph(self) -> None:
        """What the agent's main loop does when the reporter wakes it, and the report after it."""
        await self._call(rainbow_rpc.LOAD_GRAPH, name=self.name, payload=_GRAPH)
        self._woken.set()
        await self._report()

    def _pace(self, least: float, most: float) -> Pace:
        return Pace(least, most, self.name, now=time.monotonic() - LONG_IDLE_S)

    async def _call(self, rpc: Rpc[Any, Any], **fields: Any) -> Any:
        return await self._server.call(self.number, rpc, **fields)


_GRAPH = make_graph(nodes=1, cores=1)
#: As long as a report of an agent without jobs.
_STATE = json.dumps({f"key_{n}": n for n in range(30)})


async def capacity(server: Server, members: Sequence[Member]) -> tuple[float, float]:
    """Empty polls a second, as fast as they are answered; processor seconds of rainbow for each."""
    until, used, count = time.monotonic() + FLOOD_S, server.cpu_seconds(), 0
    chosen = random.Random(1)

    async def ask() -> None:
        nonlocal count
        while time.monotonic() < until:
            await chosen.choice(members).poll()
            count += 1

    await asyncio.gather(*(ask() for _ in range(FLOOD_WIDTH)))
    return count / FLOOD_S, (server.cpu_seconds() - used) / count


async def idle(server: Server, seconds: float) -> tuple[float, float]:
    """Calls a second, and the share of a core that rainbow used, while nothing comes."""
    began, used = time.monotonic(), server.cpu_seconds()
    await asyncio.sleep(seconds)
    ended = time.monotonic()
    asked = sum(n for second, n in server.asked.items() if began <= second < int(ended))
    return asked / (ended - began), (server.cpu_seconds() - used) / (ended - began)


async def jobs_wait(server: Server, receivers: Sequence[Member]) -> list[float]:
    """How long a job for each of them waits until it is received; sorted."""
    before = [len(receiver.waited) for receiver in receivers]
    for receiver in receivers:
        target = [rainbow_pb2.SubmitJobRequest.Cluster(name=receiver.name, token=_TOKEN)]
        with suppress(grpc.aio.AioRpcError):  # then fewer come, which is said
            await server.call(
                receiver.number,
                rainbow_rpc.SUBMIT_JOB,
                name=str(time.monotonic()),
                clusters=target,
                jobspec=JOBSPEC,
                select_algorithm="random",
            )
        await asyncio.sleep(1 / JOBS_PER_S)
    until = time.monotonic() + 120.0
    while time.monotonic() < until and any(
        len(receiver.waited) == had for receiver, had in zip(receivers, before, strict=True)
    ):
        await asyncio.sleep(0.2)
    return sorted(
        wait
        for receiver, had in zip(receivers, before, strict=True)
        for wait in receiver.waited[had:]
    )


async def restart(server: Server, members: Sequence[Member], until_s: float) -> list[int]:
    """Rainbow is away, and comes back; the calls of each second since, whole seconds."""
    await asyncio.to_thread(server.process.stop)
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(server.process.start)
    back = time.monotonic()
    await asyncio.sleep(until_s)
    late = [m for m in members if m.polled[-1] < back]
    print(f"  members that had not been answered {until_s:.0f} s after it was back: {len(late)}")
    return [server.asked[second] for second in range(int(back), int(time.monotonic()))]


async def simulate(count: int, seconds: float, poll_max: float) -> None:
    """All of it; prints what is found as it is found."""
    settings = replace(Settings(), poll_max=poll_max)
    print(
        f"{count} members; polls every {settings.poll_min:g} to {settings.poll_max:g} s, reports"
        f" every {settings.report_every:g} s; {os.cpu_count()} cores, load {machine.load():.1f}"
    )
    with (
        tempfile.TemporaryDirectory(prefix="rainbow-members-") as folder,
        running_scheduler(
            SchedulerKind.REAL, Path(folder), secret=_SECRET, global_token=_TOKEN
        ) as process,
    ):
        server = Server(process)
        members = [Member(number, server, settings) for number in range(count)]
        await in_turns([member.register for member in members])
        answers, each = await capacity(server, members)
        cores = os.cpu_count() or 1
        print(
            f"capacity: {answers:.0f} empty polls a second with this program beside it;"
            f" {1000 * each:.2f} ms of a core each, so {cores / each:.0f} on {cores} cores"
        )
        loops = [asyncio.create_task(loop()) for m in members for loop in (m.polls, m.reports)]
        await asyncio.sleep(settings.report_every)
        await show(server, members, settings, answers, seconds)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await server.close()


async def show(
    server: Server, members: Sequence[Member], settings: Settings, answers: float, seconds: float
) -> None:
    """The fleet at rest, its jobs, and a restart of rainbow."""
    cores = os.cpu_count() or 1
    rate, used = await idle(server, seconds)
    print(
        f"idle: {rate:.0f} calls a second, {rate / answers:.0%} of the capacity;"
        f" rainbow uses {used / cores:.0%} of {cores} cores"
    )
    print(f"  calls that failed so far: {dict(server.failed.most_common(3)) or 'none'}")
    receivers = random.Random(2).sample(list(members), min(JOBS, len(members) // 2))
    for what in ("where nothing came for long", f"where one came {JOBS / JOBS_PER_S:g} s before"):
        waits = await jobs_wait(server, receivers)
        print(
            f"jobs {what}: {len(waits)} of {len(receivers)} came;"
            f" median {statistics.median(waits):.1f} s, nine of ten within"
            f" {waits[int(len(waits) * 0.9)]:.1f} s, the last after {waits[-1]:.1f} s"
        )
    gaps = [b - a for m in members for a, b in itertools.pairwise(m.polled)]
    print(f"longest time between two polls of a member: {max(gaps):.1f} s")
    whole = 1.2 * max(settings.poll_max, settings.report_every) + 10
    print(f"rainbow away for {AWAY_S:g} s")
    calls = await restart(server, members, whole)
    print(
        f"  calls a second since: most {max(calls)}, {max(calls) / answers:.2f} times the capacity;"
        f" mean {statistics.mean(calls):.0f}"
    )
    print("  " + " ".join(map(str, calls)))


async def in_turns(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """All of them, one after the other: rainbow's graphs are no place for two at once."""
    for call in calls:
        await call()


def main() -> None:
    """Simulate; a look that stops by itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=1.0, help="of the fleet at rest")
    parser.add_argument("--poll-max", type=float, default=Settings().poll_max)
    options = parser.parse_args()
    gc.disable()  # twenty thousand coroutines are much to look through, and end with this
    asyncio.run(simulate(options.members, 60 * options.minutes, options.poll_max))


if __name__ == "__main__":
    main()
