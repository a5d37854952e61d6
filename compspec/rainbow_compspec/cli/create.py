"""`rainbow-compspec create`: graphs from a folder of node JSON, as files."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

from rainbow_compspec import jgf
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
_WIRE = "Write what rainbow would get: the fullest form that fits into one message."


@click.group()
def create() -> None:
    """Make graphs from a folder of node JSON."""


@create.command()
@click.option("--cluster-name", required=True, help="The cluster's name, as rainbow knows it.")
@source_options
@click.option("--nodes-output", type=_OUT, help="Write here, not to stdout.")
@click.option("--wire", is_flag=True, help=_WIRE)
def nodes(
    *,
    cluster_name: str,
    node_dir: Path | None,
    simulate: str | None,
    nodes_output: Path | None,
    wire: bool,
) -> None:
    """The cluster graph (options as in compspec-go)."""
    graph = cluster_graph(cluster_name, nodes_from(node_dir, simulate, cluster_name))
    _save(graph, nodes_output, wire)


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
def subsystem(
    *,
    name: str,
    cluster_name: str,
    node_dir: Path | None,
    simulate: str | None,
    nodes_file: Path | None,
    output: Path | None,
    wire: bool,
) -> None:
    """The graph of one subsystem."""
    found = nodes_from(node_dir, simulate, cluster_name)
    if nodes_file is None:
        ids = cluster_graph(cluster_name, found).node_ids
    else:
        ids = _ids_in(nodes_file, cluster_name, found)
    graph = subsystem_graph(name, found, ids)
    if graph.empty:
        raise CompspecError(f"no node has anything of {name}, so there is no graph of it")
    _save(graph, output, wire)


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


def _save(graph: Graph, path: Path | None, wire: bool) -> None:
    """Writes the graph in one step, so that no one reads half of it."""
    if path is None:
        _write(graph, sys.stdout, wire)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="ascii") as stream:
            _write(graph, stream, wire)
        temporary.replace(path)
    except OSError as exc:
        with suppress(OSError):
            temporary.unlink()
        raise CompspecError(f"{path}: cannot be written: {exc.strerror}") from exc


def _write(graph: Graph, stream: TextIO, wire: bool) -> None:
    if wire:
        stream.write(encode(graph).text + "\n")
    else:
        jgf.write(graph, stream)
