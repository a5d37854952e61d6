"""For tests: commands of docs/minicluster.md, run as the page has them, and what they printed."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path
from typing import Final

from support.kubernetes_cluster import Cluster
from support.kubernetes_programs import CACHE, ROOT

PAGE: Final = ROOT / "docs/minicluster.md"
_POD: Final = re.compile(r"\b([a-z]+)-0-xxxxx\b")
#: Of kubectl: which container it took, of the two that the operator makes; its own log.
_NOISE: Final = re.compile(r"Defaulted container |E\d{4} ")
#: What a shell in the lead pod does first, on the page.
_SHELL: Final = ". /mnt/flux/flux-view.sh; export FLUX_URI=$fluxsocket; "


class Transcript:
    """What was run, and what it printed.

    It is kept in build/kubernetes: walk-through.txt, and minicluster.md, which is the page with
    what was printed this time.

    Args:
        cluster: where it is run.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._commands = {
            line[2:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "$ "
        }
        self._file: Path = CACHE / "walk-through.txt"
        self._file.unlink(missing_ok=True)
        self._printed: dict[str, list[str]] = {}  # by command

    def kubectl(self, command: str) -> str:
        """Run a command of the page that begins with `kubectl`; what it printed."""
        self._is_on_the_page(command)
        words = shlex.split(_POD.sub(lambda found: self.pod(found[1]), command))
        lines = self._cluster.kubectl.said(*words[1:]).splitlines(keepends=True)
        said = "".join(line for line in lines if not _NOISE.match(line))
        return self._keep(command, said)

    def inside(self, name: str, command: str) -> str:
        """Run a command of the page in a shell of a MiniCluster's lead pod; what it printed."""
        self._is_on_the_page(command)
        arguments = ["exec", self.pod(name), "--", "bash", "-c", f"{_SHELL}{{ {command}; }} 2>&1"]
        done = self._cluster.kubectl.run(*arguments)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return self._keep(command, done.stdout)

    def pod(self, name: str) -> str:
        """The name of a MiniCluster's lead pod."""
        selector = f"job-name={name},batch.kubernetes.io/job-completion-index=0"
        (found,) = [
            each["metadata"]["name"]
            for each in self._cluster.kubectl.items("pods", "-l", selector)
            if "deletionTimestamp" not in each["metadata"]
        ]
        return str(found)

    def _is_on_the_page(self, command: str) -> None:
        assert command in self._commands, f"{PAGE.name} does not have: {command}"

    def write_page(self) -> None:
        """The page, where it has output, with this one."""
        printed = {command: iter(said) for command, said in self._printed.items()}
        lines: list[str] = []
        replacing = False
        page = PAGE.read_text(encoding="utf-8").splitlines()
        for line, following in itertools.zip_longest(page, page[1:], fillvalue=""):
            if line[:2] == "$ " or line[:3] == "```":
                replacing = False
            if not replacing:
                lines.append(line)
            has_output = following[:2] != "$ " and following[:3] != "```"
            if line[:2] == "$ " and has_output and line[2:] in printed:
                lines += next(printed[line[2:]]).splitlines()
                replacing = True
        (CACHE / PAGE.name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _keep(self, command: str, said: str) -> str:
        self._printed.setdefault(command, []).append(said)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"$ {command}\n{said}")
        return said
