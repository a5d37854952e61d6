"""A cluster that gets another name over the same state folder: the old one stays in rainbow.

Jobs that were submitted for the old name wait there, and only its secret receives them. The
configuration file holds one cluster's secret, so the file of the old name is put aside first:
`rainbow-config.NAME.yaml`. When the name comes back, so does its file.
"""

from __future__ import annotations

import logging
from pathlib import Path

from rainbow_agent.fleet import rainbow_config
from rainbow_agent.runtime.conditions import ConditionName, Conditions

log = logging.getLogger(__name__)


def keep_other_names(path: Path, cluster: str) -> list[Path]:
    """Put the file of another name aside, and bring back that of this one.

    Args:
        path: the configuration file.
        cluster: this cluster's name.

    Returns:
        The files of names that this state folder had before, each with a secret.

    Raises:
        UsageError: a file cannot be read or written.
    """
    config, own = rainbow_config.load(path), _aside(path, cluster)
    if config is not None and config.cluster_secret and config.cluster not in ("", cluster):
        rainbow_config.save(_aside(path, config.cluster), config)
        before = rainbow_config.load(own)
        if before is not None:
            rainbow_config.save(path, before)
    if config is not None and rainbow_config.load(path) is not None:
        own.unlink(missing_ok=True)  # it is in the file itself
    return sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"))


def say_renamed(path: Path, cluster: str, conditions: Conditions) -> None:
    """Say, while there are such files, that jobs for these names wait in rainbow."""
    for file in keep_other_names(path, cluster):
        name = file.stem.removeprefix(f"{path.stem}.")
        reason = (
            f"this cluster was called {name} before and is called {cluster} now: jobs that were"
            f" submitted for {name} wait in rainbow. To run them, start an agent with"
            f" RAINBOW_CLUSTER={name}, RAINBOW_CONFIG={file} and a RAINBOW_STATE_DIR of its own;"
            f" to give them up, remove that file"
        )
        conditions.set(ConditionName.CLUSTER_RENAMED, reason)
        log.warning("%s", reason[0].upper() + reason[1:], extra={"action": "cluster_renamed"})


def _aside(path: Path, cluster: str) -> Path:
    return path.with_name(f"{path.stem}.{cluster}{path.suffix}")
