"""What the workload manager gives, against what a node says that it has."""

from __future__ import annotations

import pytest

from rainbow_compspec.facts import Core, Gpu, NodeFacts
from rainbow_compspec.schedulable import contradictions, restrict
from rainbow_compspec.subsystems import hardware

GIB = 1 << 30


def _node(cores: int, *gpus: Gpu) -> NodeFacts:
    return NodeFacts("blue-0", cores=tuple(Core(n, 0) for n in range(cores)), gpus=gpus)


def _slice(index: int, gib: int) -> Gpu:
    return Gpu(index, "nvidia", memory=gib * GIB, partition=f"{gib}gb", card="GPU-1")


def test_cores_that_the_node_does_not_have() -> None:
    """The sentence names what Flux gives and what the node says."""
    (said,) = contradictions(_node(32), cores=range(64), gpus=())
    assert "gives cores 0-63" in said
    assert "has 32 (0-31)" in said


def test_fewer_cores_are_no_contradiction() -> None:
    """An operator may keep cores back."""
    assert contradictions(_node(32), cores=range(8), gpus=()) == ()


@pytest.mark.parametrize(("given", "known"), [(0, 4), (4, 0), (8, 4)])
def test_another_number_of_gpus(given: int, known: int) -> None:
    """GPUs that Flux did not find, or that the node does not see, are both named."""
    node = _node(4, *(Gpu(n, "amd") for n in range(known)))
    (said,) = contradictions(node, cores=range(4), gpus=range(given))
    assert f"gives {given} GPUs" in said
    assert f"has {known}" in said


def test_slices_are_named() -> None:
    """A host in MIG mode of which CUDA shows one slice."""
    node = _node(4, _slice(0, 10), _slice(1, 40))
    (said,) = contradictions(node, cores=range(4), gpus=[0])
    assert "2 are parts of a card (10gb, 40gb)" in said


def test_a_node_that_did_not_answer_contradicts_nothing() -> None:
    """Without facts there is nothing to hold Flux's word against."""
    assert contradictions(None, cores=range(4), gpus=[0]) == ()


def test_one_of_several_slices_has_the_memory_of_the_smallest() -> None:
    """Which slice a job gets is not known, so no more is promised than all of them have."""
    node = _node(4, _slice(0, 40), _slice(1, 10))
    one = restrict(node, name="blue-0", rank=0, cores=range(4), gpus=[0])
    assert hardware(one).attributes["gpu.memory.gib"] == "10"
    both = restrict(node, name="blue-0", rank=0, cores=range(4), gpus=[0, 1])
    assert [gpu.memory for gpu in both.gpus] == [40 * GIB, 10 * GIB]


def test_the_smallest_gpu_counts() -> None:
    """A node of two kinds promises what both have, and nothing if one is not known."""
    mixed = _node(4, Gpu(0, "nvidia", memory=80 * GIB), Gpu(1, "nvidia", memory=40 * GIB))
    assert hardware(mixed).attributes["gpu.memory.gib"] == "40"
    unknown = _node(4, Gpu(0, "nvidia", memory=80 * GIB), Gpu(1, "nvidia"))
    assert not hardware(unknown).attributes["gpu.memory.gib"]
