"""What the tests of any package share: a clock, threads, a way to wait, jobspecs as JSON.

The in-memory servers stand beside it: scheduler.py (rainbow), workload.py (Flux).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import Credentials, Plan, PlannedTask
from rainbow_agent.runtime.setting_types import Secret

#: What a Python of a test's own needs on its path to import support.*.
TESTS: Final = Path(__file__).parents[1]

#: A busy machine makes a test slow, not red.
BUSY_FACTOR: Final = 6.0

#: 2024-05-17T10:00:00Z, when FakeClock begins.
EPOCH = 1715940000.0


class FakeClock:
    """ports.Clock that moves only on request."""

    def __init__(self, now: float = EPOCH) -> None:
        self._now = now
        self._monotonic = 100.0

    def now(self) -> float:
        """Epoch seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds


def helper_environment() -> dict[str, str]:
    """For a Python that runs a test's own code. The program is started without it (program.py)."""
    return {**os.environ, "PYTHONPATH": str(TESTS)}


def open_files() -> list[Path]:
    """The files that this process has open."""
    return [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.exists()]


def eventually(holds: Callable[[], object], what: str, *, seconds: float = 20.0) -> None:
    """Wait until something holds.

    Args:
        holds: looked at again and again until it is true.
        what: what is waited for, in words.
        seconds: how long it takes at most on a quiet machine; a busy one gets six times as long.

    Raises:
        AssertionError: it did not come true in time.
    """
    pause = threading.Event()
    limit = seconds * BUSY_FACTOR
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {limit:.0f} s still not true: {what}")
        pause.wait(0.005)


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all that descends from it, as a machine that loses power does.

    They are stopped first, so that none can make another meanwhile. None there is no error.
    """
    found: dict[int, psutil.Process] = {}
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        while fresh := [p for p in (root, *root.children(recursive=True)) if p.pid not in found]:
            for process in fresh:
                found[process.pid] = process
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
    for process in found.values():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    eventually(lambda: all(map(_is_dead, found.values())), f"{pid} and all below it are dead")


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # its parent has to wait for it
    except psutil.NoSuchProcess:
        return True


class Background:
    """A function in a thread of its own; what it died of is not lost.

    Args:
        target: the function.
        name: the thread's name.
    """

    def __init__(self, target: Callable[[], object], name: str = "background") -> None:
        self._target = target
        self._thread = threading.Thread(target=self._run, name=name)
        self.died_of: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, *, seconds: float = 120.0) -> None:
        """Wait for its end, if it was begun.

        Raises:
            AssertionError: it still runs.
            BaseException: what it died of.
        """
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if self._thread.is_alive():
            raise AssertionError(f"thread {self._thread.name} still runs after {seconds:.0f} s")
        if self.died_of is not None:
            raise self.died_of

    def wait(self, holds: Callable[[], object], what: str) -> None:
        """eventually(), but at once no more when the thread died."""
        eventually(lambda: holds() or self.died_of, what)
        if self.died_of is not None:
            raise self.died_of

    def _run(self) -> None:
        try:
            self._target()
        except BaseException as exc:  # noqa: BLE001 - end() and wait() raise it again
            self.died_of = exc


class FakeCredentialStore:
    """ports.CredentialStore in memory. `on_save` is called before they are kept."""

    def __init__(self) -> None:
        self.kept: Credentials | None = None
        self.own: Secret | None = None  # the agent's own copy
        self.on_save: Callable[[Credentials], None] = lambda _: None

    def load(self) -> Secret | None:
        """The secret that was saved last."""
        return Secret(self.kept.secret) if self.kept else None

    def save(self, credentials: Credentials) -> None:
        """Keep them."""
        self.on_save(credentials)
        self.kept = credentials
        self.own = Secret(credentials.secret)

    def copy(self) -> Secret | None:
        """Of what was saved last, whatever was put into its place."""
        return self.own

    def put_back(self, secret: Secret) -> None:
        """As save()."""
        self.save(Credentials(secret.reveal(), self.kept.token if self.kept else ""))

    def check(self) -> None:
        """It can always be saved."""

    def describe(self) -> str:
        """As a path, for messages."""
        return "/state/rainbow-config.yaml"


def jobspec_json(
    tasks: Mapping[str, Sequence[str]],
    *,
    replicas: Mapping[str, int] | None = None,
    name: str = "",
) -> str:
    """Text that plan_json() understands.

    Args:
        tasks: name to the names that it depends on, each after all that it depends on.
        replicas: of tasks that have more than one.
        name: the job's own name.
    """
    return json.dumps({"name": name, "tasks": tasks, "replicas": replicas or {}})


def plan_json(text: str) -> Plan:
    """A planner for tests of parts that only pass plans on.

    Raises:
        JobspecError: the text is not from jobspec_json().
    """
    try:
        document: Mapping[str, Any] = json.loads(text)
        tasks, replicas = document["tasks"], document["replicas"]
    except (ValueError, KeyError, TypeError) as exc:
        raise JobspecError(f"this is no jobspec: {text[:40]!r}") from exc
    planned = tuple(
        PlannedTask(task, replicas.get(task, 1), tuple(depends_on), _flux_jobspec(task))
        for task, depends_on in tasks.items()
    )
    return Plan(document["name"], planned)


def _flux_jobspec(task: str) -> dict[str, Any]:
    """One core and a harmless command (RFC 14, version 1)."""
    core = {"type": "core", "count": 1}
    return {
        "version": 1,
        "resources": [{"type": "slot", "count": 1, "label": "task", "with": [core]}],
        "tasks": [{"command": ["true"], "slot": "task", "count": {"per_slot": 1}}],
        "attributes": {"system": {"duration": 0, "job": {"name": task}}},
    }
