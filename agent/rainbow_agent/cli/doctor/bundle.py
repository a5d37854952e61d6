"""What a maintainer needs, in one tar file, with secrets out."""

from __future__ import annotations

import io
import json
import platform
import tarfile
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from rainbow_agent import __version__
from rainbow_agent.runtime.logs import MIN_SECRET_LENGTH

#: Distributions whose versions matter.
_DISTRIBUTIONS = (
    "click",
    "grpcio",
    "protobuf",
    "psutil",
    "pyyaml",
    "flux-python",
    "archspec",
)
#: Bytes of a log that go in, from its end.
MAX_LOG_BYTES = 256 * 1024


def versions() -> dict[str, str]:
    """Of the agent, Python, the system, and what the agent is made of."""
    found = {
        "rainbow-agent": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for part in _DISTRIBUTIONS:
        try:
            found[part] = metadata.version(part)
        except metadata.PackageNotFoundError:
            found[part] = "not installed"
    return found


def write(
    path: Path, parts: Mapping[str, Any], logs: Collection[Path], secrets: Collection[str]
) -> list[str]:
    """Write the bundle, mode 0600; the names of what is in it.

    Args:
        path: the tar file, compressed with gzip.
        parts: name to what is written as JSON.
        logs: files whose end goes in, where they can be read.
        secrets: texts that are replaced wherever they stand.

    Raises:
        OSError: it cannot be written.
    """
    texts = {f"{name}.json": json.dumps(value, indent=2) for name, value in parts.items()}
    for log in logs:
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - MAX_LOG_BYTES))
                texts[f"logs/{log.name}"] = file.read().decode(errors="replace")
        except OSError as exc:
            texts[f"logs/{log.name}.unreadable"] = str(exc)
    path.touch(mode=0o600)
    path.chmod(0o600)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in texts.items():
            data = _without(text, secrets).encode()
            entry = tarfile.TarInfo(f"rainbow-agent/{name}")
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return list(texts)


def _without(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(
        (s for s in secrets if len(s) >= MIN_SECRET_LENGTH), key=len, reverse=True
    ):
        # As it is, and as JSON writes it.
        for form in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(form, "[secret]")
    return text
