"""What rainbow_agent.ports.Scheduler promises, over our own scheduler and over the real one."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from rainbow_agent.adapters import rainbow_rpc
from rainbow_agent.adapters.rainbow_grpc import RainbowScheduler
from rainbow_agent.adapters.stubs import rainbow_pb2
from rainbow_agent.errors import (
    ClusterExists,
    ClusterUnknown,
    Rejected,
    RequestDenied,
    Unavailable,
    UsageError,
)
from rainbow_agent.jobspec import wire
from rainbow_agent.model import Credentials
from rainbow_agent.testing_servers import (
    SchedulerKind,
    SchedulerProcess,
    make_graph,
    make_subsystem,
    running_scheduler,
)

KINDS = [
    pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
    pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
]
JOBSPEC = wire.to_wire({"version": 1, "tasks": [{"name": "t", "command": ["true"]}]})
NODES_FREE = "- priority: 1\n  steps:\n  - filter: 'nodes_free > 0'\n  - select: first\n"

#: Each breaks something: SQL in double quotes, SQL text, YAML 1.1, YAML 1.2, JSON, a terminal.
NASTY = [
    'he said "hi"',
    "it's",
    "'; DROP TABLE jobs; --",
    '"; DROP TABLE jobs; --',
    '") , ("x", "y", "z"); --',
    "two\nlines",
    "#!/bin/bash\n\techo $x   \n\n  done\n",
    " lead",
    "trail ",
    "\tleading tab\nthen more",
    "\n",
    "\n\nfoo\n\n",
    "cr\r\nlf",
    "tab\tinside",
    "nul\0inside",
    "\x1b[31mred",
    "back\\slash \\n \\u0000",
    "ünïcödé \u2028 \x85 \ufeff",
    "\N{GRINNING FACE}",
    "",
    "y",
    "1e3",
    "0o17",
    "=",
    "<<",
    "null",
    "2024-01-01",
    "k: v # no comment",
    "- x",
    "%s {a} [b] &c *d !e |f >g @h `i`",
    "x" * 5000,
]


def start(
    kind: SchedulerKind, factory: pytest.TempPathFactory, global_token: str = ""
) -> Iterator[tuple[SchedulerProcess, RainbowScheduler]]:
    if kind.missing():
        pytest.skip(kind.missing())
    with (
        running_scheduler(kind, factory.mktemp(kind.value), global_token=global_token) as process,
        closing(RainbowScheduler(process.host)) as scheduler,
    ):
        yield process, scheduler


def restart(own: tuple[SchedulerProcess, RainbowScheduler], *, keep_db: bool) -> None:
    """Restart the server and call until the client has noticed: one Unavailable is allowed."""
    process, scheduler = own
    process.restart(keep_db=keep_db)
    with contextlib.suppress(Unavailable):
        scheduler.satisfy({})
    scheduler.satisfy({})


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SchedulerProcess, RainbowScheduler]]:
    """One running scheduler for the tests that do not restart it; clusters keep them apart."""
    yield from start(request.param, tmp_path_factory)


@pytest.fixture(params=KINDS)
def own(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SchedulerProcess, RainbowScheduler]]:
    """A running scheduler for one test."""
    yield from start(request.param, tmp_path_factory)


@pytest.fixture
def scheduler(shared: tuple[SchedulerProcess, RainbowScheduler]) -> RainbowScheduler:
    return shared[1]


_names = (f"cluster-{n}" for n in itertools.count())


@pytest.fixture
def join(
    shared: tuple[SchedulerProcess, RainbowScheduler],
) -> Callable[..., tuple[str, Credentials]]:
    """Registers a cluster under a name that no other test has."""
    process, scheduler = shared

    def register(graph: str | None = None) -> tuple[str, Credentials]:
        name = next(_names)
        return name, scheduler.register(name, process.secret, graph or make_graph())

    return register


Join = Callable[..., tuple[str, Credentials]]


def test_registration_gives_a_secret_once(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """The first registration of a name gives secret and token, the second neither."""
    process, scheduler = shared
    name, given = join()
    assert given.secret
    assert given.token
    assert given.secret != given.token
    with pytest.raises(ClusterExists):
        scheduler.register(name, process.secret, make_graph())


def test_a_wrong_registration_secret_is_denied(scheduler: RainbowScheduler) -> None:
    """Only who knows the scheduler's secret can register."""
    for wrong in ("", "wrong"):
        with pytest.raises(RequestDenied):
            scheduler.register("intruder", wrong, make_graph())


def test_jobs_come_again_until_they_are_accepted(scheduler: RainbowScheduler, join: Join) -> None:
    """Receiving takes nothing off the list, accepting does."""
    name, given = join()
    assert scheduler.receive(name, given.secret, 0) == []
    assert scheduler.submit("first", {name: given.token}, JOBSPEC) == [name]
    (offer,) = scheduler.receive(name, given.secret, 0)
    assert (offer.name, offer.cluster, offer.jobspec) == ("first", name, JOBSPEC)
    assert scheduler.receive(name, given.secret, 0) == [offer]
    scheduler.accept(name, given.secret, [offer.id])
    assert scheduler.receive(name, given.secret, 0) == []


def test_jobs_are_sorted_and_limited(scheduler: RainbowScheduler, join: Join) -> None:
    """At most so many jobs as asked for, by id; all of them below 1."""
    name, given = join()
    for number in range(12):
        scheduler.submit(f"job-{number}", {name: given.token}, JOBSPEC)
    every = [offer.id for offer in scheduler.receive(name, given.secret, 0)]
    assert len(every) == 12
    assert every == sorted(every)
    assert [o.id for o in scheduler.receive(name, given.secret, -5)] == every
    some = [o.id for o in scheduler.receive(name, given.secret, 5)]
    assert len(some) == 5
    assert set(some) <= set(every)


def test_accepting_twice_is_no_error(scheduler: RainbowScheduler, join: Join) -> None:
    """Ids that are gone, repeated or never were do no harm, and no ids is no call."""
    name, given = join()
    scheduler.submit("job", {name: given.token}, JOBSPEC)
    (offer,) = scheduler.receive(name, given.secret, 0)
    scheduler.accept(name, given.secret, [])
    scheduler.accept(name, given.secret, [offer.id, offer.id, 2**31 - 1])
    scheduler.accept(name, given.secret, [offer.id])
    assert scheduler.receive(name, given.secret, 0) == []


def test_many_ids_are_accepted_at_once(scheduler: RainbowScheduler, join: Join) -> None:
    """An accept of thousands of ids works, and leaves other clusters' jobs alone."""
    name, given = join()
    other, others = join()
    scheduler.submit("mine", {name: given.token}, JOBSPEC)
    scheduler.submit("theirs", {other: others.token}, JOBSPEC)
    scheduler.accept(name, given.secret, range(1, 3001))
    assert scheduler.receive(name, given.secret, 0) == []
    assert [o.name for o in scheduler.receive(other, others.secret, 0)] == ["theirs"]


def test_a_wrong_cluster_secret_is_denied(scheduler: RainbowScheduler, join: Join) -> None:
    """Nobody reads, takes or describes another cluster's things; nobody names an unknown one."""
    name, given = join()
    _, other = join()
    for cluster, secret in ((name, other.secret), (name, given.token), ("unknown", given.secret)):
        with pytest.raises(RequestDenied):
            scheduler.receive(cluster, secret, 1)
        with pytest.raises(RequestDenied):
            scheduler.accept(cluster, secret, [1])
        with pytest.raises(RequestDenied):
            scheduler.update_state(cluster, secret, {"nodes_free": 1})
        with pytest.raises(RequestDenied):
            scheduler.deregister(cluster, secret)
        with pytest.raises(RequestDenied):
            scheduler.register_subsystem(cluster, secret, "spack", make_subsystem("spack", {}))


def test_a_wrong_token_is_denied(scheduler: RainbowScheduler, join: Join) -> None:
    """A job needs the token of each cluster that it names."""
    name, given = join()
    other, others = join()
    for clusters in ({name: "wrong"}, {"unknown": given.token}, {name: given.token, other: "no"}):
        with pytest.raises(RequestDenied):
            scheduler.submit("job", clusters, JOBSPEC)
    with pytest.raises(Rejected, match="authenticated clusters are required"):
        scheduler.submit("job", {}, JOBSPEC)
    assert scheduler.receive(other, others.secret, 0) == []


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_every_text_arrives_as_it_was(scheduler: RainbowScheduler, join: Join, text: str) -> None:
    """Quotes, breaks, controls, SQL: what goes in with a jobspec comes out of the list."""
    name, given = join()
    document = {"version": 1, "tasks": [{"command": ["echo", text]}], "x": {text: [text]}}
    scheduler.submit(text, {name: given.token}, wire.to_wire(document))
    (offer,) = scheduler.receive(name, given.secret, 0)
    assert wire.from_wire(offer.jobspec) == document
    assert offer.name == wire.job_name(text)


def test_the_servers_own_parser_reads_every_text(scheduler: RainbowScheduler, join: Join) -> None:
    """The constraint selection parses the jobspec (yaml.v3 in the real server): it can."""
    name, given = join()
    scheduler.update_state(name, given.secret, {"nodes_free": 1})
    document = {"version": 1, "tasks": [{"command": NASTY}], "x": {text: text for text in NASTY}}
    chosen = scheduler.submit(
        "job",
        {name: given.token},
        wire.to_wire(document),
        select="constraint",
        select_options={"priorities": NODES_FREE},
    )
    assert chosen == [name]


def test_text_that_would_be_sql_is_refused(scheduler: RainbowScheduler, join: Join) -> None:
    """Jobspec text with a double quote or a NUL never leaves this machine."""
    name, given = join()
    for text in ('command: "true"', "command: 'a\0b'"):
        with pytest.raises(Rejected, match="to_wire"):
            scheduler.submit("job", {name: given.token}, text)


def test_a_jobspec_over_the_limit_is_rejected(scheduler: RainbowScheduler, join: Join) -> None:
    """A request over 4 MiB will never pass, and is not taken for a busy server."""
    name, given = join()
    with pytest.raises(Rejected, match="larger than max"):
        scheduler.submit("job", {name: given.token}, "x" * 5_000_000)


def test_a_backlog_larger_than_a_reply_drains(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """Where all jobs do not fit into one reply, fewer are asked for until they do."""
    process, scheduler = shared
    name, given = join()
    for number in range(5):
        scheduler.submit(f"job-{number}", {name: given.token}, "x" * 100_000)
    seen: set[str] = set()
    with closing(RainbowScheduler(process.host, max_reply=256 * 1024)) as narrow:
        while offers := narrow.receive(name, given.secret, 0):
            assert len(offers) < 5
            seen |= {offer.name for offer in offers}
            narrow.accept(name, given.secret, [offer.id for offer in offers])
    assert seen == {f"job-{number}" for number in range(5)}


def test_a_job_too_large_for_a_reply_hides_no_other(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """One row that does not fit by itself comes alone, as the raw row that it is."""
    process, scheduler = shared
    name, given = join()
    scheduler.submit("large", {name: given.token}, "x" * 100_000)
    scheduler.submit("small", {name: given.token}, "version: 1")
    with closing(RainbowScheduler(process.host, max_reply=10_000)) as narrow:
        (large,) = narrow.receive(name, given.secret, 8)
        assert (large.name, large.cluster) == ("large", name)
        assert "x" * 100_000 in large.jobspec
        narrow.accept(name, given.secret, [large.id])
        (small,) = narrow.receive(name, given.secret, 8)
        assert (small.name, small.jobspec) == ("small", "version: 1")


def test_a_job_too_large_for_a_reply_is_read_in_part(
    shared: tuple[SchedulerProcess, RainbowScheduler],
    join: Join,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its beginning, whatever its size; it says how large it is, and that it is not run."""
    process, scheduler = shared
    name, given = join()
    scheduler.submit("large", {name: given.token}, "x" * 1_000_000)
    monkeypatch.setattr("rainbow_agent.adapters.rainbow_rows.ENOUGH", 50_000)
    with closing(RainbowScheduler(process.host, max_reply=10_000)) as narrow:
        (large,) = narrow.receive(name, given.secret, 8)
    assert large.name == "large"
    assert 40_000 < len(large.jobspec) < 50_000
    assert re.match(r"the job is 1,000,0\d\d bytes long, more than is read", large.problem)


def test_a_reply_that_is_denied_is_told_by_the_reader_of_parts(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """What the server says in the place of a reply is sorted as everywhere."""
    process, _ = shared
    name, _ = join()
    request = rainbow_pb2.ReceiveJobsRequest(cluster=name, secret="wrong", maxJobs=1)
    with closing(RainbowScheduler(process.host)) as scheduler, pytest.raises(RequestDenied):
        scheduler._wire.head(rainbow_rpc.RECEIVE_JOBS, request, 1000)


def test_many_submitters_lose_nothing(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """Four submitters at once: every job that was answered is there, once."""
    process, scheduler = shared
    name, given = join()

    def submit(who: int) -> None:
        with closing(RainbowScheduler(process.host)) as mine:
            for number in range(10):
                mine.submit(f"{who}-{number}", {name: given.token}, JOBSPEC)

    threads = [threading.Thread(target=submit, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(offer.name for offer in scheduler.receive(name, given.secret, 0))
    assert names == sorted(f"{who}-{number}" for who in range(4) for number in range(10))


def test_state_decides_the_selection_and_merges(scheduler: RainbowScheduler, join: Join) -> None:
    """A cluster that reported no free nodes is not chosen; keys stay when others come."""
    name, given = join()

    def submit() -> list[str]:
        return scheduler.submit(
            "job",
            {name: given.token},
            JOBSPEC,
            select="constraint",
            select_options={"priorities": NODES_FREE},
        )

    with pytest.raises(Rejected, match="no clusters passed selection"):
        submit()
    scheduler.update_state(name, given.secret, {"nodes_free": 2, "nested": {"list": [1, None]}})
    assert submit() == [name]
    scheduler.update_state(name, given.secret, {"cost_per_node_hour": 1.5})
    scheduler.update_state(name, given.secret, {})
    assert submit() == [name]


def test_an_unknown_algorithm_is_rejected(scheduler: RainbowScheduler, join: Join) -> None:
    """The server names the algorithm that it does not have."""
    name, given = join()
    with pytest.raises(Rejected, match="did not find algorithm named best"):
        scheduler.submit("job", {name: given.token}, JOBSPEC, select="best")


def test_satisfy_only_stores_nothing(scheduler: RainbowScheduler, join: Join) -> None:
    """All clusters that could be chosen come back, and no job is anywhere."""
    one, first = join()
    two, second = join()
    clusters = {one: first.token, two: second.token}
    assert set(scheduler.submit("job", clusters, JOBSPEC, satisfy_only=True)) == {one, two}
    assert scheduler.receive(one, first.secret, 0) == []
    assert scheduler.receive(two, second.secret, 0) == []


def test_satisfy_knows_large_from_small(scheduler: RainbowScheduler, join: Join) -> None:
    """Clusters match by what they contain; the three numbers add up."""
    small, _ = join(make_graph(nodes=1, cores=2))
    large, _ = join(make_graph(nodes=3, cores=2, gpus=1))
    with_gpu = [{"type": "core", "count": 2}, {"type": "gpu", "count": 1}]
    jobspec = {"resources": {"r": {"type": "node", "count": 3, "with": with_gpu}}}
    answer = scheduler.satisfy(jobspec)
    assert large in answer.clusters
    assert small not in answer.clusters
    assert answer.total_matches == len(answer.clusters)
    assert answer.total_matches + answer.total_mismatches == answer.total_clusters
    everywhere = scheduler.satisfy({"version": 1, "tasks": [{"command": "a string"}]})
    assert {small, large} <= set(everywhere.clusters)


def test_satisfy_refuses_what_it_cannot_read(scheduler: RainbowScheduler) -> None:
    """A jobspec of the older draft, with a list of resources, is an error of the request."""
    for resources in ([{"type": "node"}], {"r": {"type": "node", "count": "many"}}):
        with pytest.raises(Rejected):
            scheduler.satisfy({"resources": resources})


@pytest.mark.parametrize(
    ("entry", "matches"),
    [
        ({"field": "ior", "match": "3.3.0"}, True),
        ({"field": "ior", "match": "3.3.1"}, False),
        ({"field": "ior", "min": "3.0.0", "max": "4.0.0"}, True),
        ({"field": "ior", "min": "3.3.0", "max": "3.3.0"}, True),
        ({"field": "ior", "min": "3.4.0"}, False),
        ({"field": "ior", "max": "3.2.9"}, False),
        ({"field": "ior", "min": 3.0}, True),
        ({"field": "ior", "max": "3"}, True),
        ({"field": "word", "min": "1.0.0"}, False),
        ({"field": "absent", "match": "x"}, False),
    ],
)
def test_requires_looks_at_subsystems(
    scheduler: RainbowScheduler, join: Join, entry: dict[str, object], matches: bool
) -> None:
    """A field of the one subsystem vertex on a node is compared exactly, or as a version."""
    name, given = join()
    graph = make_subsystem("spack", {"ior": "3.3.0", "word": "three"})
    scheduler.register_subsystem(name, given.secret, "spack", graph)
    need = {"type": "node", "count": 1, "requires": [{"name": "spack", **entry}]}
    assert (name in scheduler.satisfy({"resources": {"r": need}}).clusters) is matches


def test_a_subsystem_is_there_once(scheduler: RainbowScheduler, join: Join) -> None:
    """Adding it twice is refused, deleting first works, deleting what is not there is refused."""
    name, given = join()
    graph = make_subsystem("spack", {"ior": "3.3.0"})
    scheduler.register_subsystem(name, given.secret, "spack", graph)
    with pytest.raises(Rejected, match="subsystem spack already exists"):
        scheduler.register_subsystem(name, given.secret, "spack", graph)
    scheduler.delete_subsystem(name, given.secret, "spack")
    scheduler.register_subsystem(name, given.secret, "spack", graph)
    with pytest.raises(Rejected, match="does not have subsystem mpi"):
        scheduler.delete_subsystem(name, given.secret, "mpi")
    stray = graph.replace("node0", "nowhere")
    with pytest.raises(Rejected, match="not connected to the dominant subsystem"):
        scheduler.register_subsystem(name, given.secret, "stray", stray)


def test_the_clusters_own_graph_is_replaced_in_place(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """As subsystem `cluster`: secret, token, state and waiting jobs stay; counts are the new."""
    name, given = join(make_graph(nodes=2))
    scheduler.update_state(name, given.secret, {"nodes_free": 2})
    scheduler.submit("waits", {name: given.token}, JOBSPEC)
    two, four = ({"type": "node", "count": count} for count in (2, 4))
    assert name in scheduler.satisfy({"resources": {"r": two}}).clusters
    for graph in (make_graph(nodes=4), make_graph(nodes=1)):
        with pytest.raises(Rejected, match="subsystem cluster already exists"):
            scheduler.register_subsystem(name, given.secret, "cluster", graph)
        scheduler.delete_subsystem(name, given.secret, "cluster")
        scheduler.register_subsystem(name, given.secret, "cluster", graph)
    need = {"replicas": 2, "with": [{"type": "gpu", "count": 1}]}
    for resource in ({"type": "slot", **need}, {"type": "node", **need}):
        assert name not in scheduler.satisfy({"resources": {"r": resource}}).clusters
    scheduler.delete_subsystem(name, given.secret, "cluster")
    graph = make_graph(nodes=4, gpus=1)
    scheduler.register_subsystem(name, given.secret, "cluster", graph)
    assert name in scheduler.satisfy({"resources": {"r": four}}).clusters
    assert name in scheduler.satisfy({"resources": {"r": {"type": "node", **need}}}).clusters
    assert [offer.name for offer in scheduler.receive(name, given.secret, 0)] == ["waits"]
    chosen = scheduler.submit(
        "job",
        {name: given.token},
        JOBSPEC,
        select="constraint",
        select_options={"priorities": NODES_FREE},
    )
    assert chosen == [name]


def test_subsystems_are_added_again_to_another_graph(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """They hang on the old graph's vertices: gone with them, but for the name."""
    name, given = join()
    before, after = (make_subsystem("spack", {"ior": version}) for version in ("3.3.0", "4.0.0"))
    scheduler.register_subsystem(name, given.secret, "spack", before)
    scheduler.delete_subsystem(name, given.secret, "cluster")
    scheduler.register_subsystem(name, given.secret, "cluster", make_graph())

    def matches(version: str) -> set[bool]:
        entry = {"name": "spack", "field": "ior", "match": version}
        need = {"type": "node", "count": 1, "requires": [entry]}
        asked = {"resources": {"r": {**need, "replicas": 1, "with": [{"type": "core"}]}}}
        return {name in scheduler.satisfy(asked).clusters for _ in range(30)}

    assert matches("3.3.0") == {False}
    with pytest.raises(Rejected, match="already exists"):
        scheduler.register_subsystem(name, given.secret, "spack", after)
    scheduler.delete_subsystem(name, given.secret, "spack")
    scheduler.register_subsystem(name, given.secret, "spack", after)
    assert matches("4.0.0") == {True}
    assert matches("3.3.0") == {False}


def test_one_vertex_that_all_nodes_share_can_be_replaced(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """The real server keeps old edges, but a single vertex always takes the old one's place."""
    name, given = join()

    def shared(version: str) -> str:
        graph = json.loads(make_subsystem("spack", {"ior": version}, nodes=1))
        graph["graph"]["edges"] = [
            {"source": f"node{i}", "target": "spack0", "relation": "contains"} for i in range(2)
        ]
        return json.dumps(graph)

    def matches(version: str) -> set[bool]:
        entry = {"name": "spack", "field": "ior", "match": version}
        need = {"type": "node", "replicas": 2, "requires": [entry], "with": [{"type": "core"}]}
        return {name in scheduler.satisfy({"resources": {"r": need}}).clusters for _ in range(30)}

    scheduler.register_subsystem(name, given.secret, "spack", shared("3.3.0"))
    for _ in range(3):
        for old, new in (("3.3.0", "4.0.0"), ("4.0.0", "3.3.0")):
            scheduler.delete_subsystem(name, given.secret, "spack")
            scheduler.register_subsystem(name, given.secret, "spack", shared(new))
            assert (matches(new), matches(old)) == ({True}, {False})


def test_a_broken_graph_never_reaches_the_server_as_a_replacement(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """A loose edge there would end the real server's process."""
    name, given = join()
    loose = make_graph().replace('"target": "node0"', '"target": "gone"')
    with pytest.raises(Rejected, match="an edge to a node that is not in it"):
        scheduler.register_subsystem(name, given.secret, "cluster", loose)
    assert scheduler.receive(name, given.secret, 0) == []


def test_deregistering_frees_the_name(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """After it the old secret is worth nothing and the name can be had again."""
    process, scheduler = shared
    name, given = join()
    scheduler.deregister(name, given.secret)
    with pytest.raises(RequestDenied):
        scheduler.receive(name, given.secret, 0)
    again = scheduler.register(name, process.secret, make_graph())
    assert again.secret != given.secret


@pytest.mark.parametrize(
    "graph",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"graph": {"nodes": {}, "edges": []}}',
        '{"graph": {"nodes": {"0": {}}, "edges": []}}',
        make_graph().replace('"target": "node0"', '"target": "gone"'),
    ],
)
def test_a_broken_graph_does_not_cost_the_name(
    shared: tuple[SchedulerProcess, RainbowScheduler], graph: str
) -> None:
    """A graph that the server would refuse too late is refused before; the name stays free."""
    process, scheduler = shared
    name = next(_names)
    with pytest.raises(Rejected):
        scheduler.register(name, process.secret, graph)
    assert scheduler.register(name, process.secret, make_graph()).secret


def test_restoring_a_graph_that_is_there_is_rejected(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """The server says `already exists`, so that whoever asked can see that all is well."""
    name, _ = join()
    with pytest.raises(Rejected, match="already exists"):
        scheduler.restore_graph(name, make_graph())


def test_a_restart_loses_graphs_and_keeps_rows(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """Secrets and jobs survive; the graph is loaded again, and with it all else works again."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    scheduler.submit("before", {"blue": given.token}, JOBSPEC)
    restart(own, keep_db=True)
    assert [o.name for o in scheduler.receive("blue", given.secret, 0)] == ["before"]
    with pytest.raises(ClusterUnknown):
        scheduler.update_state("blue", given.secret, {"nodes_free": 1})
    with pytest.raises(ClusterUnknown):
        scheduler.submit("job", {"blue": given.token}, JOBSPEC)
    with pytest.raises(ClusterUnknown):
        scheduler.register_subsystem("blue", given.secret, "s", make_subsystem("s", {}))
    with pytest.raises(ClusterExists):
        scheduler.register("blue", process.secret, make_graph())
    assert scheduler.satisfy({}).total_clusters == 0

    scheduler.restore_graph("blue", make_graph())
    scheduler.update_state("blue", given.secret, {"nodes_free": 1})
    scheduler.register_subsystem("blue", given.secret, "s", make_subsystem("s", {}))
    assert scheduler.submit("after", {"blue": given.token}, JOBSPEC) == ["blue"]
    offers = scheduler.receive("blue", given.secret, 0)
    assert [(o.id, o.name) for o in offers] == [(1, "before"), (2, "after")]


def test_a_cluster_without_graph_can_leave(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """Deregistering works also when the server lost the graph, and leaves nothing behind."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    restart(own, keep_db=True)
    scheduler.deregister("blue", given.secret)
    assert scheduler.satisfy({}).total_clusters == 0
    assert scheduler.register("blue", process.secret, make_graph()).secret


def test_without_its_database_all_is_forgotten(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """The old secret is denied, a new registration gives another, and ids start at 1 again."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    scheduler.submit("old", {"blue": given.token}, JOBSPEC)
    restart(own, keep_db=False)
    with pytest.raises(RequestDenied):
        scheduler.receive("blue", given.secret, 0)
    fresh = scheduler.register("blue", process.secret, make_graph())
    assert fresh.secret != given.secret
    scheduler.submit("new", {"blue": fresh.token}, JOBSPEC)
    (offer,) = scheduler.receive("blue", fresh.secret, 0)
    assert (offer.id, offer.name) == (1, "new")


def test_ids_are_not_used_twice(own: tuple[SchedulerProcess, RainbowScheduler]) -> None:
    """The id of a job that was accepted is given to no other, also after a restart."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    scheduler.submit("first", {"blue": given.token}, JOBSPEC)
    scheduler.accept("blue", given.secret, [1])
    restart(own, keep_db=True)
    scheduler.restore_graph("blue", make_graph())
    scheduler.submit("second", {"blue": given.token}, JOBSPEC)
    assert [o.id for o in scheduler.receive("blue", given.secret, 0)] == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_global_token_submits_to_every_cluster(
    tmp_path_factory: pytest.TempPathFactory, kind: SchedulerKind
) -> None:
    """With --global-token every cluster has that one as its token."""
    for process, scheduler in start(kind, tmp_path_factory, global_token="jelly"):
        given = scheduler.register("blue", process.secret, make_graph())
        assert given.token == "jelly"
        assert scheduler.submit("job", {"blue": "jelly"}, JOBSPEC) == ["blue"]


@pytest.mark.rainbow
@pytest.mark.parametrize("name", ["name", "token", "secret", "rowid", "oid"])
def test_names_of_columns_are_no_cluster_names(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """The real server denies such a cluster its own jobs: the reason why we refuse the name."""
    with pytest.raises(UsageError, match="column"):
        wire.check_cluster_name(name)
    for process, scheduler in start(SchedulerKind.REAL, tmp_path_factory):
        scheduler.register("another", process.secret, make_graph())
        asked = rainbow_pb2.RegisterRequest(name=name, secret=process.secret, nodes=make_graph())
        given = scheduler._call(rainbow_rpc.REGISTER, asked)
        with pytest.raises(RequestDenied):
            scheduler.receive(name, given.secret, 0)


@pytest.mark.rainbow
def test_each_server_goes_on_with_the_others_database(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A job that one of them stored is handed out by the other, under the same secret."""
    if SchedulerKind.REAL.missing():
        pytest.skip(SchedulerKind.REAL.missing())
    for first, second in itertools.permutations(SchedulerKind):
        folder = tmp_path_factory.mktemp(first.value)
        with running_scheduler(first, folder) as one, closing(RainbowScheduler(one.host)) as ask:
            given = ask.register("blue", one.secret, make_graph())
            ask.submit("job", {"blue": given.token}, JOBSPEC)
        one.db.rename(folder / f"{second.value}.db")
        with running_scheduler(second, folder) as two, closing(RainbowScheduler(two.host)) as ask:
            (offer,) = ask.receive("blue", given.secret, 0)
            assert (offer.id, offer.name, offer.jobspec) == (1, "job", JOBSPEC)
