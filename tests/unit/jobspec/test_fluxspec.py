"""What real Flux makes of the jobspecs that are planned: accepted by its validator, and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.jobspec.plan import plan_text

FLUX = shutil.which("flux")

pytestmark = [
    pytest.mark.flux,
    pytest.mark.skipif(
        FLUX is None, reason="flux is not on PATH: planned jobspecs were NOT tried on a real Flux"
    ),
]

#: In a Flux of two brokers: submits each file, waits, keeps what it said and how it ended.
SUBMIT_EACH = """
for jobspec in "$@"; do
  id=$(flux job submit "$jobspec") && flux job attach "$id" > "$jobspec.out" 2> "$jobspec.err"
  echo $? > "$jobspec.code"
done
"""


@dataclass(frozen=True)
class Told:
    """What became of a job."""

    out: str
    code: int
    err: str = field(default="", compare=False)


def jobspec_of(task: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
    """The planned Flux jobspec of one task, with a PATH as the dispatcher would put in."""
    document = {"version": 1, "resources": {"r": resource}, "tasks": [{**task, "resources": "r"}]}
    jobspec: dict[str, Any] = json.loads(
        json.dumps(plan_text(json.dumps(document)).tasks[0].jobspec)
    )
    jobspec["attributes"]["system"]["environment"].setdefault("PATH", os.environ["PATH"])
    return jobspec


def run_all(folder: Path, *jobspecs: dict[str, Any]) -> list[Told]:
    """What becomes of each jobspec, in an instance of its own."""
    files = [folder / str(i) for i in range(len(jobspecs))]
    for file, jobspec in zip(files, jobspecs, strict=True):
        file.write_text(json.dumps(jobspec))
    assert FLUX is not None
    command = [FLUX, "start", "--test-size=2", "sh", "-c", SUBMIT_EACH, "sh", *map(str, files)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, cwd=folder
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [
        Told(
            file.with_suffix(".out").read_text(),
            int(file.with_suffix(".code").read_text()),
            file.with_suffix(".err").read_text(),
        )
        for file in files
    ]


SAY = {"command": ["echo", "said"]}
CORE = {"type": "core", "count": 1}


def test_flux_takes_and_runs_every_shape(tmp_path: Path) -> None:
    """One process in each slot: nodes with cores, whole nodes, slots anywhere, slots in nodes."""
    shapes = [
        ({"type": "node", "count": 2, "with": [CORE]}, 2),
        ({"type": "node", "count": 2}, 2),
        ({"type": "node", "replicas": 2, "with": [CORE]}, 2),
        ({"type": "core", "count": 2}, 1),
        ({"type": "slot", "count": 3, "with": [CORE]}, 3),
        (
            {"type": "rack", "replicas": 1, "with": [{"type": "node", "count": 2, "with": [CORE]}]},
            2,
        ),
    ]
    told = run_all(tmp_path, *(jobspec_of(SAY, shape) for shape, _ in shapes))
    assert told == [Told("said\n" * processes, 0) for _, processes in shapes]


def test_flux_honours_attributes_and_scripts(tmp_path: Path) -> None:
    """Folder, environment, name, time limit and exit code; a script needs no shared disk."""
    where = tmp_path / "ünder here"
    where.mkdir()
    attributes = {"cwd": str(where), "environment": {"A": "b c", "EMPTY": ""}, "duration": "5m"}
    script = '#!/bin/sh -e\necho "$A$EMPTY ü {{name}} $(basename "$PWD")"\nexit 3\n'
    told = run_all(
        tmp_path,
        jobspec_of({"command": script, "attributes": attributes}, CORE),
        jobspec_of({"name": "told", "command": ["echo", "{{name}}", "a  b", '"', ""]}, CORE),
        jobspec_of({**SAY, "attributes": {"duration": "infinity"}}, CORE),
        jobspec_of({"command": "sleep 60", "attributes": {"duration": 0.5}}, CORE),
    )
    assert told[0] == Told("b c ü {{name}} ünder here\n", 3)
    assert told[1] == Told('told a  b " \n', 0)
    assert told[2] == Told("said\n", 0)
    assert told[3].code != 0
    assert "timeout" in told[3].err
