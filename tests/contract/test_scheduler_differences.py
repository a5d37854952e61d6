"""Where our own scheduler and the real one differ: each difference, as docs/commands.md has it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from rainbow_agent.core.errors import (
    DatabaseLocked,
    RainbowAgentError,
    Rejected,
    RequestDenied,
    Unavailable,
)
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.servers import (
    JOBSPEC,
    SchedulerKind,
    SchedulerProcess,
    make_graph,
    make_subsystem,
    served,
)

DOCS: Final = Path(__file__).parents[2] / "docs" / "commands.md"


class Pair:
    """Clusters `one` and `two` of two nodes with four cores, which reported w: 1 and w: 2."""

    def __init__(self, process: SchedulerProcess, scheduler: RainbowScheduler) -> None:
        self.process, self.scheduler = process, scheduler
        self.given: dict[str, Credentials] = {}
        for number, name in enumerate(("one", "two"), 1):
            self.given[name] = scheduler.register(name, process.secret, make_graph())
            self.hang("spack", make_subsystem("spack", {"ior": "3.3.0"}), name)
            scheduler.update_state(name, self.given[name].secret, {"w": number})

    def hang(self, subsystem: str, graph: str, name: str = "one") -> None:
        """Register a subsystem of a cluster."""
        self.scheduler.register_subsystem(name, self.given[name].secret, subsystem, graph)

    def fits(self, **resource: Any) -> bool:
        """Whether `one` has a resource."""
        return "one" in self.scheduler.satisfy({"resources": {"r": resource}}).clusters

    def requires(self, *entries: dict[str, str]) -> bool:
        """Whether `one` has a node with these."""
        return self.fits(type="node", count=1, requires=list(entries))

    def selects(self, *steps: str, jobspec: str = JOBSPEC) -> list[str]:
        """The clusters that pass these steps of `constraint`; without steps, without options."""
        text = "- priority: 1\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)
        return self.scheduler.submit(
            "ask",
            {name: given.token for name, given in self.given.items()},
            jobspec,
            select="constraint",
            select_options={"priorities": text} if steps else {},
            satisfy_only=True,
        )


@pytest.fixture(scope="module")
def pair(kind: SchedulerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """On a scheduler of their own."""
    with served(kind, tmp_path_factory.mktemp("pair")) as (process, scheduler):
        yield Pair(process, scheduler)


CORE: Final = [{"type": "core", "count": 1}]
NODE: Final = [{"type": "node", "count": 1}]


def slot_by_count(pair: Pair) -> list[bool]:
    return [
        pair.fits(type="slot", count=1, **{"with": CORE}),
        pair.fits(type="slot", count=1, **{"with": NODE}),
        pair.fits(type="node", count=1, **{"with": [{"type": "slot", "count": 1, "with": CORE}]}),
    ]


def cluster_as_resource(pair: Pair) -> bool:
    return pair.fits(type="cluster", count=1, **{"with": NODE})


def no_type(pair: Pair) -> bool:
    return pair.fits(count=1)


def several_vertices(pair: Pair) -> set[bool]:
    """As of a graph with a vertex a package, asked for again and again."""
    graph = json.loads(make_subsystem("modules", {"ior": "1"}, nodes=1))
    graph["graph"]["nodes"]["other"] = {"metadata": {"type": "modules", "ior": "2"}}
    edge = {"source": "node0", "target": "other", "relation": "contains"}
    graph["graph"]["edges"].append(edge)
    pair.hang("modules", json.dumps(graph))
    entry = {"name": "modules", "field": "ior", "match": "2"}
    return {pair.requires(entry) for _ in range(200)}


def number_as_element(pair: Pair) -> str:
    """Asked of another server: the real one is gone afterwards."""
    folder = pair.process.db.parent / "another"
    folder.mkdir()
    with served(pair.process.kind, folder) as another:
        return _number_as_element(Pair(*another))


def _number_as_element(pair: Pair) -> str:
    graph = json.loads(make_subsystem("sizes", {}, nodes=1))
    graph["graph"]["nodes"]["sizes0"]["metadata"]["disks"] = 4
    pair.hang("sizes", json.dumps(graph))
    try:
        fits = pair.requires({"name": "sizes", "field": "disks", "match": "4"})
    except Unavailable:
        return "it ends" if not pair.process.is_running() else "no answer"
    return str(fits)


def more_than_a_node_has(pair: Pair) -> list[bool]:
    return [
        pair.fits(type="node", count=1, **{"with": [{"type": "core", "count": 5}]}),
        pair.fits(type="node", count=2, **{"with": [{"type": "core", "count": 8}]}),
        pair.fits(type="slot", replicas=2, **{"with": [{"type": "core", "count": 5}]}),
        pair.fits(type="node", count=2, **{"with": [{"type": "core", "count": 9}]}),
    ]


def beside_slots(pair: Pair) -> bool:
    slots = {"type": "slot", "replicas": 1, "with": CORE}
    nodes = {"type": "node", "count": 9}
    answer = pair.scheduler.satisfy({"resources": {"slots": slots, "nodes": nodes}})
    return "one" in answer.clusters


def two_entries(pair: Pair) -> list[bool]:
    good = {"name": "spack", "field": "ior", "match": "3.3.0"}
    bad = {"name": "spack", "field": "hdf5", "match": "1"}
    return [pair.requires(bad, good), pair.requires(good, bad)]


def wildcards(pair: Pair) -> list[bool]:
    ranges = ({"min": "3.x"}, {"max": "3.x"}, {"min": "3, < 4"})
    return [pair.requires({"name": "spack", "field": "ior", **bounds}) for bounds in ranges]


def false_filter(pair: Pair) -> list[list[str]]:
    return [
        pair.selects("filter: 'w > 1'", "select: first"),
        pair.selects("filter: 'w > 1 || no_value'", "select: first"),
        pair.selects("filter: 'no_value > 1'", "select: first"),
    ]


def sorts(pair: Pair) -> list[list[str]]:
    return [
        pair.selects("sort_descending: w", "select: first"),
        pair.selects("sort_ascending: w", "select: first"),
        pair.selects("sort_ascending: unheard_of", "select: first"),
    ]


def what_stays(pair: Pair) -> list[list[str] | str]:
    pair.selects("calc: 'double=w*2'", "select: first")
    return [
        pair.selects("filter: 'double > 3 || no_value'", "select: first"),
        _or_refused(pair.selects),
    ]


def odd_steps(pair: Pair) -> list[list[str] | str]:
    return [
        _or_refused(lambda: pair.selects("select: best")),
        _or_refused(lambda: pair.selects("choose: first", "select: first")),
    ]


def own_parser(pair: Pair) -> list[list[str] | str]:
    texts = ("tasks: [{command: a b}]", "requires: {a: []}")
    return [
        _or_refused(lambda text=text: pair.selects("select: first", jobspec=f"version: 1\n{text}"))  # type: ignore[misc]
        for text in texts
    ]


def names_as_patterns(pair: Pair) -> list[str]:
    """A cluster's jobs, asked for under names that are not its own."""
    secret, found = pair.given["one"].secret, []
    for name in ("one", "ONE", "on_", "o%"):
        try:
            pair.scheduler.receive(name, secret, 0)
        except RequestDenied:
            continue
        found.append(name)
    return found


def any_text(pair: Pair) -> bool:
    given = {"one": pair.given["one"].token}
    try:
        pair.scheduler._call(*_raw_submission(given))
    except Rejected:
        return False
    (offer,) = pair.scheduler.receive("one", pair.given["one"].secret, 0)
    return offer.jobspec == 'version: 1 # "quoted"'


def _raw_submission(tokens: dict[str, str]) -> tuple[Any, Any]:
    from rainbow_agent.fleet.grpc import rpc  # noqa: PLC0415 - only here
    from rainbow_agent.fleet.grpc.stubs import rainbow_pb2  # noqa: PLC0415 - likewise

    clusters = [rainbow_pb2.SubmitJobRequest.Cluster(name=n, token=t) for n, t in tokens.items()]
    request = rainbow_pb2.SubmitJobRequest(
        name="job", clusters=clusters, jobspec='version: 1 # "quoted"'
    )
    return rpc.SUBMIT_JOB, request


def _or_refused(ask: Callable[[], list[str]]) -> list[str] | str:
    try:
        return ask()
    except RainbowAgentError:
        return "refused"


def while_locked(pair: Pair) -> list[str] | str:
    """What SubmitJob answers while its database is locked; the job is not stored in either case."""
    secret = pair.given["one"].secret
    before = len(pair.scheduler.receive("one", secret, 0))
    with closing(sqlite3.connect(pair.process.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            said: list[str] | str = pair.scheduler.submit(
                "job", {"one": pair.given["one"].token}, JOBSPEC
            )
        except DatabaseLocked:
            said = "refused"
        other.execute("ROLLBACK")
    assert len(pair.scheduler.receive("one", secret, 0)) == before
    return said


ONE, TWO, BOTH = ["one"], ["two"], ["one", "two"]
#: What stands in the documentation: what is asked, what the real server answers, what ours does.
DIFFERENCES: Final[dict[str, tuple[Callable[[Pair], object], object, object]]] = {
    "a slot by `count`": (slot_by_count, [False] * 3, [True] * 3),
    "`type: cluster`": (cluster_as_resource, False, True),
    "a resource without `type`": (no_type, False, True),
    "several vertices of one subsystem on a node": (several_vertices, {False, True}, {True}),
    "a number as an element": (number_as_element, "it ends", "True"),
    "more cores or GPUs than a node has": (
        more_than_a_node_has,
        [True, True, True, False],
        [False] * 4,
    ),
    "a resource beside one with `replicas`": (beside_slots, True, False),
    "two `requires` of one subsystem": (two_entries, [True, False], [False, False]),
    "bounds that are no version": (wildcards, [True] * 3, [False] * 3),
    "a filter that is false": (false_filter, [BOTH, TWO, []], [TWO, TWO, []]),
    "sorts": (sorts, [BOTH, BOTH, BOTH], [["two", "one"], BOTH, []]),
    "what a request leaves behind": (what_stays, [TWO, TWO], [[], "refused"]),
    "steps that there are not": (odd_steps, [BOTH, BOTH], ["refused", "refused"]),
    "a jobspec for `constraint`": (own_parser, ["refused", "refused"], [BOTH, BOTH]),
    "names of clusters": (names_as_patterns, ["one", "ONE", "on_", "o%"], ONE),
    "text with a double quote": (any_text, False, True),
    "a job while another program writes to its database for 5 s": (
        *(while_locked, ["one"]),
        "refused",
    ),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_each_difference_is_as_it_is_documented(pair: Pair, kind: SchedulerKind, what: str) -> None:
    """Over both: when the real server changes, or ours, the page has to."""
    ask, real, ours = DIFFERENCES[what]
    assert ask(pair) == (real if kind is SchedulerKind.REAL else ours)


def test_the_page_names_each_difference() -> None:
    """Its table has these rows, in this order."""
    section = DOCS.read_text(encoding="utf-8").split("### How it differs from the Go server")[1]
    table = section.split("\n\n| asked |")[1].split("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert rows == [*DIFFERENCES]
