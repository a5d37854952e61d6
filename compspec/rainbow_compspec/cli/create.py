"""`rainbow-compspec create`: graphs from a folder of node JSON, as files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

from rainbow_compspec import fluxion, jgf
from rainbow_compspec.cli.source import nodes_from, source_options
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.jgf import ROOT, Graph
from rainbow_compspec.jgf_read import load_cluster
from rainbow_compspec.outline import NODE
from rainbow_compspec.subsystems import SUBSYSTEMS, subsystem_graph
from rainbow_compspec.wire import encode

_OUT = click.Path(dir_okay=False, path_type=Path)
_format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["rainbow", "fluxion"]),
    default="rainbow",
    help="Who is to read it; rainbow's is JSON Graph Format 2. Default: rainbow.",
)
_WIRE = "Write what rainbow would get: the fullest form that fits into one message."


@click.group()
def create() -> None:
    """Make graphs from a folder of node JSON."""


@create.command()
@click.option("--cluster-name", required=True, help="The cluster's name, as rainbow knows it.")
@source_options
@click.option("--nodes-output", type=_OUT, help="Write here, not to stdout.")
@click.option("--wire", is_flag=True, help=_WIRE)
@_format_option
@click.option(
    "--nodes-per-rack",
    type=click.IntRange(min=1),
    help="For Fluxion: racks of so many nodes, in their order; without it there are none.",
)
@click.option(
    "--sockets",
    is_flag=True,
    help="For Fluxion: with sockets, for jobspecs that ask for some; others then find no cores.",
)
def nodes(
    *,
    cluster_name: str,
    node_dir: Path | None,
    simulate: str | None,
    nodes_output: Path | None,
    wire: bool,
    form: str,
    nodes_per_rack: int | None,
    sockets: bool,
) -> None:
    """The cluster graph (options as in compspec-go)."""
    graph = cluster_graph(cluster_name, nodes_from(node_dir, simulate, cluster_name))
    if form == "fluxion":
        if wire:
            raise click.UsageError("--wire is rainbow's form; leave it out, or --format=fluxion")
        racked = fluxion.in_racks(graph, nodes_per_rack or 0)
        whole = racked if sockets else fluxion.WithoutSockets(racked)
        _save(nodes_output, lambda stream: fluxion.write(whole, stream))
        return
    if nodes_per_rack or sockets:
        raise click.UsageError("--nodes-per-rack and --sockets go with --format=fluxion")
    _save(nodes_output, _writer(graph, wire=wire))


@create.command()
@click.argument("name", type=click.Choice(list(SUBSYSTEMS)))
@click.option("--cluster-name", required=True, help="The cluster's name, as rainbow knows it.")
@source_options
@click.option(
    "--nodes",
    "nodes_file",
    type=click.Path(path_type=Path),
    help="The cluster graph whose nodes it belongs to; without it, `create nodes` of the same.",
)
@click.option("--output", "--nodes-output", "output", type=_OUT, help="Write here, not to stdout.")
@click.option("--wire", is_flag=True, help=_WIRE)
@_format_option
def subsystem(
    *,
    name: str,
    cluster_name: str,
    node_dir: Path | None,
    simulate: str | None,
    nodes_file: Path | None,
    output: Path | None,
    wire: bool,
    form: str,
) -> None:
    """The graph of one subsystem; for Fluxion that of spack only, as a tree of its own."""
    found = nodes_from(node_dir, simulate, cluster_name)
    if form == "fluxion":
        if name != "spack" or wire or nodes_file is not None:
            raise click.UsageError(
                "--format=fluxion is a tree of spack's packages alone, without --wire and --nodes"
            )
        tree = fluxion.software_tree(cluster_name, found)
        _save(output, lambda stream: fluxion.write(tree, stream))
        return
    if nodes_file is None:
        ids = cluster_graph(cluster_name, found).node_ids
    else:
        ids = _ids_in(nodes_file, cluster_name, found)
    graph = subsystem_graph(name, found, ids)
    if graph.empty:
        raise CompspecError(f"no node has anything of {name}, so there is no graph of it")
    _save(output, _writer(graph, wire=wire))


def _ids_in(path: Path, cluster: str, nodes: tuple[NodeFacts, ...]) -> tuple[str, ...]:
    """The nodes' ids in a cluster graph, found by their names."""
    graph = load_cluster(path)
    of = graph.by_id[ROOT].metadata.get("basename", cluster)
    if of != cluster:
        raise CompspecError(f"{path}: is the graph of cluster {of}, not of {cluster}")
    ids = {
        vertex.metadata.get("name"): vertex.id for vertex in graph.vertices() if vertex.type == NODE
    }
    missing = [facts.name for facts in nodes if facts.name not in ids]
    if missing:
        raise CompspecError(
            f"{path}: has no node called {missing[0]}; make it again with `create nodes` from the "
            "same folder"
        )
    return tuple(ids[facts.name] for facts in nodes)


def _save(path: Path | None, write: Callable[[TextIO], None]) -> None:
    """Writes a graph in one step, so that no one reads half of it."""
    if path is None:
        write(sys.stdout)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="ascii") as stream:
            write(stream)
        temporary.replace(path)
    except OSError as exc:
        with suppress(OSError):
            temporary.unlink()
        raise CompspecError(f"{path}: cannot be written: {exc.strerror}") from exc


def _writer(graph: Graph, *, wire: bool) -> Callable[[TextIO], None]:
    """What writes a graph for rainbow."""

    def write(stream: TextIO) -> None:
        if wire:
            stream.write(encode(graph).text + "\n")
        else:
            jgf.write(graph, stream)

    return write
