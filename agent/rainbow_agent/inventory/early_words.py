"""What the nodes say of themselves, asked while the rest of the daemon is still being loaded.

Describing a node takes as long as importing the daemon (a tenth of a second and more each), and
they need nothing of each other. Imports here are few, so that there is something left to overlap.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence

from rainbow_agent.inventory import child_process, describe_node
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.choose import Choice
from rainbow_agent.workload.flux.install import find_command
from rainbow_compspec import overrides

#: Seconds more than a node's own limit: the way there and back.
SLACK_S = 2.0
#: Would change which Python modules a rank's process finds.
_NOT_FOR_PYTHON = ("PYTHONPATH", "PYTHONHOME")


class EarlyWords:
    """The lines of a command that runs beside what else is done; they can be taken once.

    Args:
        command: what is run.
        environ: its environment.
        seconds: after these it is ended.
        stop: ends it, too.

    Attributes:
        began: epoch seconds; what is younger may not be in the answers.
    """

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], seconds: float, stop: Stop
    ) -> None:
        self.began = SystemClock().now()
        self._stop = stop.child()
        self._lines: list[tuple[bool, str]] = []
        self._taken = False
        self._reader = threading.Thread(
            target=self._read, args=(command, environ, seconds), name="describe", daemon=True
        )
        self._reader.start()

    def take(self) -> Iterator[tuple[bool, str]]:
        """What it says, as of child_process.lines(); nothing if it was taken, or did not start."""
        if not self._taken:
            self._taken = True
            self._reader.join()
            yield from self._lines
            self._lines = []

    def close(self) -> None:
        """End the command if it still runs."""
        self._stop.set("not needed any more")
        self._reader.join()

    def _read(self, command: Sequence[str], environ: Mapping[str, str], seconds: float) -> None:
        try:
            for line in child_process.lines(
                command, environ=environ, seconds=seconds, stop=self._stop
            ):
                self._lines.append(line)
        except OSError as exc:  # tried again, and said then
            self._lines.append((True, f"cannot be started: {exc}"))


def begin(settings: Settings, choice: Choice, stop: Stop) -> EarlyWords:
    """Have the nodes describe themselves now; an extractor (extractors.py) reads it later.

    Args:
        settings: secrets, extract_timeout.
        choice: the workload manager whose nodes are asked.
        stop: ends it.
    """
    environ = child_environment(os.environ, settings.secret_values, choice.uri)
    command = describe_node.command(settings.extract_timeout)
    if choice.kind == "flux":
        command = on_ranks(flux_command(), "all", command)
    return EarlyWords(command, environ, settings.extract_timeout + SLACK_S, stop)


def on_ranks(flux: str, ranks: str, command: Sequence[str]) -> list[str]:
    """A command for ranks of Flux (an idset, or "all"), each line marked with its rank."""
    return [flux, "exec", "-n", "-r", ranks, "--label-io", *command]


def flux_command() -> str:
    """The `flux` to call."""
    return find_command(os.environ) or "flux"


def child_environment(
    environ: Mapping[str, str], secrets: frozenset[str], uri: str = ""
) -> dict[str, str]:
    """The environment in which a node describes itself: what jobs get, and overrides of values.

    Neither the agent's settings nor its secrets are in it, and no PYTHONPATH.

    Args:
        environ: the agent's.
        secrets: values that are left out.
        uri: Flux's, "" for its own default.
    """
    kept = job_environment(environ, secrets)
    given = {n: value for n, value in environ.items() if n.startswith(overrides.PREFIX)}
    found = {n: v for n, v in {**kept, **given}.items() if n not in _NOT_FOR_PYTHON}
    return {**found, "FLUX_URI": uri} if uri else found
