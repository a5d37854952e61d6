"""docs/tutorial.md, run as it stands there: the commands work, and print what the page shows."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from support.common import eventually
from support.program import Program

PAGE = (Path(__file__).parents[2] / "docs/tutorial.md").read_text("utf-8")
FILES = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
#: What differs from run to run and from machine to machine: ids, times, sizes, places, columns.
_DIFFERS = (
    (r"\bf[1-9A-HJ-NP-Za-km-z]{6,12}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "ID"),
    (r"(?<=\s)/\S+?(?=/workload|\s|$)", "PLACE"),
    (r"sent 20\S+;(?:\s+[\w.-]+,)*\s+[\w.-]+$", "sent"),  # which subsystems this machine has
    (r"\d+(?=[\d.,:TZ-]*\d)[\d.,:TZ-]*|\d+", "N"),
    (r"\[[#.]+\]", "BAR"),
    (r"^gpus.*\n", ""),
    (r"N (?:ms|s|min|h)\b", "N s"),
    (r"\s+", " "),
)
_END = "that was the output"


def plain(text: str) -> str:
    """A text without what may differ."""
    for pattern, stand_in in _DIFFERS:
        text = re.sub(pattern, stand_in, text, flags=re.MULTILINE)
    return text.strip()


def steps() -> Iterator[tuple[str, str]]:
    """Each command, and what it prints."""
    for block in BLOCKS:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shell:
    """A shell that stays, as a reader's does."""

    def __init__(self, program: Program) -> None:
        self._bash = subprocess.Popen(
            ["bash"],
            env=program.environ,
            cwd=program.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def run(self, command: str) -> str:
        """What a command prints."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{command}\necho {_END}\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line == f"{_END}\n":
                break
            lines.append(line)
        return "".join(lines)

    def close(self) -> None:
        """End what it started, and itself."""
        self.run("kill $(jobs -p) 2>/dev/null; wait")
        self._bash.communicate(timeout=60)


def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    """Each command of the page, one after the other, in one shell."""
    program = Program(tmp_path)
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    host, ran, sent = f"127.0.0.1:{free_port()}", 0, 0
    shell = Shell(program)
    try:
        for command, shown in steps():
            said = shell.run(command.replace("127.0.0.1:50051", host))
            expected = ".*".join(map(re.escape, map(plain, shown.split("\n...\n"))))
            assert re.fullmatch(expected, plain(said), re.DOTALL), f"$ {command}\n{said}"
            ran += 1
            if command.startswith("until "):
                eventually(partial(is_described, program), "the agent knows its nodes")
            sent += said.startswith("Submitted ")
            eventually(partial(are_over, program, sent), "what was sent is over")
    finally:
        shell.close()
    assert (ran > 15, sent) == (True, 2)


def is_described(program: Program) -> bool:
    """Whether `status` has all of what the page shows; a reader takes a second to go on."""
    status = program.run("status").out
    return "in use" in status and "  sent 20" in status.replace(", sent", "  sent")


def are_over(program: Program, jobs: int) -> bool:
    """Whether so many jobs came and are over."""
    if not jobs:
        return True
    found = program.show("jobs")
    return len(found) == jobs and all(job["finished"] for job in found)
