"""Where a verb gets its nodes from: a folder of node JSON, or a simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from rainbow_compspec import simulate as simulation
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.nodedir import read_node_dir
from rainbow_compspec.text import printable

CommandT = TypeVar("CommandT", bound=Callable[..., object])


def source_options(command: CommandT) -> CommandT:
    """Adds `--node-dir` and `--simulate`; `nodes_from` takes their values."""
    simulated = click.option(
        "--simulate",
        metavar="KEY=N,..",
        help="Make nodes up instead: nodes=4,sockets=2,cores=64,gpus=8,packages=300,memory=512; "
        "cores and GPUs are a node's, memory is in GiB.",
    )
    folder = click.option(
        "--node-dir",
        type=click.Path(path_type=Path),
        help="A folder of node JSON, one file a node, ours or compspec-go's.",
    )
    return folder(simulated(command))


def nodes_from(node_dir: Path | None, simulate: str | None, prefix: str) -> tuple[NodeFacts, ...]:
    """The nodes; what is wrong with single files goes to stderr.

    Args:
        node_dir: value of `--node-dir`.
        simulate: value of `--simulate`.
        prefix: what made-up nodes are called.

    Raises:
        click.UsageError: both or neither are given.
        CompspecError: there are no nodes to be had.
    """
    if (node_dir is None) == (simulate is None):
        raise click.UsageError("give either --node-dir or --simulate")
    if node_dir is None:
        return simulation.simulate(simulation.parse(simulate or ""), prefix)
    found = read_node_dir(node_dir)
    for problem in found.problems:
        click.echo(printable(f"left out: {problem}"), err=True)
    return found.nodes
