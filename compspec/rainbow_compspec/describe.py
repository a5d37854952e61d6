"""From a machine to its description; what a node needs for that, and no more, is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rainbow_compspec import node, probes
from rainbow_compspec.host import Host


def describe(
    host: Host,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> node.Document:
    """The description of a machine; `node.dumps` makes node JSON of it.

    Args:
        host: the machine.
        only: the probes to ask; empty for all.
        skip: the probes not to ask.
        values: probe -> key -> value, in place of what is found.

    Raises:
        CompspecError: a probe or a key is named that there is not, or a value does not fit its key.
    """
    readings = probes.run(host, only, skip, values)
    name = host.uname().nodename
    if "os" in readings:
        name = readings["os"].values.get("hostname") or name
    return node.document(readings, name or "localhost")


def host_at(root: Path) -> Host:
    """The machine whose file system is mounted there, or that was recorded there."""
    if root == Path("/"):
        return Host()
    # tarfile and what it needs are slow to import, and a running node is not recorded
    from rainbow_compspec.recorded import RecordedHost, is_recorded  # noqa: PLC0415

    return RecordedHost(root) if is_recorded(root) else Host(root)
