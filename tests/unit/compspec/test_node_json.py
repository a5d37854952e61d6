"""Node JSON: ours written and read, compspec-go's read, other shapes refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import node, node_ours, probes
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Core, NodeFacts
from rainbow_compspec.recorded import RecordedHost

Recorded = Callable[[str], RecordedHost]

HOSTS = (
    "x86-two-socket",
    "arm64-server",
    "nvidia-h100",
    "amd-mi250x",
    "intel-max",
    "container-cgroup-v1",
    "container-cgroup-v2",
    "plain-vm",
    "odd-no-topology",
)


def describe(host: RecordedHost, given_values: dict[str, dict[str, str]] | None = None) -> str:
    """The node JSON of a recorded machine."""
    return node.dumps(node.document(probes.run(host, overrides=given_values), "node0"))


def facts_of(
    host: RecordedHost, given_values: dict[str, dict[str, str]] | None = None
) -> NodeFacts:
    """The facts of a recorded machine, through its node JSON."""
    return node.to_facts(node.loads(describe(host, given_values)))


def test_a_server_with_everything(recorded: Recorded) -> None:
    """What the probes saw comes through the file unharmed."""
    facts = facts_of(recorded("x86-two-socket"))
    assert (facts.name, facts.arch, facts.vendor) == ("node0", "amd64", "AuthenticAMD")
    assert (facts.target, facts.memory) == ("zen3", 256 << 30)
    assert facts.sockets == (0, 1)
    assert facts.cores[17] == Core(17, 1, 1, (17, 49))
    assert [core.id for core in facts.cores] == list(range(32))
    assert [(p.name, p.version, p.compiler, p.explicit) for p in facts.packages] == [
        ("ior", "3.3.0", "gcc@12.3.0", True),
        ("openmpi", "4.1.6", "gcc@12.3.0", False),
        ("zlib", "1.3", "gcc@12.3.0", False),
    ]
    assert facts.mpi == {"implementation": "OpenMPI", "version": "4.1.6"}
    assert facts.os["release"] == "9.3"
    assert facts.gpus == ()


def test_gpus_come_through(recorded: Recorded) -> None:
    """Each GPU keeps its vendor, model, memory, UUID and place."""
    gpu = facts_of(recorded("nvidia-h100")).gpus[3]
    assert (gpu.index, gpu.vendor, gpu.model) == (3, "nvidia", "NVIDIA H100 80GB HBM3")
    assert (gpu.memory, gpu.numa, gpu.pci) == (85520809984, 1, "0000:df:00.0")
    assert len(facts_of(recorded("amd-mi250x")).gpus) == 4


def test_a_container_has_what_it_may_use(recorded: Recorded) -> None:
    """Cores of its affinity, memory of its cgroup."""
    facts = facts_of(recorded("container-cgroup-v2"))
    assert [core.cpus for core in facts.cores] == [(4,), (5,), (6,), (7,)]
    assert facts.memory == 8 << 30


def test_overrides_reach_the_facts(recorded: Recorded) -> None:
    """Counts that the operator gives shape the node: cores are spread, GPUs cut or added."""
    given_values = {
        "cpu": {"cores": "6", "sockets": "2", "model": "Our CPU"},
        "gpu": {"count": "2", "vendor": "nvidia", "1.model": "A100"},
        "memory": {"usable": "1024"},
        "os": {"hostname": "rack1-7"},
    }
    facts = facts_of(recorded("plain-vm"), given_values)
    assert (facts.name, facts.model, facts.memory) == ("rack1-7", "Our CPU", 1024)
    assert [core.socket for core in facts.cores] == [0, 0, 0, 1, 1, 1]
    assert [(gpu.vendor, gpu.model) for gpu in facts.gpus] == [("nvidia", ""), ("nvidia", "A100")]
    assert len(facts_of(recorded("nvidia-h100"), {"gpu": {"count": "1"}}).gpus) == 1


@pytest.mark.parametrize("name", HOSTS)
def test_compspec_go_can_load_ours(name: str, recorded: Recorded) -> None:
    """What its `create nodes` needs is there, and nothing in it makes it panic or hang."""
    results = json.loads(describe(recorded(name)))["results"]
    for data in results.values():
        assert data.keys() == {"sections"}
        for section in data["sections"].values():
            assert all(type(value) is str for value in section.values())
    system = results["system"]["sections"]
    cores = int(system["cpu"]["cores"])
    assert results["nfd"]["sections"]
    assert system["processor"]
    assert 1 <= int(results["nfd"]["sections"]["cpu"]["topology.socket_count"]) <= cores


@pytest.mark.parametrize("name", HOSTS)
def test_every_reading_says_where_it_comes_from(name: str, recorded: Recorded) -> None:
    """Each probe has a status, and one with values a source with its confidence."""
    host = recorded(name)
    doc = node.loads(describe(host))
    ours = doc[node_ours.EXTRACTOR]
    assert ours["probes"].keys() == probes.PROBES.keys()
    for probe, status in ours["probes"].items():
        if status == "ok" and ours.get(probe):
            assert ours["origin"][probe].partition(": ")[2]


def test_equal_nodes_give_equal_files(recorded: Recorded) -> None:
    """The same machine is described in the same bytes."""
    assert describe(recorded("x86-two-socket")) == describe(recorded("x86-two-socket"))


def test_equal_nodes_share_their_cores(recorded: Recorded) -> None:
    """A thousand equal nodes do not hold a thousand lists of equal cores."""
    text = describe(recorded("x86-two-socket"))
    one, two = (node.to_facts(node.loads(text)) for _ in range(2))
    assert one.cores is two.cores
    assert one.packages is two.packages


def test_a_node_whose_cpu_could_not_be_read(tmp_path: Path) -> None:
    """It is described without cores, and says why."""
    (tmp_path / "host.json").write_text("{}", encoding="utf-8")
    doc = node.loads(describe(RecordedHost(tmp_path)))
    assert doc[node_ours.EXTRACTOR]["probes"]["cpu"].startswith("failed: cannot read /proc/cpuinfo")
    assert node.to_facts(doc).cores == ()


UPSTREAM: dict[str, Any] = {
    "library": {"sections": {"mpi": {"variant": "mpich", "version": "4.1.1"}}},
    "nfd": {
        "sections": {
            "cpu": {"topology.socket_count": "1", "cpuid.AVX2": "true"},
            "kernel": {"version.full": "6.1.0"},
            "network": None,
            "system": {"name.nodename": ""},
        }
    },
    "system": {
        "sections": {
            "arch": {"name": "amd64", "arch": "x86_64\n"},
            "cpu": {"cores": "4"},
            "memory": {"memtotal": "16777216 kB"},
            "os": {"name": "Debian GNU/Linux 12", "release": "12.11\n", "vendor": "debian"},
            "processor": {
                "0.normalized.vendor": "GenuineIntel",
                "0.normalized.model": "Xeon",
                "0.normalized.features": "sse sse2 mmx ssse3 sse4_1 sse4_2 popcnt cx16 lahf_lm",
                **{f"{n}.raw.physical_id": str(n % 2) for n in range(4)},
                **{f"{n}.raw.core_id": "0" for n in range(4)},
            },
        }
    },
}


def upstream(**changes: Any) -> str:
    """A file as compspec-go writes it, `system.cpu={...}` and the like replaced."""
    found = json.loads(json.dumps(UPSTREAM))
    for place, value in changes.items():
        extractor, section = place.split("__")
        found[extractor]["sections"][section] = value
    return json.dumps({"results": found})


def test_compspec_gos_files() -> None:
    """Cores from the processors' ids, threads apart; system, MPI and a microarchitecture."""
    facts = node.to_facts(node.loads(upstream()), name="node-1")
    assert facts.name == "node-1"
    assert facts.cores == (Core(0, 0, None, (0, 2)), Core(1, 1, None, (1, 3)))
    assert (facts.arch, facts.vendor, facts.model) == ("amd64", "GenuineIntel", "Xeon")
    assert facts.memory == 16 << 30
    assert facts.os == {
        "name": "Debian GNU/Linux 12",
        "release": "12.11",
        "vendor": "debian",
        "kernel": "6.1.0",
    }
    assert facts.mpi == {"implementation": "mpich", "version": "4.1.1"}
    assert facts.target == "nehalem"


@pytest.mark.parametrize(
    ("siblings", "cores"),
    [
        ("4", (Core(0, 0, None, (0, 2)), Core(1, 0, None, (1, 3)))),
        ("2", (Core(0, 0, None, (0,)), Core(1, 0, None, (1,)), Core(2, 0, None, (2,)))),
    ],
)
def test_compspec_go_loses_the_last_processor(siblings: str, cores: tuple[Core, ...]) -> None:
    """Its file has one processor less than CPUs: the last is a thread that lacks, or a core."""
    seen = 3 if siblings == "4" else 2
    processor = {"0.raw.siblings": siblings, "0.raw.cpu_cores": "2"}
    for number in range(seen):
        processor[f"{number}.raw.physical_id"] = "0"
        processor[f"{number}.raw.core_id"] = str(number % 2)
    text = upstream(system__processor=processor, system__cpu={"cores": str(seen + 1)})
    assert node.to_facts(node.loads(text)).cores == cores


def test_compspec_gos_files_without_core_ids() -> None:
    """On arm64 the processors have no ids: its count is spread over its sockets."""
    text = upstream(system__processor={"0.raw.cpu_part": "0xd40"}, system__cpu={"cores": "5"})
    facts = node.to_facts(node.loads(text.replace('count": "1"', 'count": "2"')))
    assert [core.socket for core in facts.cores] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("cores", ["many", "0", "-3"])
def test_compspec_gos_core_count_must_be_a_number(cores: str) -> None:
    """The message names the file and the key."""
    text = upstream(system__processor={}, system__cpu={"cores": cores})
    with pytest.raises(CompspecError, match=r"n\.json: system\.cpu\.cores"):
        node.to_facts(node.loads(text, "n.json"), "n.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "n.json: not JSON"),
        ('{"results": {"nfd": {"sect', "n.json: not JSON, perhaps cut off"),
        ("[]", "n.json: must be an object, found a list"),
        ("{}", "n.json: results must be an object, found nothing"),
        ('{"results": []}', "n.json: results must be an object"),
        ('{"results": {"nfd": 3}}', "n.json: results.nfd must be an object, found 3"),
        ('{"results": {"nfd": {"sections": {"cpu": "x"}}}}', "results.nfd.sections.cpu must be"),
        (
            '{"results": {"nfd": {"sections": {"cpu": {"cores": 4}}}}}',
            "results.nfd.sections.cpu.cores must be a string, found 4",
        ),
    ],
)
def test_other_shapes_are_refused(text: str, message: str) -> None:
    """The message names the file and the key."""
    with pytest.raises(CompspecError) as caught:
        node.loads(text, "n.json")
    assert message in str(caught.value)


def test_a_file_that_describes_no_node() -> None:
    """A document with other extractors only is named as such."""
    doc = node.loads('{"results": {"kernel": {"sections": {"boot": {"a": "b"}}}}}')
    with pytest.raises(CompspecError, match=r"n\.json: describes no node.*kernel"):
        node.to_facts(doc, "n.json")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("cpu", "cores", "many"),
        ("memory", "usable", "-1"),
        ("gpu", "count", "two"),
        ("gpu", "0.memory", "80GB"),
        ("core", "0", "socket=left"),
        ("core", "first", "socket=0"),
    ],
)
def test_our_own_damaged_values_are_named(
    section: str, key: str, value: str, recorded: Recorded
) -> None:
    """A value that was edited into nonsense is refused with file and key."""
    top = json.loads(describe(recorded("nvidia-h100")))
    top["results"]["rainbow"]["sections"][section][key] = value
    with pytest.raises(CompspecError) as caught:
        node.to_facts(node.loads(json.dumps(top)), "n.json")
    assert f"n.json: rainbow.{section}" in str(caught.value)
    assert value in str(caught.value)


def test_files(tmp_path: Path) -> None:
    """Files are loaded by name, and the name is in what goes wrong."""
    path = tmp_path / "node-1.json"
    path.write_text(upstream(), encoding="utf-8")
    assert node.to_facts(node.load(path)).arch == "amd64"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CompspecError, match=r"node-1\.json: not UTF-8"):
        node.load(path)
    with pytest.raises(CompspecError, match=r"none\.json: cannot be read"):
        node.load(tmp_path / "none.json")


def facts_or_error(text: str) -> NodeFacts | str:
    """What a file says, or what is wrong with it."""
    try:
        return node.to_facts(node.loads(text, "n.json"), "n.json")
    except CompspecError as exc:
        return str(exc)


_SECTIONS = st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), st.text()))


@given(st.dictionaries(st.text(max_size=5), _SECTIONS))
def test_documents_read_back(doc: dict[str, dict[str, dict[str, str]]]) -> None:
    """Any document survives being written."""
    assert node.loads(node.dumps(doc)) == doc


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["results", "nfd", "system", "rainbow", "sections", "cpu", "cores"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=10,
    )
)
def test_any_json_is_facts_or_a_clear_error(top: object) -> None:
    """Whatever stands in the file: facts, or an error that names it."""
    outcome = facts_or_error(json.dumps(top))
    assert isinstance(outcome, NodeFacts) or outcome.startswith("n.json: ")


@given(st.integers(1, 300), st.integers(0, 20))
def test_spread_cores_are_even(cores: int, sockets: int) -> None:
    """No socket has two cores more than another, and none is empty."""
    spread = node_ours.spread(cores, sockets)
    sizes = [sum(core.socket == n for core in spread) for n in {core.socket for core in spread}]
    assert sum(sizes) == cores
    assert max(sizes) - min(sizes) <= 1
