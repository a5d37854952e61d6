"""`rainbow-compspec show`: a cluster as a tree."""

from __future__ import annotations

from pathlib import Path

import click

from rainbow_compspec.cli.source import nodes_from, source_options
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.jgf import Graph
from rainbow_compspec.jgf_read import load_cluster
from rainbow_compspec.show import render
from rainbow_compspec.text import printable
from rainbow_compspec.wire import encode


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@source_options
@click.option("--cluster-name", default="cluster", show_default=True, help="The cluster's name.")
@click.option("--wire", is_flag=True, help="Also show in which form it would be sent to rainbow.")
def show(
    file: Path | None, node_dir: Path | None, simulate: str | None, cluster_name: str, wire: bool
) -> None:
    """Print a cluster as a tree for people.

    The cluster comes from a cluster graph (FILE), from a folder of node JSON, or is simulated.
    """
    graph: Graph
    if file is None:
        graph = cluster_graph(cluster_name, nodes_from(node_dir, simulate, cluster_name))
    elif node_dir or simulate:
        raise click.UsageError("give a FILE, or --node-dir, or --simulate")
    else:
        graph = load_cluster(file)
    click.echo(render(graph), nl=False)
    if wire:
        sent = encode(graph)
        line = f"sent as: {sent.form.value}, {len(sent.text):,} bytes ({sent.note})"
        click.echo(printable(line))
