"""The agent's own copy of the cluster's secret: `cluster-secret.json` in the state folder.

rainbow-config.yaml belongs to upstream's scripts too. Its register.py, run with a file that is
there, writes another cluster's secret over `cluster.secret` and leaves `cluster.name`; rainbow
gives a secret only once, so that would cost the cluster its membership.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime.files import replacing
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings

_COPY_FILE: Final = "cluster-secret.json"


class SecretCopy:
    """The copy of one cluster's secret for one rainbow."""

    def __init__(self, folder: Path, *, cluster: str, host: str) -> None:
        self._path = folder / _COPY_FILE
        self._cluster = cluster
        self._host = host

    def load(self) -> Secret | None:
        """What was saved for this cluster; None where nothing was, or it cannot be read."""
        entry = self._read()
        ours = entry.get("cluster") == self._cluster and entry.get("host") == self._host
        secret = entry.get("secret")
        return Secret(secret) if ours and isinstance(secret, str) and secret else None

    def belongs_to(self) -> tuple[str, str] | None:
        """The cluster and rainbow's address that the copy is for; None where there is none."""
        entry = self._read()
        return (str(entry.get("cluster")), str(entry.get("host"))) if entry.get("secret") else None

    def _read(self) -> dict[str, Any]:
        try:
            entry = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return entry if isinstance(entry, dict) else {}

    def save(self, secret: Secret) -> None:
        """Replace the copy; mode 0600, on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        text = json.dumps({"cluster": self._cluster, "host": self._host, "secret": secret.reveal()})
        with replacing(self._path, durable=True) as file:
            file.write(text)

    def remove(self) -> None:
        """The cluster has left rainbow, or its secret is not to be kept."""
        self._path.unlink(missing_ok=True)

    def __str__(self) -> str:
        return str(self._path)


def missing_config(settings: Settings) -> str:
    """Why the rainbow-config.yaml that was named cannot be the right one; "" when it may be.

    Without it the agent would register a cluster that is registered: rainbow gives a secret once,
    and a mistyped name would look like a secret that was lost. The agent's own copy tells
    (docs/decisions/0087).
    """
    named = settings.sources.get("config", "default")
    if named == "default" or settings.config.exists():
        return ""
    kept = SecretCopy(settings.state_dir, cluster=settings.cluster, host=settings.host)
    known = kept.belongs_to()
    if known is None:
        return ""
    # What the file would have said is unknown now, so only what was given elsewhere tells.
    another = known[0] != settings.cluster and not settings.sources["cluster"].startswith("host")
    elsewhere = known[1] != settings.host and settings.sources["host"] != "default"
    if another or elsewhere:
        return ""
    return (
        f"there is no file {settings.config} ({named} names it), and cluster {known[0]} is"
        f" registered: its secret is in another rainbow-config.yaml (and its copy in {kept})."
        " Correct the name; if the file was removed on purpose, remove that copy too"
    )


def expect_config(settings: Settings) -> None:
    """See that the rainbow-config.yaml that was named is there, if the cluster is registered.

    Raises:
        UsageError: it is not.
    """
    if problem := missing_config(settings):
        raise UsageError(problem)
