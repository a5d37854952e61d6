"""For tests: the installed `rainbow-agent` as a process, with an environment of its own.

Only what a `Program` is given reaches the process: no PYTHONPATH, no RAINBOW_* of the caller's. It
is found beside this Python, as a console script that pip installed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Event
from typing import Any, Final

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.workload.local.workload import shut_down
from support.common import eventually
from support.secrets import in_files, secrets_of

PROGRAM: Final = Path(sys.executable).with_name("rainbow-agent")
_LIMIT_S: Final = 400.0  # until a process is given up
_JOBS_S: Final = 90.0  # until jobs are over, on a quiet machine
_POLL_INTERVAL_S: Final = 0.1  # seconds between looks at the ledger


@dataclass(frozen=True)
class Answer:
    """How a process ended."""

    code: int  # minus the signal's number, if one ended it
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)


class Running:
    """A process in the background. Its output goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal; none that runs any more is no error."""
        self._process.send_signal(number)

    def wait(self, seconds: float = _LIMIT_S) -> int:
        """Wait for its end; how it ended, as Answer.code.

        Raises:
            AssertionError: it still runs.
        """
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds:.0f} s:\n{self.log()}") from None

    def stop(self) -> int:
        """SIGTERM, and how it ended."""
        self.signal()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self.signal(signal.SIGKILL)
        self.wait()

    def says(self, text: str) -> None:
        """Wait until it has written a text.

        Raises:
            AssertionError: it does not, or ended without it.
        """
        eventually(lambda: text in self.log() or not self.alive(), f"it says {text!r}")
        if text not in self.log():
            raise AssertionError(f"it ended and never said {text!r}:\n{self.log()}")


class Program:
    """One cluster's agent: a folder of its own, and the settings that every call gets.

    Args:
        folder: for the state folder, the home folder and the logs.
        settings: RAINBOW_* variables by the rest of their names, in small letters.
        environ: further variables.
    """

    def __init__(
        self, folder: Path, *, environ: Mapping[str, str] | None = None, **settings: object
    ) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.config = self.state_dir / "rainbow-config.yaml"
        self.environ = {
            "PATH": os.pathsep.join([str(PROGRAM.parent), os.environ.get("PATH", os.defpath)]),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RAINBOW_STATE_DIR": str(self.state_dir),
            "RAINBOW_HTTP": "off",  # many run at once; who wants it asks for port 0
            # Where instances in jobs find this run's scheduler (conftest.py).
            **{n: v for n, v in os.environ.items() if fnmatch(n, "FLUX_*PATH_*PEND")},
            **(environ or {}),
            **_variables(settings),
        }
        self._starts = 0

    def run(self, *arguments: str, stdin: str | None = None, **settings: object) -> Answer:
        """Run a verb to its end.

        Raises:
            AssertionError: it does not end.
        """
        try:
            done = subprocess.run(
                [PROGRAM, *arguments],
                env={**self.environ, **_variables(settings)},
                cwd=self.folder,
                capture_output=True,
                encoding="utf-8",
                input=stdin,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AssertionError(f"`rainbow-agent {' '.join(arguments)}` does not end") from None
        answer = Answer(done.returncode, done.stdout, done.stderr)
        self._expect_no_secret(f"`rainbow-agent {' '.join(arguments)}`", repr(answer))
        return answer

    def hidden(self) -> set[str]:
        """The secrets that this program knows."""
        config = self.environ.get("RAINBOW_CONFIG")
        return secrets_of(self.environ, Path(config) if config else self.config)

    def expect_no_secret_anywhere(self) -> None:
        """Search the files that were written, and the processes that are still there.

        Raises:
            AssertionError: a secret is where it does not belong.
        """
        found = [*in_files(self.folder, self.hidden())]
        if found:
            raise AssertionError(f"a secret was written to {found}")

    def _expect_no_secret(self, where: str, text: str) -> None:
        if any(secret in text for secret in self.hidden()):
            raise AssertionError(f"{where} shows a secret: {text}")

    def show(self, *arguments: str) -> Any:
        """What a verb prints with `-o json`, whatever its exit code."""
        answer = self.run(*arguments, "-o", "json")
        try:
            return answer.value
        except ValueError:
            raise AssertionError(f"{arguments} printed no JSON: {answer}") from None

    @contextmanager
    def background(
        self, *arguments: str, under: Sequence[str] = (), **settings: object
    ) -> Iterator[Running]:
        """Run a verb for the length of a with block; SIGKILL at its end if it still runs.

        Args:
            arguments: the verb and what follows.
            under: a command to put before it, such as `flux start`; the program is then looked up
                on PATH.
            settings: further RAINBOW_* variables.
        """
        self._starts += 1
        path = self.folder / f"run-{self._starts}.log"
        command = [*under, PROGRAM.name] if under else [str(PROGRAM)]
        with (
            path.open("wb") as log,
            subprocess.Popen(
                [*command, *arguments],
                env={**self.environ, **_variables(settings)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            running = Running(process, path)
            try:
                yield running
            finally:
                if running.alive():
                    running.kill()

    def until_idle(self) -> None:
        """`start --until-idle`, which must end with 0.

        Raises:
            AssertionError: it does not; with its log.
        """
        with self.background("start", "--until-idle") as agent:
            code = agent.wait()
            if code:
                raise AssertionError(f"`start --until-idle` ended with {code}:\n{agent.log()}")

    def rows(self) -> list[JobRow]:
        """The jobs in the ledger, read directly: quicker than a process, for waiting."""
        path = self.state_dir / "ledger.sqlite"
        if not path.exists():
            return []
        with closing(SqliteLedger.open_readonly(path)) as ledger:
            return ledger.jobs()

    def await_end(self, jobs: int, *, seconds: float = _JOBS_S) -> None:
        """Wait until so many jobs are in the ledger and all that are there are over."""
        looks = Event()

        def over() -> bool:
            looks.wait(_POLL_INTERVAL_S)
            rows = self.rows()
            return len(rows) >= jobs and all(row.state in FINAL_JOB_STATES for row in rows)

        try:
            eventually(over, f"{jobs} jobs are over", seconds=seconds)
        except AssertionError as exc:
            rows = [(row.key.id, row.name, row.state.value, row.reason) for row in self.rows()]
            raise AssertionError(f"{exc}; they are {rows}") from None

    def logs(self) -> str:
        """What all processes in the background have written."""
        paths = sorted(self.folder.glob("run-*.log"))
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)

    def end_local_workload(self) -> None:
        """End the local workload manager, if one runs; it outlives the agent."""
        if (self.state_dir / "workload").exists():
            shut_down(self.state_dir / "workload")


@contextmanager
def installed(
    folder: Path, *, environ: Mapping[str, str] | None = None, **settings: object
) -> Iterator[Program]:
    """A Program whose local workload manager ends with the block."""
    program = Program(folder, environ=environ, **settings)
    try:
        yield program
        program.expect_no_secret_anywhere()
    finally:
        program.end_local_workload()


def _variables(settings: Mapping[str, object]) -> dict[str, str]:
    return {f"RAINBOW_{name.upper()}": str(value) for name, value in settings.items()}
