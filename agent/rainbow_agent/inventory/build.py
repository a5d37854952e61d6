"""Builds what describes the nodes of this cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from rainbow_agent.core.ports import Workload
from rainbow_agent.inventory.description import ClusterDescription
from rainbow_agent.inventory.early_words import (
    EarlyWords,
    begin,
    child_environment,
    flux_command,
)
from rainbow_agent.inventory.extractors import FluxExtractor, LocalExtractor
from rainbow_agent.inventory.files import CompspecDir
from rainbow_agent.inventory.racks import read_racks
from rainbow_agent.inventory.spack_watch import SpackWatch, spack_files
from rainbow_agent.inventory.survey import Discovery, Extractor
from rainbow_agent.inventory.user_subsystems import UserSubsystems
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.debounce import Debounce
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.choose import Choice


class _ReadOnly(CompspecDir):
    """What an agent left there is read, and left alone."""

    def keep_node(self, rank: int, text: str) -> None:
        """Keep nothing."""

    def keep_cluster(self, description: ClusterDescription) -> None:
        """Keep nothing."""


def build_watcher(
    settings: Settings,
    choice: Choice,
    open_workload: Callable[[], Workload],
    stop: Stop,
    telemetry: Telemetry | None = None,
    *,
    keep: bool = True,
    early: EarlyWords | None = None,
    on_description: Callable[[], None] = lambda: None,
) -> NodeWatcher:
    """What watches the nodes of this cluster.

    Args:
        settings: cluster, folders of descriptions and subsystems, extract_timeout.
        choice: the workload manager; its nodes are described.
        open_workload: opens a connection to it.
        stop: ends the watcher's thread.
        telemetry: conditions and loops.
        keep: whether it leaves what it finds as files.
        early: what the nodes were asked already; they are asked now without it.
        on_description: is called when the description changed; from the watcher's thread.
    """
    clock = SystemClock()
    shelf = CompspecDir(settings.compspec_dir) if keep else _ReadOnly(settings.compspec_dir)
    files = spack_files(os.environ)
    early = early or begin(settings, choice, stop)
    return NodeWatcher(
        cluster=settings.cluster,
        open_workload=open_workload,
        discovery=Discovery(
            extractor=_extractor(settings, choice, files, early),
            keep=shelf.keep_node,
            clock=clock,
            recall=shelf.read_node,
        ),
        software=SpackWatch(files, early.began),
        shelf=shelf,
        clock=clock,
        stop=stop,
        settle=Debounce(clock),
        telemetry=telemetry,
        everywhere=UserSubsystems(settings.subsystems_dir).read,
        rack_of=read_racks(settings.racks),
        on_description=on_description,
    )


def _extractor(
    settings: Settings, choice: Choice, files: Sequence[Path], early: EarlyWords
) -> Extractor:
    environ = child_environment(os.environ, settings.secret_values, choice.uri)
    limit = settings.extract_timeout
    if choice.kind != "flux":
        return LocalExtractor(environ, limit, early)
    return FluxExtractor(flux_command(), environ, limit, files, early)
