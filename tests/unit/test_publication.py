"""What rainbow knows of this cluster is true, and only what changed is sent."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.adapters.sqlite_ledger import SqliteLedger
from rainbow_agent.conditions import Conditions
from rainbow_agent.discovery import Answer
from rainbow_agent.errors import ClusterUnknown, Rejected, RequestDenied, Unavailable
from rainbow_agent.inventory import Portrait, portray
from rainbow_agent.model import Credentials, Offer, Refusal
from rainbow_agent.pool import NodeView
from rainbow_agent.publication import OFFER_AGAIN, RENEW_EVERY, Publication
from rainbow_agent.registration import Doubt, Registrar, Session
from rainbow_agent.renewal import Renewal, renew
from rainbow_agent.settings_values import Secret
from rainbow_agent.testing import FakeClock
from rainbow_agent.testing_ledger import checked_ledger
from rainbow_agent.testing_nodes import FakeExtractor, node_json, survey_of, views
from rainbow_agent.testing_scheduler import REGISTRATION_SECRET, FakeScheduler

SHARED_TOKEN = "rainbow"
OWN_TOKEN = "0d0f4d0e-5c62-4bd2-8d06-8ff0d1fb8a5c"


class Rainbow(FakeScheduler):
    """With graphs as the real server keeps them: edges outlive the subsystem they belong to.

    A vertex's number is by chance, but for a single one; an edge with the number of an old one
    takes its place (rainbow 075ee23, plugins/backends/memory).
    """

    def __init__(self) -> None:
        super().__init__()
        self.graph = ""
        self.names: set[str] = set()
        self._numbers = random.Random(1)
        self._offers: dict[tuple[str, str], dict[int, Any]] = {}

    def offers(self) -> dict[tuple[str, str], list[Any]]:
        """(node, subsystem) -> what a job may find there."""
        return {key: list(found.values()) for key, found in self._offers.items()}

    def restart(self, *, keep_database: bool) -> None:
        """The process ends and comes back."""
        super().restart(keep_database=keep_database)
        self._place("")

    def register(self, cluster: str, secret: str, graph: str) -> Credentials:
        """Register a cluster."""
        known = self.has_graph(cluster)
        try:
            return super().register(cluster, secret, graph)
        finally:
            if self.has_graph(cluster) and not known:
                self._place(graph)

    def deregister(self, cluster: str, secret: str) -> None:
        """Delete a cluster."""
        super().deregister(cluster, secret)
        self._place("")

    def restore_graph(self, cluster: str, graph: str) -> None:
        """Load a graph; one that is there stays."""
        with self._serving("restore_graph"):
            if self.graph:
                raise Rejected("cluster graph blue already exists and cannot be added again")
            self._graphs[cluster] = graph
            self._place(graph)

    def register_subsystem(self, cluster: str, secret: str, subsystem: str, graph: str) -> None:
        """Add a subsystem graph, or the cluster's own."""
        with self._serving("register_subsystem"):
            self._known(cluster, secret)
            if subsystem in self.names or (subsystem == "cluster" and self.graph):
                raise Rejected(f"subsystem {subsystem} already exists for cluster blue")
            if subsystem == "cluster":
                names = self.names
                self._place(graph)
                self.names = names
                return
            assert self.graph, "the Go server's process would have ended"
            self.names.add(subsystem)
            self._hang(subsystem, json.loads(graph)["graph"])

    def delete_subsystem(self, cluster: str, secret: str, subsystem: str) -> None:
        """Remove a subsystem graph, or the cluster's own."""
        with self._serving("delete_subsystem"):
            self._known(cluster, secret)
            if subsystem == "cluster" and self.graph:
                self.graph = ""
            elif subsystem in self.names:
                self.names.remove(subsystem)
            else:
                raise Rejected(f"cluster graph blue does not have subsystem {subsystem}")

    def _place(self, graph: str) -> None:
        self.graph, self.names, self._offers = graph, set(), {}

    def _hang(self, subsystem: str, graph: dict[str, Any]) -> None:
        numbers = list(range(1, len(graph["nodes"]) + 1))
        self._numbers.shuffle(numbers)
        number_of = dict(zip(graph["nodes"], numbers, strict=True))
        for edge in graph["edges"]:
            there = self._offers.setdefault((edge["source"], subsystem), {})
            there[number_of[edge["target"]]] = graph["nodes"][edge["target"]]["metadata"]


class Store:
    """Credentials in memory; the token is what a test says."""

    def __init__(self) -> None:
        self.secret = ""
        self.says = SHARED_TOKEN

    def load(self) -> Secret | None:
        """The stored secret."""
        return Secret(self.secret) if self.secret else None

    def check(self) -> None:
        """It can always be written."""

    def save(self, credentials: Credentials) -> None:
        """Store what Register gave."""
        self.secret = credentials.secret

    def token(self) -> str:
        """The token."""
        return self.says

    def describe(self) -> str:
        """Where that is."""
        return "memory"


class Desk:
    """A publication and a registrar, joined as bootstrap does it."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger, self.clock = ledger, FakeClock()
        self.rainbow, self.store = Rainbow(), Store()
        self.portrait: Portrait | None = None
        self.restart()
        self.is_now(views(2))

    def restart(self, secret: str = REGISTRATION_SECRET) -> None:
        """The agent starts (again); what is on disk is still there."""
        self.conditions = Conditions(self.clock)
        self.publication = Publication(
            scheduler=self.rainbow,
            ledger=self.ledger,
            clock=self.clock,
            portrait=lambda: self.portrait,
            renew=self.renew,
            conditions=self.conditions,
        )
        self.registrar = Registrar(
            cluster="blue",
            host="rainbow.example:50051",
            secret=Secret(secret),
            secret_source="the test",
            scheduler=self.rainbow,
            store=self.store,
            ledger=self.ledger,
            graph=lambda: self.portrait.graph.text if self.portrait else "",
            registration_id="of {}".format,
            clock=self.clock,
            record=self.publication,
        )

    def renew(self) -> Renewal:
        """As bootstrap does it."""
        return renew(self.registrar, self.ledger, self.store)

    def is_now(
        self,
        nodes: Sequence[NodeView],
        packages: Sequence[str] = (),
        ranks: FakeExtractor | None = None,
    ) -> None:
        """The cluster becomes another."""
        self.portrait = portray("blue", survey_of(nodes, packages=packages, extractor=ranks))

    def sync(self) -> Session:
        """As a round of the daemon does."""
        session = self.registrar.ensure()
        self.publication.sync(session)
        if self.registrar.session is not session:
            self.publication.sync(self.registrar.ensure())
        return self.registrar.ensure()

    def sent(self) -> dict[str, int]:
        """What was called since the last question."""
        calls = {
            name: count
            for name, count in self.rainbow.calls.items()
            if name in ("register", "deregister", "register_subsystem", "delete_subsystem")
        }
        self.rainbow.calls.clear()
        return calls

    def is_true(self) -> bool:
        """Whether rainbow has the cluster as it is."""
        assert self.portrait is not None
        wanted: dict[tuple[str, str], list[Any]] = {}
        for part in self.portrait.subsystems:
            graph = json.loads(part.text)["graph"]
            for edge in graph["edges"]:
                metadata = graph["nodes"][edge["target"]]["metadata"]
                wanted[edge["source"], part.name] = [metadata]
        return self.rainbow.graph == self.portrait.graph.text and self.rainbow.offers() == wanted


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


def differing() -> FakeExtractor:
    """Two kinds of nodes."""
    ranks = FakeExtractor()
    ranks.answers[1] = Answer(1, node_json("blue-1", packages=["ior@3.3.0"]))
    ranks.packages = ("ior@4.0.0",)
    return ranks


def test_after_the_registration_the_subsystems_are_sent(desk: Desk) -> None:
    """Once; the next rounds send nothing."""
    desk.sync()
    count = len(desk.portrait.subsystems) if desk.portrait else 0
    assert desk.sent() == {"register": 1, "register_subsystem": count}
    desk.sync()
    assert desk.sent() == {}
    assert desk.is_true()


def test_a_start_that_finds_nothing_changed_sends_nothing(desk: Desk) -> None:
    """The ledger knows what this registration's server was told."""
    desk.sync()
    desk.sent()
    desk.restart()
    desk.sync()
    assert desk.sent() == {}


def test_a_package_that_was_installed_is_one_subsystem(desk: Desk) -> None:
    """Added when it is the first, replaced in place later; the cluster's graph stays."""
    desk.sync()
    desk.sent()
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    assert desk.sent() == {"register_subsystem": 1}
    desk.is_now(views(2), ["ior@3.3.0", "zlib@1.3"])
    desk.sync()
    assert desk.sent() == {"delete_subsystem": 1, "register_subsystem": 1}
    assert desk.is_true()


def test_what_changed_while_the_agent_was_down_is_sent(desk: Desk) -> None:
    """At the next start, and nothing else."""
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    desk.sent()
    desk.restart()
    desk.is_now(views(2), ["ior@4.0.0"])
    desk.sync()
    assert desk.sent() == {"delete_subsystem": 1, "register_subsystem": 1}
    assert desk.is_true()


def test_another_shape_is_a_new_registration_where_the_token_is_shared(desk: Desk) -> None:
    """The server cannot change a graph that it has; nobody notices another secret of ours."""
    old = desk.sync()
    desk.is_now(views(3))
    new = desk.sync()
    assert new.registration != old.registration
    current = desk.ledger.current_registration()
    assert current is not None
    assert current.id == new.registration
    assert desk.is_true()


def test_another_shape_is_replaced_in_place_where_the_token_is_our_own(desk: Desk) -> None:
    """Those who submit to us keep their token."""
    desk.store.says = OWN_TOKEN
    old = desk.sync()
    desk.sent()
    desk.is_now(views(3), ["ior@3.3.0"])
    assert desk.sync() == old
    assert "register" not in desk.sent()
    assert desk.is_true()


def test_without_a_registration_secret_the_graph_is_replaced_in_place(desk: Desk) -> None:
    """A cluster that could not come back does not leave."""
    old = desk.sync()
    desk.restart(secret="")
    desk.is_now(views(3))
    assert desk.sync() == old
    assert desk.is_true()


def test_a_registration_secret_that_rainbow_no_longer_takes_costs_nothing(desk: Desk) -> None:
    """It is tried before the cluster leaves."""
    old = desk.sync()
    desk.restart(secret="changed-over-there")
    desk.is_now(views(3))
    desk.sent()
    assert desk.sync() == old
    assert desk.sent()["register"] == 1
    assert desk.is_true()


def test_while_jobs_wait_to_be_accepted_the_registration_stays(desk: Desk) -> None:
    """Under another one they would come again, as other jobs."""
    old = desk.sync()
    desk.ledger.record_offers(old.registration, [Offer(1, "job", "blue", "nonsense")], 1.0)
    desk.is_now(views(3))
    assert desk.sync() == old
    assert not desk.is_true()
    (key,) = desk.ledger.unplanned()
    desk.ledger.record_plans([], [Refusal(key, "nonsense")], 2.0)
    assert desk.sync() == old, "rainbow was not told yet"
    desk.ledger.mark_accepted(old.registration, [1], 3.0)
    assert desk.sync() != old
    assert desk.is_true()


def test_nodes_that_come_and_go_renew_the_graph_not_all_the_time(desk: Desk) -> None:
    """The last word counts, a little later."""
    desk.sync()
    desk.is_now(views(3))
    desk.sync()
    desk.is_now(views(2))
    desk.sent()
    desk.sync()
    assert desk.sent() == {}
    desk.clock.advance(RENEW_EVERY)
    desk.sync()
    assert desk.is_true()


@pytest.mark.parametrize("token", [SHARED_TOKEN, OWN_TOKEN])
def test_subsystems_of_several_vertices_get_a_fresh_graph(desk: Desk, token: str) -> None:
    """The real server keeps edges to vertices that were deleted."""
    desk.store.says = token
    desk.is_now(views(2), ranks=differing())
    desk.sync()
    other = differing()
    other.packages = ("ior@4.1.0",)
    desk.is_now(views(2), ranks=other)
    desk.rainbow.calls.clear()
    desk.sync()
    assert desk.is_true()
    calls = desk.sent()
    assert "deregister" in calls or calls["delete_subsystem"] > 1


def test_software_that_is_gone_takes_a_fresh_graph(desk: Desk) -> None:
    """Deleting a subsystem does not delete what it offered, on the real server."""
    desk.store.says = OWN_TOKEN
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    desk.is_now(views(2))
    desk.sync()
    assert desk.is_true()


def test_a_graph_that_was_lost_is_followed_by_the_subsystems(desk: Desk) -> None:
    """Rainbow was restarted with its database."""
    session = desk.sync()
    desk.rainbow.restart(keep_database=True)
    desk.registrar.heal(Doubt(session, ClusterUnknown("cluster blue does not exist")))
    assert desk.sync() is session
    assert desk.is_true()


def test_a_second_doubt_about_the_same_loss_sends_nothing(desk: Desk) -> None:
    """Two threads may have met it."""
    session = desk.sync()
    desk.rainbow.restart(keep_database=True)
    doubt = Doubt(session, ClusterUnknown("cluster blue does not exist"))
    desk.registrar.heal(doubt)
    desk.sync()
    desk.sent()
    desk.registrar.heal(doubt)
    desk.sync()
    assert desk.sent() == {}


def test_a_restored_graph_whose_answer_was_lost_is_not_trusted(desk: Desk) -> None:
    """Nobody knows what is on the server then: it is all sent again."""
    desk.store.says = OWN_TOKEN
    session = desk.sync()
    desk.rainbow.restart(keep_database=True)
    desk.rainbow.fail("restore_graph", Unavailable("deadline exceeded"), after=True)
    doubt = Doubt(session, ClusterUnknown("cluster blue does not exist"))
    with pytest.raises(Unavailable):
        desk.registrar.heal(doubt)
    desk.registrar.heal(doubt)
    desk.sync()
    assert desk.is_true()


def test_rainbow_without_its_database_gets_everything(desk: Desk) -> None:
    """A new registration begins with nothing sent."""
    session = desk.sync()
    desk.rainbow.restart(keep_database=False)
    desk.registrar.heal(Doubt(session, RequestDenied("request denied")))
    desk.sync()
    assert desk.is_true()


LOST = [
    (token, method, call, after)
    for token in (SHARED_TOKEN, OWN_TOKEN)
    for method in ("delete_subsystem", "register_subsystem", "register")
    for call in (1, 2, 3, 5)
    for after in (False, True)
    # The answer to the second Register, after the cluster left, has the secret: it is for a human.
    if (token, method, call, after) != (SHARED_TOKEN, "register", 2, True)
]


@pytest.mark.parametrize(("token", "method", "call", "after"), LOST)
@pytest.mark.parametrize("crash", [False, True])
def test_whatever_call_is_lost_the_truth_arrives(
    desk: Desk, token: str, method: str, call: int, *, after: bool, crash: bool
) -> None:
    """With or without its effect, with or without a restart of the agent after it."""
    desk.store.says = token
    desk.is_now(views(2), ["ior@3.3.0"])
    desk.sync()
    desk.rainbow.fail(method, Unavailable("deadline exceeded"), call=call, after=after)
    for nodes, packages in ((2, ["ior@4.0.0"]), (3, ["ior@4.0.0"]), (3, ["zlib@1.3"])):
        desk.is_now(views(nodes), packages)
        for _ in range(4):
            try:
                desk.sync()
            except Unavailable:
                if crash:
                    desk.restart()
            except RequestDenied as exc:
                desk.registrar.heal(Doubt(desk.registrar.ensure(), exc))
            desk.clock.advance(RENEW_EVERY)
        assert desk.is_true()


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_while_the_graph_is_replaced_is_not_forgotten(desk: Desk, *, after: bool) -> None:
    """Also if the cluster is again what it was when the agent comes back."""
    desk.store.says = OWN_TOKEN
    desk.sync()
    desk.is_now(views(3))
    desk.rainbow.fail("register_subsystem", Unavailable("killed"), after=after)
    with pytest.raises(Unavailable):
        desk.sync()
    desk.restart()
    desk.is_now(views(2))
    desk.sync()
    assert desk.is_true()


def test_a_subsystem_that_rainbow_refuses_does_not_cost_the_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the rest arrives."""
    desk.rainbow.fail("register_subsystem", Rejected("too odd"))
    desk.sync()
    desk.sync()
    assert len(desk.rainbow.names) == len(desk.portrait.subsystems) - 1 if desk.portrait else False
    assert [r.getMessage() for r in caplog.records if "too odd" in r.getMessage()] != []
    assert [c.name for c in desk.conditions.current()] == ["subsystem-refused"]


def test_a_subsystem_that_was_refused_is_offered_again(desk: Desk) -> None:
    """After a while, then less and less often: what refused it may be something between us."""
    portrait = desk.portrait
    assert portrait is not None
    everything = len(portrait.subsystems)
    first, most = OFFER_AGAIN
    desk.rainbow.fail("register_subsystem", Rejected("not now"))
    desk.sync()
    desk.sync()
    before = desk.rainbow.calls["register_subsystem"]
    desk.rainbow.fail("register_subsystem", Rejected("not now"))
    desk.clock.advance(first)
    desk.sync()
    desk.clock.advance(first)
    desk.sync()  # it waits for twice as long now
    assert desk.rainbow.calls["register_subsystem"] == before + 1
    desk.clock.advance(first)
    desk.sync()
    assert len(desk.rainbow.names) == everything
    assert desk.is_true()
    assert desk.conditions.current() == []
    assert first < most


def test_a_graph_that_is_half_replaced_is_not_left_so(desk: Desk) -> None:
    """The second half follows at the next turn, not when graphs may be renewed again."""
    desk.store.says = OWN_TOKEN
    desk.sync()
    desk.is_now(views(3))
    desk.rainbow.fail("register_subsystem", Rejected("something between us refused it"))
    with pytest.raises(Rejected):
        desk.sync()
    desk.sync()
    assert desk.is_true()


def test_facts_tell_form_size_and_time(desk: Desk) -> None:
    """For `status`; what an earlier daemon sent has no time."""
    desk.sync()
    facts = desk.publication.facts()
    assert facts is not None
    assert (facts["form"], facts["nodes"], facts["sent"]) == ("full", 2, desk.clock.now())
    assert facts["subsystems"]["hardware"]["form"] == "shared"
    desk.restart()
    desk.sync()
    again = desk.publication.facts()
    assert again is not None
    assert again["sent"] is None


def test_before_the_first_survey_nothing_is_sent(desk: Desk) -> None:
    """A start with a stored secret goes on with jobs at once."""
    session = desk.sync()
    desk.restart()
    desk.portrait = None
    desk.sent()
    desk.publication.sync(session)
    assert (desk.sent(), desk.publication.facts()) == ({}, None)
