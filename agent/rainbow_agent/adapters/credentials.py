"""The cluster's credentials, in upstream's rainbow-config.yaml."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rainbow_agent.adapters import rainbow_config
from rainbow_agent.errors import UsageError
from rainbow_agent.model import Credentials
from rainbow_agent.settings_values import Secret

#: Bytes that have to fit beside the file before a secret is asked for.
_ROOM: Final = 64 * 1024


class ConfigFileStore:
    """registration.CredentialStore over the file that upstream's own scripts read too."""

    def __init__(
        self,
        *,
        path: Path,
        cluster: str,
        host: str,
        registration_secret: Secret,
        hide: Callable[[set[str]], None],
    ) -> None:
        self._path = path
        self._cluster = cluster
        self._host = host
        self._registration_secret = registration_secret
        self._hide = hide  # keeps secrets that become known here out of the logs

    def load(self) -> Secret | None:
        """The secret of this cluster; None when the file has none, or another cluster's."""
        config = rainbow_config.load(self._path)
        secret = config.secret_of(self._cluster) if config else ""
        if not secret:
            return None
        self._hide({secret})
        return Secret(secret)

    def token(self) -> str:
        """The token that submits to this cluster; "" when the file has none."""
        config = rainbow_config.load(self._path)
        return config.token_of(self._cluster) if config else ""

    def save(self, credentials: Credentials) -> None:
        """Write secret, token and host; durable, mode 0600, what else is in the file stays."""
        self._hide({credentials.secret})
        fresh = rainbow_config.merge(
            rainbow_config.load(self._path),
            host=self._host,
            cluster=self._cluster,
            secret=credentials.secret,
            token=credentials.token,
            scheduler_secret=self._registration_secret.reveal(),
        )
        rainbow_config.save(self._path, fresh)

    def check(self) -> None:
        """Make sure that the file can be read as it stands and replaced.

        Raises:
            UsageError: it cannot, and why.
        """
        rainbow_config.load(self._path)
        folder = self._path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(
                f"{folder} cannot be written, so the secret that rainbow gives (once only) could"
                " not be stored: point RAINBOW_CONFIG at a folder that this user may write"
            )
        probe = self._path.with_name(f"{self._path.name}.room")
        try:
            try:
                with probe.open("wb") as file:
                    file.write(bytes(_ROOM))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
        except OSError as exc:
            raise UsageError(
                f"{folder}: {exc.strerror}: the secret that rainbow gives (once only) could not be"
                " stored; free space there, or set RAINBOW_CONFIG"
            ) from exc

    def forget(self) -> None:
        """Take the secret out of the file."""
        config = rainbow_config.load(self._path)
        if config is not None and config.secret_of(self._cluster):
            rainbow_config.save(self._path, replace(config, cluster_secret=""))

    def describe(self) -> str:
        """The file's path."""
        return str(self._path)
