"""Plans on the nodes of a site: who passes, which alternative is taken, and what a refusal says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import Plan
from rainbow_agent.core.requirements import Need
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.placement import needs_site, place
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.unplaceable import Unplaceable

OLD = {"spack": ({"type": "spack", "ior": "2.9.0"},), "system": ({"cpu.target": "amd64"},)}
NEW = {
    "spack": (
        {"type": "spack", "ior": ("3.3.0", "4.1.0")},
        {"type": "package", "name": "ior", "version": "3.3.0"},
        {"type": "package", "name": "zlib", "version": "1.3"},
    ),
    "system": ({"cpu.target": "arm64"},),
}
#: Ranks 0 and 1 have an old ior, 2 and 3 a new one and two GPUs; nothing is known of rank 4.
SITE = Site(
    (
        SiteNode(0, "blue-0", 4, 0, traits=OLD),
        SiteNode(1, "blue-1", 4, 0, traits=OLD),
        SiteNode(2, "blue-2", 8, 2, traits=NEW),
        SiteNode(3, "blue-3", 8, 2, up=False, traits=NEW),
        SiteNode(4, "blue-4", 4, 0),
    )
)


def planned(resource: dict[str, Any], **more: Any) -> Plan:
    """The plan of a task on a resource; `more` goes to the task, or top level (`requires_`)."""
    top = {key.rstrip("_"): more.pop(key) for key in list(more) if key.endswith("_")}
    resources = {"r": resource, **top.pop("resources", {})}
    task = {"command": ["x"], "resources": "r", **more}
    return plan_text(json.dumps({"version": 1, "resources": resources, "tasks": [task], **top}))


def ranks(plan: Plan, site: Site = SITE) -> str | None:
    """The ranks that a plan's only task may run on; None for any."""
    (task,) = place(plan, site).tasks
    constraints = task.jobspec["attributes"]["system"].get("constraints")
    return constraints["ranks"][0] if constraints else None


def node(count: int = 1, requires: list[dict[str, str]] | None = None, **more: Any) -> Any:
    """A resource of nodes with a core each."""
    inside = more.pop("inside", [{"type": "core", "count": 1}])
    found = {"type": "node", "count": count, "with": inside, **more}
    return {**found, "requires": requires} if requires else found


def need(name: str = "spack", **fields: str) -> dict[str, str]:
    """An entry of `requires`."""
    return {"name": name, **fields}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (need(field="ior", match="2.9.0"), "0-1"),
        (need(field="ior", match="3.3.0"), "2-3"),
        (need(field="ior", min="3.0.0"), "2-3"),
        (need(field="ior", min="3.0.0", max="3.9"), "2-3"),
        (need(field="ior", max="3"), "0-3"),
        (need(field="ior", match="3.3.0", min="1"), "2-3"),
        (need("system", field="cpu.target", match="amd64"), "0-1"),
        (need("system", field="cpu.target", value="amd64"), "0-1"),
        (need(field="type", match="package", attribute="name", value="zlib"), "2-3"),
        (need(field="type", match="package", attribute="version", min="1.2", max="1.3"), "2-3"),
        (need(attribute="name", value="ior"), "2-3"),
        (need(field="type", match="package"), "2-3"),
    ],
)
def test_nodes_that_meet_an_entry_become_a_constraint(entry: dict[str, str], expected: str) -> None:
    """Exact and by range, of the node or of its packages, every version that is there counts."""
    assert ranks(planned(node(requires=[entry]))) == expected


def test_entries_anywhere_in_the_tree_are_about_the_node() -> None:
    """What a rack, a node and a GPU require has to be met together, by one node."""
    gpu = {
        "type": "gpu",
        "count": 1,
        "requires": [need("system", field="cpu.target", match="arm64")],
    }
    inner = node(requires=[need(field="ior", min="3")], inside=[gpu])
    rack = {
        "type": "rack",
        "count": 1,
        "with": [inner],
        "requires": [need(attribute="name", value="zlib")],
    }
    assert ranks(planned(rack)) == "2-3"


def test_two_entries_of_one_subsystem_both_count() -> None:
    """Rainbow's matcher keeps the last of them; the agent asks for every one."""
    both = [need(field="ior", match="2.9.0"), need(field="ior", match="3.3.0")]
    with pytest.raises(Unplaceable) as caught:
        ranks(planned(node(requires=both)))
    assert str(caught.value).partition("): ")[2] == (
        "no node here meets all that is required "
        "together (2 nodes for 'ior' = '2.9.0' in subsystem 'spack', 2 nodes for 'ior' = '3.3.0' "
        "in subsystem 'spack')"
    )


def test_without_needs_nothing_is_placed() -> None:
    """A plan that asks nothing of the nodes needs no site, and stays the very same."""
    plan = planned(node())
    assert not needs_site(plan)
    assert place(plan, Site(())) == plan


BLOCKS = {
    "old": [need(field="ior", max="3")],
    "new": [need(field="ior", min="4")],
    "zlib": [need(attribute="name", value="zlib")],
    "vax": [need("system", field="cpu.target", match="vax")],
    "anything": [],
}


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ("old", "0-3"),
        ("new", "2-3"),
        ("vax|new", "2-3"),
        ("vax | zlib", "2-3"),
        ("old,zlib", "2-3"),
        ("old&zlib|vax", "2-3"),
        ("anything", None),
        ("vax|anything", None),
    ],
)
def test_named_blocks_are_alternatives(requires: str, expected: str | None) -> None:
    """`a|b` is met where either is, `a,b` where both are."""
    assert ranks(planned(node(), requires=requires, requires_=BLOCKS)) == expected


def test_a_block_and_the_resources_own_entries_come_together() -> None:
    """A node must meet what the resource asks and one of the named blocks."""
    plan = planned(
        node(requires=[need("system", field="cpu.target", match="amd64")]),
        requires="zlib|old",
        requires_=BLOCKS,
    )
    assert ranks(plan) == "0-1"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            need(field="ior", min="5.0.0"),
            (
                "no node here has 'ior' from '5.0.0' in subsystem 'spack'; there: 2 nodes with"
                " '2.9.0', 2 nodes with '3.3.0', '4.1.0', 1 node not described"
            ),
        ),
        (
            need("system", field="cpu.tarjet", match="amd64"),
            (
                "no node here has 'cpu.tarjet' = 'amd64' in subsystem 'system'; there: 4 nodes"
                " without 'cpu.tarjet', 1 node not described"
            ),
        ),
        (
            need("spak", field="ior", match="3.3.0"),
            "no node here has a subsystem 'spak'; did you mean 'spack'?",
        ),
        (
            need(field="type", match="package", attribute="name", value="lammps"),
            (
                "no node here has 'name' = 'lammps' of a 'package' in subsystem 'spack'; there: 2"
                " nodes without 'name', 2 nodes with 'ior', 'zlib', 1 node not described"
            ),
        ),
    ],
)
def test_a_refusal_names_the_entry_what_was_asked_and_what_there_is(
    entry: dict[str, str], told: str
) -> None:
    """With the entry's place in the jobspec."""
    with pytest.raises(Unplaceable) as caught:
        ranks(planned(node(requires=[entry])))
    where, _, rest = str(caught.value).partition("): ")
    assert where.startswith("resources.r.requires[0] (line 1, column ")
    assert rest == told


def test_too_few_nodes_that_pass() -> None:
    """Both numbers are reported: how many are asked for, and how many pass."""
    with pytest.raises(Unplaceable) as caught:
        ranks(planned(node(3, requires=[need(field="ior", min="3.0.0")])))
    assert str(caught.value).partition("): ")[2] == (
        "3 nodes with 1 core each asked for; 2 nodes of 5 met "
        "`requires`, with space for 2 nodes (2 nodes with 8 cores and 2 GPUs)"
    )


GPU = {"type": "node", "count": 1, "with": [{"type": "gpu", "count": 2}]}
CPU = node(inside=[{"type": "core", "count": 4}])


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [({"gpu": GPU, "cpu": CPU}, 2), ({"gpu": {**GPU, "count": 3}, "cpu": CPU}, None)],
)
def test_the_first_alternative_that_can_run_is_taken(
    resources: dict[str, Any], gpus: int | None
) -> None:
    """`gpu|cpu` is GPUs where there are enough, cores where not."""
    plan = planned(CPU, resources="gpu|cpu", resources_=resources)
    (task,) = place(plan, SITE).tasks
    slot = task.jobspec["resources"][0]["with"][0]["with"]
    assert {part["type"]: part["count"] for part in slot}.get("gpu") == gpus


def test_an_alternative_on_nodes_that_are_up_comes_first() -> None:
    """One of two GPU nodes is down: the cores run now; without them the GPUs are waited for."""
    two = {**GPU, "count": 2}
    plan = planned(CPU, resources="gpu|cpu", resources_={"gpu": two, "cpu": CPU})
    (task,) = place(plan, SITE).tasks
    assert task.jobspec["resources"][0]["count"] == 1
    assert ranks(planned({**two, "requires": [need(field="ior", min="3")]})) == "2-3"


def test_no_alternative_fits() -> None:
    """Each is reported, with what there is."""
    plan = planned(
        CPU,
        resources="gpu|big",
        resources_={"gpu": {**GPU, "count": 3}, "big": node(9)},
    )
    with pytest.raises(Unplaceable) as caught:
        place(plan, SITE)
    first, second = str(caught.value).split("; and ")
    assert "resources.gpu (line 1, column " in first
    assert (
        "3 nodes with 1 core and 2 GPUs each asked for; there are 5 nodes, with space for 2"
        in first
    )
    assert "9 nodes with 1 core each asked for; there are 5 nodes, with space for 5 nodes" in second


def test_gpus_that_the_scheduler_does_not_give() -> None:
    """They do not count, and the refusal says why."""
    nodes = tuple(replace(node, gpus=0, gpus_withheld=node.gpus) for node in SITE.nodes)
    with pytest.raises(Unplaceable, match="4 GPUs more cannot be given by this Flux's scheduler"):
        place(planned({**GPU, "requires": [need(field="ior", min="2")]}), Site(nodes))


def test_what_the_user_installed_holds_on_every_node() -> None:
    """A subsystem of the user's own is met everywhere, also where a node is not described."""
    site = Site(SITE.nodes, {"environment-modules": ({"type": "module", "software": "lammps"},)})
    entry = need("environment-modules", field="type", match="module", attribute="software")
    assert ranks(planned(node(requires=[{**entry, "value": "lammps"}])), site) == "0-4"


TEXTS = st.sampled_from(["1.0.0", "2.9.0", "3.0.0", "3.3.0", "4", "zlib", ""])
VERTICES = st.dictionaries(st.sampled_from(["ior", "name", "type"]), TEXTS, max_size=3)


@given(
    vertices=st.lists(VERTICES, max_size=3),
    wanted=st.builds(
        Need,
        st.just("spack"),
        field=st.sampled_from(["ior", "name", "type", ""]),
        equals=TEXTS,
        attribute=st.sampled_from(["name", ""]),
        value=TEXTS,
    ),
)
def test_more_software_never_takes_a_match_away(
    vertices: list[dict[str, str]], wanted: Need
) -> None:
    """A need that some of a node's vertices meet is met by all of them together."""
    together = wanted.met_by(vertices)
    assert together == any(wanted.met_by([vertex]) for vertex in vertices)
