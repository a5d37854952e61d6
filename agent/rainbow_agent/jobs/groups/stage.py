"""The step `stage`: `python -m rainbow_agent.jobs.groups.stage [--shared-fs=X] -- PATH...`.

Puts files and folders of an instance's first node at the same place on its other nodes, with
Flux's own archive (flux-archive(1), since flux-core 0.60): mapped on the first node, fetched by
each of the others through the instance's tree of brokers. Runs as a Flux job at the top level and
beside the runner in a group; FLUX_URI says which instance it is in. Without one (the local
workload manager) there is one node, and the paths only have to be there.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rainbow_agent.core.errors import RainbowAgentError

#: Prints what tells one file from another that looks like it: a copy has another inode or another
#: change time (to the nanosecond), whatever node it is on; null where there is none.
_CHECK_FILES = """
import json, os, sys
def look(path):
    try:
        s = os.stat(path)
    except OSError:
        return None
    return [s.st_ino, s.st_ctime_ns, s.st_mtime_ns, s.st_size]
print(json.dumps([look(path) for path in sys.argv[1:]]))
"""


class StageFailed(RainbowAgentError):
    """Something is not on every node, and could not be put there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Stage; 0 when everything is on every node."""
    parser = argparse.ArgumentParser(prog="rainbow-agent stage", allow_abbrev=False)
    parser.add_argument("--shared-fs", choices=("auto", "yes", "no"), default="auto")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    options = parser.parse_args(arguments)
    paths = [os.path.normpath(path) for path in options.paths]
    try:
        _stage(paths, options.shared_fs)
    except RainbowAgentError as exc:
        sys.stderr.write(f"stage: {exc}\n")
        return exc.exit_code
    return 0


def _stage(paths: Sequence[str], shared_fs: str) -> None:
    if not os.environ.get("FLUX_URI"):
        _expect_all(paths, [Path(path).exists() for path in paths], "this node")
        return
    others = _other_ranks()
    seen = _look([0, *others], paths)
    _expect_all(paths, [facts is not None for facts in seen[0]], "the first node (rank 0)")
    for number, path in enumerate(paths):
        behind = [rank for rank in others if seen[rank][number] != seen[0][number]]
        if not others:
            _say(f"{path}: there is one node, it is there")
        elif shared_fs == "yes" or (shared_fs == "auto" and not behind):
            _say(f"{path}: on a shared file system, nothing to do")
        else:
            targets = behind if shared_fs == "auto" else others
            _copy(path, targets)
            _say(f"{path}: put on {len(targets)} more nodes")


def _expect_all(paths: Sequence[str], there: Sequence[bool], where: str) -> None:
    missing = [path for path, found in zip(paths, there, strict=True) if not found]
    if missing:
        raise StageFailed(
            f"{', '.join(missing)} is not on {where}, from which it would be put on the others; "
            "create it there first, or correct the path"
        )


def _other_ranks() -> list[int]:
    """The ranks besides 0 that are there."""
    from rainbow_agent.workload.flux.workload import FluxWorkload  # noqa: PLC0415 - not when local

    workload = FluxWorkload()
    try:
        nodes = workload.resources().nodes
    finally:
        workload.close()
    return sorted(node.rank for node in nodes if node.online and node.rank != 0)


def _look(ranks: Collection[int], paths: Sequence[str]) -> dict[int, list[list[int] | None]]:
    """What each rank has at each path."""
    words = [*_exec(ranks), "--label-io", sys.executable, "-I", "-c", _CHECK_FILES, *paths]
    seen: dict[int, list[list[int] | None]] = {}
    for line in _run(words).splitlines():
        rank, _, text = line.partition(": ")
        if rank.isdigit():
            seen[int(rank)] = json.loads(text)
    if seen.keys() != set(ranks):
        lost = sorted(set(ranks) - seen.keys())
        raise StageFailed(f"these ranks did not say what they have: {lost}")
    return seen


def _copy(path: str, ranks: Sequence[int]) -> None:
    """Put a file or folder of rank 0 on other ranks, over what is there."""
    with _archive(path) as name:
        extract = ["flux", "archive", "extract", f"--name={name}", "--directory=/", "--overwrite"]
        _run([*_exec(ranks), *extract])


@contextmanager
def _archive(path: str) -> Iterator[str]:
    """An archive of a path, from the root, for as long as it is needed."""
    name = f"rainbow-stage-{secrets.token_hex(8)}"
    create = ["flux", "archive", "create", f"--name={name}", "--directory=/", "--mmap"]
    _run([*_exec([0]), *create, path.lstrip("/") or "."])
    try:
        yield name
    finally:
        _run([*_exec([0]), "flux", "archive", "remove", f"--name={name}"])


def _exec(ranks: Collection[int]) -> list[str]:
    """`flux exec` on some ranks; as a list, since a large instance has gaps."""
    return ["flux", "exec", "--noinput", f"--rank={','.join(map(str, sorted(ranks)))}"]


def _run(words: Sequence[str]) -> str:
    """Run a command; what it prints.

    Raises:
        StageFailed: it failed, with what it said.
    """
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise StageFailed(f"{words[0]} cannot be run: {exc.strerror}; put it on PATH") from exc
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-1000:]
        raise StageFailed(f"`{' '.join(words[:5])} ...` ended with {done.returncode}: {said}")
    return done.stdout


def _say(text: str) -> None:
    sys.stdout.write(f"stage: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
