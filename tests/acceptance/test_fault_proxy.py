"""A proxy that injects faults stands between agent and rainbow: the end is the same as without it.

Each status of gRPC's to each call that the daemon makes, before and after the server had it, in an
order that a seed gives; and connections that are dropped, delayed and cut, both ways.
"""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import grpc
import pytest

from rainbow_agent.core.errors import Unavailable
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually
from support.fleet import jobspec, task
from support.grpc import STATUSES, CallProxy
from support.outages import expect_in_order, hasty
from support.program import Running
from support.proxy import Proxy
from support.servers import SchedulerKind
from support.site import Site, running_site
from support.tiers import sample

SEED = 75023
#: What the log says of a status that means it, whichever call met it.
NO_ANSWER = "does not answer"


def expect_as_without_faults(site: Site, jobs: int) -> None:
    """Each task ran once, each job was accepted once, and nothing is left anywhere."""
    marks = sorted(f"job {n} {part}" for n in range(1, jobs + 1) for part in ("one", "two"))
    assert sorted(site.written()) == marks
    rows = site.program.rows()
    assert [row.state for row in rows] == [JobState.COMPLETED] * jobs
    assert len({row.name for row in rows}) == jobs
    assert site.fleet.waiting() == []
    with closing(SqliteLedger.open_readonly(site.program.state_dir / "ledger.sqlite")) as ledger:
        for row in rows:
            assert [line.now for line in ledger.story(row.key)].count("accepted") == 1


def send(site: Site, *numbers: int) -> None:
    """Jobs of two tasks, the second after the first; each writes a line."""
    site.fleet.send(
        *(
            jobspec(
                task(site.writes(f"job {n} one"), "one"),
                task(site.writes(f"job {n} two"), "two", depends_on=["one"]),
                name=f"job-{n}",
            )
            for n in numbers
        )
    )


def send_until_all_faults_have_been(site: Site, proxy: CallProxy, last: int) -> int:
    """Send more jobs after job `last`; the number of the last one.

    What rainbow does not list is not accepted: of each fault of AcceptJobs that comes after rainbow
    has let go, the agent learns by the next listing, and needs another job for the next call.
    """
    for number in range(last + 1, last + 1 + 4 * len(STATUSES)):
        if proxy.left() == 0:
            return last
        send(site, number)
        site.program.await_end(number)
        eventually(lambda: not site.fleet.waiting(), "rainbow has let go of it", seconds=60)
        last = number
    return last


def expect_named(agent: Running, *rpcs: Rpc[Any, Any]) -> None:
    """The log has each status of each call, in the words that came with it.

    What means that rainbow does not answer is one sentence for all calls, which names none.
    """
    lines = agent.log().splitlines()
    missing = [
        (str(rpc), code.name)
        for rpc, code in product(rpcs, STATUSES)
        if not any(
            printed(code) in line and (str(rpc) in line or NO_ANSWER in line) for line in lines
        )
    ]
    assert not missing, agent.log()


def says(code: grpc.StatusCode) -> str:
    return f"the proxy says {code.name}"


def printed(code: grpc.StatusCode) -> str:
    """What the log has of it: a time that ran out has words of its own."""
    late = code is grpc.StatusCode.DEADLINE_EXCEEDED
    return f"{NO_ANSWER}: no answer in time" if late else says(code)


def schedule(proxy: CallProxy, rng: random.Random, rpc: Rpc[Any, Any], when: str) -> None:
    """Answer the next calls of a procedure with every status, in an order by chance.

    Args:
        proxy: that does so.
        rng: the chance.
        rpc: the procedure.
        when: `before` the server has them, after it (`both`: each once so), or `either` by chance.
    """
    late = {"before": [False], "both": [False, True]}
    faults = [
        (code, after) for code in STATUSES for after in late.get(when) or [rng.random() < 0.5]
    ]
    rng.shuffle(faults)
    for code, after in faults:
        proxy.fail(rpc, code, says(code), after=after)


@pytest.fixture
def proxied(kind: SchedulerKind, tmp_path: Path) -> Iterator[tuple[Site, CallProxy]]:
    """A site, and a proxy before its rainbow; the agent's program knows only that."""
    with running_site(tmp_path, kind) as site, CallProxy(site.scheduler.host) as proxy:
        # Reports are gathered for a second and spaced: there are many faults to get through.
        site.program.environ |= {"RAINBOW_HOST": proxy.host, **hasty(5.0)}
        yield site, proxy


@pytest.mark.full
def test_every_status_of_every_call(proxied: tuple[Site, CallProxy]) -> None:
    """Whatever a call ends with, the daemon says so, continues by itself, and loses nothing."""
    site, proxy = proxied
    rng = random.Random(SEED)

    # A lost answer to Register costs the secret, which rainbow gives once: another test's matter.
    schedule(proxy, rng, rainbow_rpc.REGISTER, "before")
    schedule(proxy, rng, rainbow_rpc.REGISTER_SUBSYSTEM, "either")
    with site.program.background("start") as agent:
        agent.says("Caught up")
        eventually(site.program.config.exists, "it is registered", seconds=60)
        eventually(lambda: site.fleet.credentials.cluster_secret, "it has its secret")
        assert proxy.left(rainbow_rpc.REGISTER) == 0
        schedule(proxy, rng, rainbow_rpc.RECEIVE_JOBS, "both")
        schedule(proxy, rng, rainbow_rpc.ACCEPT_JOBS, "both")
        schedule(proxy, rng, rainbow_rpc.UPDATE_STATE, "both")
        schedule(proxy, rng, rainbow_rpc.LOAD_GRAPH, "before")  # once it took one, no other is sent
        send(site, *range(1, 5))
        site.program.await_end(4)
        site.scheduler.restart(keep_db=True)  # its graphs are gone: they are loaded again
        eventually(site.fleet.fits, "the graph is there", seconds=100)
        send(site, *range(5, 9))
        site.program.await_end(8)
        jobs = send_until_all_faults_have_been(site, proxy, 8)
        eventually(lambda: proxy.left() == 0, "all faults have been", seconds=100)
        jobs += 2
        send(site, jobs - 1, jobs)
        site.program.await_end(jobs)
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        eventually(
            lambda: proxy.report().get("jobs_completed") == jobs,
            "the last report is the truth",
        )
        eventually(
            lambda: site.program.show("status")["reasons"] == [], "all is well again", seconds=60
        )
        assert agent.stop() == 0, agent.log()
        expect_named(
            agent,
            rainbow_rpc.REGISTER,
            rainbow_rpc.REGISTER_SUBSYSTEM,
            rainbow_rpc.RECEIVE_JOBS,
            rainbow_rpc.ACCEPT_JOBS,
            rainbow_rpc.UPDATE_STATE,
            rainbow_rpc.LOAD_GRAPH,
        )
    expect_as_without_faults(site, jobs)
    expect_in_order(proxy.reports())
    assert set(proxy.report()["jobs"].values()) == {"completed"}


@pytest.mark.full
@pytest.mark.parametrize("code", ["UNAVAILABLE", "INVALID_ARGUMENT", "PERMISSION_DENIED"])
def test_a_status_that_lasts_is_shown_until_it_is_over(
    proxied: tuple[Site, CallProxy], code: str
) -> None:
    """`status` says what is wrong with rainbow for as long as it is, in rainbow's words."""
    site, proxy = proxied
    with site.program.background("start") as agent:
        agent.says("Caught up")
        eventually(site.program.config.exists, "it is registered")
        for rpc in (rainbow_rpc.RECEIVE_JOBS, rainbow_rpc.UPDATE_STATE):
            proxy.fail_on(rpc, grpc.StatusCode[code], "closed for today")
        send(site, 1)

        def reasons() -> set[str]:
            told = site.program.show("status")["reasons"]
            return {each["name"] for each in told if "closed for today" in each["reason"]}

        polls = "rainbow-unreachable" if code == "UNAVAILABLE" else "rainbow-refuses"
        eventually(lambda: reasons() == {polls, "report-undelivered"}, "status says both")
        assert site.program.show("status")["rainbow"]["reachable"] is False
        for rpc in (rainbow_rpc.RECEIVE_JOBS, rainbow_rpc.UPDATE_STATE):
            proxy.fail_on(rpc, None)
        site.program.await_end(1)
        eventually(lambda: site.program.show("status")["reasons"] == [], "status says it is over")
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        assert agent.stop() == 0, agent.log()
    expect_as_without_faults(site, 1)


def test_a_denial_that_does_not_last(proxied: tuple[Site, CallProxy]) -> None:
    """`request denied`, as rainbow says while its database is locked, costs no registration."""
    site, proxy = proxied
    with site.program.background("start") as agent:
        agent.says("Caught up")
        eventually(site.program.config.exists, "it is registered")
        send(site, 1)
        site.program.await_end(1)
        secret = site.fleet.credentials.cluster_secret
        for rpc in (rainbow_rpc.UPDATE_STATE, rainbow_rpc.RECEIVE_JOBS, rainbow_rpc.RECEIVE_JOBS):
            proxy.fail(rpc, grpc.StatusCode.UNKNOWN, "request denied")
        agent.says("Rainbow denied the cluster's secret and accepts it again")
        eventually(lambda: proxy.left() == 0, "all denials have been")
        send(site, 2)
        site.program.await_end(2)
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        assert site.fleet.credentials.cluster_secret == secret
        assert agent.stop() == 0, agent.log()
    expect_as_without_faults(site, 2)


@pytest.mark.parametrize("seed", sample([1, 2], quick=[1]))
def test_drops_delays_and_cuts(kind: SchedulerKind, tmp_path: Path, seed: int) -> None:
    """Connections dropped, delayed, and cut after some bytes, both ways: later, and the same."""
    with running_site(tmp_path, kind) as site, Proxy(site.scheduler.host, seed) as proxy:
        with site.program.background("start", host=proxy.host, timeout=3, poll_max=0.03) as agent:
            agent.says("Caught up")
            eventually(site.program.config.exists, "it is registered")
            agent.says("Registered this cluster's")
            proxy.drop, proxy.delay = 0.2, 0.002
            # All four jobs in one answer are about 3,000 bytes: it must get through now and then.
            proxy.cut_after, proxy.cut_after_sent = 8000, 6000
            proxy.cut_all()  # those that are open have no limit yet
            for n in range(1, 5):
                send(site, n)
                eventually(lambda: proxy.faults >= 2 * n, "there were faults", seconds=60)  # noqa: B023
                site.program.await_end(n)
            eventually(
                lambda: min(proxy.cuts, proxy.cuts_sent, proxy.drops) > 0,
                "of each kind",
                seconds=60,
            )
            proxy.drop = proxy.delay = 0.0
            proxy.cut_after = proxy.cut_after_sent = None
            eventually(lambda: not site.unreported(), "rainbow has the reports", seconds=60)
            eventually(
                lambda: site.fleet.state_holds("jobs_completed == 4"), "reported", seconds=60
            )
            assert agent.stop() == 0, agent.log()
            assert "Traceback" not in agent.log()
        expect_as_without_faults(site, 4)


def install(root: Path, version: int) -> None:
    """Leave spack's database as it is with this ior installed; 0: with none, and no spack."""
    index = root / "opt" / "spack" / ".spack-db" / "index.json"
    if not version:
        shutil.rmtree(root / "opt")
        return
    arch = {"platform": "linux", "platform_os": "ubuntu22.04", "target": {"name": "zen3"}}
    spec = {"name": "ior", "version": f"{version}.0.0", "namespace": "builtin", "hash": "a" * 8}
    entry = {
        "spec": {**spec, "parameters": {}, "arch": arch},
        "path": str(root / "ior"),
        "installed": True,
        "ref_count": 0,
        "explicit": True,
        "installation_time": 1715940000.0,
    }
    index.parent.mkdir(parents=True, exist_ok=True)
    fresh = index.with_suffix(".new")
    fresh.write_text(json.dumps({"database": {"version": "8", "installs": {"a" * 8: entry}}}))
    fresh.rename(index)


def offers(site: Site, version: int) -> bool:
    """Whether rainbow's matcher finds this ior here, and (0) whether it finds none."""
    node = {"type": "node", "count": 1}
    threading.Event().wait(0.1)  # the real server's graphs have no lock (docs/decisions/0005)
    which = {"match": f"{version}.0.0"} if version else {"min": "0.1"}
    wanted = {"name": "spack", "field": "ior", **which}
    job = {**jobspec(task(["true"])), "resources": {"one": {**node, "requires": [wanted]}}}
    with closing(RainbowScheduler(site.scheduler.host)) as scheduler:
        try:
            found = "blue" in scheduler.satisfy(job).clusters
            return found is bool(version) and site.fleet.fits()
        except Unavailable:  # the real server answers so while a graph is replaced
            return False


@pytest.mark.full
@pytest.mark.parametrize("shared", [False, True], ids=["own-token", "shared-token"])
def test_every_status_while_the_cluster_changes(
    kind: SchedulerKind, tmp_path: Path, *, shared: bool
) -> None:
    """Graphs and registrations replaced, each call failing in each way: rainbow ends up right."""
    rng, spack = random.Random(SEED), tmp_path / "spack"
    install(spack, 1)
    token = "for-all" if shared else ""
    environ = {"SPACK_ROOT": str(spack), **hasty(30.0)}
    with (
        running_site(tmp_path, kind, global_token=token, environ=environ) as site,
        CallProxy(site.scheduler.host) as proxy,
        site.program.background("start", host=proxy.host) as agent,
    ):
        agent.says("Registered this cluster's")
        eventually(lambda: offers(site, 1), "it is described")
        used: list[Rpc[Any, Any]] = [rainbow_rpc.DELETE_SUBSYSTEM, rainbow_rpc.REGISTER_SUBSYSTEM]
        if shared:
            used += [rainbow_rpc.DELETE, rainbow_rpc.REGISTER]
        for rpc in used:
            schedule(proxy, rng, rpc, "before" if rpc is rainbow_rpc.REGISTER else "either")
        version = 1
        while proxy.left() and version < 60:
            version += 1
            shown = 0 if version % 3 == 0 else version
            install(spack, shown)
            eventually(lambda: offers(site, shown), f"{shown} is what it has", seconds=90)  # noqa: B023
        assert proxy.left() == 0
        install(spack, 99)
        eventually(lambda: offers(site, 99), "and the last one", seconds=60)
        assert not offers(site, version)
        send(site, 1)
        site.program.await_end(1)
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        eventually(lambda: site.program.show("status")["reasons"] == [], "all is well", seconds=60)
        assert agent.stop() == 0, agent.log()
        expect_named(agent, *used)
        expect_as_without_faults(site, 1)
