"""Which clusters can run a job that is sent, over our own scheduler and the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rainbow_agent.fleet.choosing import NoClusterFits, Selection
from rainbow_agent.fleet.submission import find
from rainbow_agent.jobspec.plan import plan_text
from support.destinations import ALL, Destinations, job_text
from support.servers import SchedulerKind, served


@pytest.fixture(scope="module")
def fleet(kind: SchedulerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Destinations]:
    """Red, pink and green."""
    with served(kind, tmp_path_factory.mktemp("fleet")) as (process, scheduler):
        yield Destinations(process, scheduler)


def _with(*entries: str, below: str = "") -> str:
    inside = f"requires: [{below}]" if below else ""
    return (
        f"{{type: node, count: 1, requires: [{', '.join(entries)}],"
        f" with: [{{type: core, count: 1, {inside}}}]}}"
    )


def _spack(rest: str) -> str:
    return f"{{name: spack, {rest}}}"


_ONE = "{type: node, count: 1}"
_HDF5 = _spack("field: hdf5, min: 1.14.0")
_IOR_OLD = _spack("field: ior, max: 3.9.9")


@pytest.mark.parametrize(
    ("jobspec", "fit"),
    [
        pytest.param(
            job_text(_with(_spack("field: ior, min: 3.3.0"))), "green red", id="one-entry"
        ),
        pytest.param(job_text(_with(_HDF5, _IOR_OLD)), "red", id="two-of-one-subsystem"),
        pytest.param(job_text(_with(_IOR_OLD, _HDF5)), "red", id="two-the-other-way-round"),
        pytest.param(job_text(_with(_IOR_OLD)), "green pink red", id="an-older-version"),
        pytest.param(job_text(_with(_spack("field: ior, max: 1.9"))), "green", id="the-oldest"),
        pytest.param(job_text(_with(_spack("field: ior, match: 3.3.0"))), "green red", id="exact"),
        pytest.param(
            job_text(_with(_spack("field: ior, match: 1.0.0"))), "green", id="exact-oldest"
        ),
        pytest.param(
            job_text(_with(_spack("field: ior, match: 3.3.0, max: 3.2.0"))), "", id="exact-outside"
        ),
        pytest.param(job_text(_with(_spack("field: tool, match: develop"))), "red", id="branch"),
        pytest.param(job_text(_with(below=_HDF5)), "red", id="below-the-node"),
        pytest.param(
            job_text(_with(_IOR_OLD), task=f", requires: [{_HDF5}]"), "red", id="task-and-resource"
        ),
        pytest.param(
            job_text(
                "{type: node, count: 1}",
                f"requires: {{sw: [{_HDF5}, {_IOR_OLD}]}}\n",
                ", requires: sw",
            ),
            "red",
            id="named-block",
        ),
        pytest.param(
            job_text(
                "{type: node, count: 1}",
                "requires:\n  sw: ["
                + _spack("field: type, match: package, attribute: name, value: hdf5")
                + "]\n",
                ", requires: sw",
            ),
            "pink red",
            id="package-by-name",
        ),
        pytest.param(
            job_text(
                "{type: node, count: 1}",
                task=", requires: [" + _spack("attribute: name, value: tool") + "]",
            ),
            "red",
            id="package-that-has-no-version",
        ),
        pytest.param(
            job_text(
                "{type: node, count: 1}",
                f"requires: {{a: [{_HDF5}], b: [{_spack('field: ior, min: 4')}]}}\n",
                ", requires: a|b",
            ),
            "green red",
            id="either-block",
        ),
        pytest.param(
            job_text(
                {
                    "big": "{type: node, count: 9, with: [{type: core, count: 1}]}",
                    "small": _with(_HDF5),
                }
            ),
            "red",
            id="alternatives",
        ),
    ],
)
def test_every_requirement_is_asked_for(fleet: Destinations, jobspec: str, fit: str) -> None:
    """Wherever it stands, and however many there are of one subsystem."""
    assert fleet.fits(jobspec) == tuple(fit.split())


def _tree(path: str) -> str:
    """A resource from `node=1 slot=2 core=3`, each in the one before; `~` stands for replicas."""
    text = ""
    for vertex in reversed(path.split()):
        kind, mark, number = vertex.partition("=") if "=" in vertex else vertex.partition("~")
        word = "count" if mark == "=" else "replicas"
        text = f"{{type: {kind}, {word}: {number}{text and f', with: [{text}]'}}}"
    return text


@pytest.mark.parametrize(
    ("resource", "fits"),
    [
        ("node=1 cores=1", True),
        ("nodes=2 core=4", True),
        ("node=1 core=5", False),
        ("node=1 slot=2 core=2", True),
        ("node=1 slot=2 core=3", False),
        ("node=2 slot=2 core=3", False),
        ("slot=2 node=1 core=4", True),
        ("slot=8 core=1", True),
        ("slot=9 core=1", False),
        ("slot=1 core=5", False),
        ("node~4 core=2", True),
        ("node~5 core=2", False),
        ("rack=1 node=2 core=1", True),
        ("rack~1 node=2", True),
        ("rack~1 node=3", False),
        ("rack=2 node=2", False),
        ("zone=1 node=1", True),
        ("cluster=1 node=2", True),
        ("node=1 numanode=2 core=2", True),
        ("node=1 socket=1 gpu=1", True),
        ("core=5", False),
        ("core~8", True),
        ("gpu=1", True),
        ("gpu=2", False),
        ("gpu~2", True),
        ("gpu~3", False),
    ],
)
def test_resources_are_asked_for_as_the_agent_plans_them(
    fleet: Destinations, resource: str, fits: bool
) -> None:
    """Plurals, slots and levels above the node are asked for in the matcher's own form."""
    assert fleet.fits(job_text(_tree(resource))) == (ALL if fits else ())


def test_what_is_in_groups_is_asked_for(fleet: Destinations) -> None:
    """A group's own resources, and what the tasks in it require, at any depth."""
    text = (
        "version: 1\nresources: {r: {type: node, count: COUNT}}\n"
        "groups:\n- name: g\n  resources: r\n  tasks:\n  - group: deep\n"
        f"- name: deep\n  tasks:\n  - {{command: [x], requires: [{_HDF5}]}}\n"
    )
    assert fleet.fits(text.replace("COUNT", "2")) == ("red",)
    assert fleet.fits(text.replace("COUNT", "3")) == ()


def test_every_task_counts(fleet: Destinations) -> None:
    """One with slots beside one without, and as many as there are, and each must fit."""
    text = (
        "version: 1\nresources:\n  slots: {type: slot, count: 2, with: [{type: core, count: 1}]}\n"
        "  nodes: {type: node, count: COUNT}\n"
        "tasks:\n- {command: [x], resources: slots}\n- {command: [x], resources: nodes}\n"
    )
    assert fleet.fits(text.replace("COUNT", "2")) == ALL
    assert fleet.fits(text.replace("COUNT", "3")) == ()


def test_resources_that_no_task_uses_are_not_asked_for(fleet: Destinations) -> None:
    """The agent does not look at them either."""
    text = (
        "version: 1\nresources:\n  huge: {type: node, count: 1000}\n"
        "  small: {type: node, count: 1}\ntasks:\n- {command: [x], resources: small}\n"
    )
    assert fleet.fits(text) == ALL


@pytest.mark.parametrize(
    ("jobspec", "said"),
    [
        (
            job_text("{type: node, count: 3}"),
            "rainbow knows 3 clusters, and none has 3 nodes with 1 core each",
        ),
        (
            job_text(_with(_HDF5, _spack("field: ior, min: 4"))),
            "none of those that have the rest (red) has 'ior' from '4' in subsystem 'spack'",
        ),
        (
            job_text(_with(_spack("field: no, match: '1'"))),
            "none has 'no' = '1' in subsystem 'spack'",
        ),
    ],
)
def test_what_no_cluster_has_is_named(fleet: Destinations, jobspec: str, said: str) -> None:
    """The first thing that is asked for and leaves none."""
    with pytest.raises(NoClusterFits) as caught:
        find(fleet.scheduler, plan_text(jobspec))
    assert said in str(caught.value)


def test_what_rainbow_cannot_be_asked_needs_a_cluster_by_name(fleet: Destinations) -> None:
    """Packages by hash, compiler or target: only the agent can see them."""
    jobspec = job_text(
        _with(_spack("field: type, match: package, attribute: compiler, value: gcc"))
    )
    with pytest.raises(NoClusterFits, match="cannot be asked for 'compiler' = 'gcc'"):
        fleet.send(jobspec, Selection())
    assert fleet.send(jobspec, Selection(cluster="pink")) == "pink"
