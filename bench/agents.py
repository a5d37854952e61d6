"""The installed agent as a process, and what its log says with times."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from support.common import eventually

#: The console script that the wheel installs, beside this Python.
PROGRAM = Path(sys.executable).with_name("rainbow-agent")
_TIMEOUT_S = 60.0


class AgentProcess:
    """A running `rainbow-agent start`.

    Args:
        process: it.
        log: where its log goes, a JSON object a line.
        state_dir: its state folder.
        started: epoch seconds, taken before the process was.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, state_dir: Path, started: float
    ) -> None:
        self._process = process
        self._log = log
        self._read = 0
        self._entries: list[dict[str, Any]] = []
        self.state_dir = state_dir
        self.started = started
        self.usage = psutil.Process(process.pid)

    def entries(self, action: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Log entries of this action from `since` (epoch seconds) on, whole lines only."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if line.startswith(b"{"):  # the rest is what a dying process prints
                    self._entries.append(json.loads(line))
        return [e for e in self._entries if e.get("action") == action and moment(e) >= since]

    def wait_for(self, action: str, since: float = 0.0) -> dict[str, Any]:
        """The first log entry of this action."""
        eventually(
            lambda: self.entries(action, since) or self._alive(),
            f"the agent's log says {action}",
            seconds=_TIMEOUT_S,
        )
        return self.entries(action, since)[0]

    def accepted(self, since: float) -> int:
        """How many jobs were accepted since then."""
        return sum(int(e["jobs"]) for e in self.entries("accepted", since))

    def freeze(self) -> None:
        """Stop its threads where they are."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._process.send_signal(signal.SIGCONT)

    def wait_idle(self) -> None:
        """Until it has nothing to do: less than a fiftieth of a core for half a second."""

        def idle() -> bool:
            before = self.cpu_seconds()
            pause(0.5)
            return self.cpu_seconds() - before < 0.01

        eventually(idle, "the agent rests", seconds=_TIMEOUT_S)

    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        times = self.usage.cpu_times()
        return float(times.user + times.system)

    def wakeups(self) -> Counter[str]:
        """How often its threads gave up a processor to wait, by the names of the threads."""
        times = Counter[str]()
        for task in Path(f"/proc/{self.usage.pid}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that has just ended
                lines = (task / "status").read_text(encoding="ascii").splitlines()
                facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
                times[facts["Name"]] += int(facts["voluntary_ctxt_switches"])
        return times

    @contextmanager
    def profiled(self, to: Path | None) -> Iterator[None]:
        """Sampled by py-spy meanwhile, all threads, into a flame graph; nothing without a file."""
        if to is None:
            yield
            return
        command = ["py-spy", "record", "--threads", "--pid", str(self._process.pid)]
        sampler = subprocess.Popen([*command, "--output", str(to)], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            sampler.send_signal(signal.SIGINT)  # it writes then
            sampler.wait(_TIMEOUT_S)

    def end(self) -> None:
        """SIGTERM, and SIGKILL if that does not help."""
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """Its last words."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def _alive(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the agent ended with {self._process.returncode}: {self.tail()}")
        return False


@contextmanager
def running_agent(environ: Mapping[str, str], state_dir: Path) -> Iterator[AgentProcess]:
    """The installed agent, ended with the block by its process id."""
    state_dir.mkdir(mode=0o700, exist_ok=True)
    log = state_dir.with_name(f"{state_dir.name}.log")  # agent.log in it is the program's own
    started = time.time()
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(PROGRAM), "start"],
            env={**environ, "RAINBOW_STATE_DIR": str(state_dir), "RAINBOW_LOG_FORMAT": "json"},
            stdout=out,
            stderr=out,
        )
    agent = AgentProcess(process, log, state_dir, started)
    try:
        yield agent
    finally:
        agent.end()


def moment(entry: Mapping[str, Any]) -> float:
    """Epoch seconds of a log entry."""
    return datetime.fromisoformat(str(entry["time"]).replace("Z", "+00:00")).timestamp()


def pause(seconds: float) -> None:
    """Rest."""
    threading.Event().wait(seconds)
