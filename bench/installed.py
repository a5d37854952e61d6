"""What an installation weighs, and what its programs import before they do anything."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import ZipFile

from bench import machine
from bench.figures import Figure
from bench.site import Site
from support.wheels import build_wheel

_RUNS = 9
#: What is run in a Python of its own: how long importing and running took, and the modules.
_SCRIPT = """\
import json, sys, time
before, began = set(sys.modules), time.perf_counter()
from rainbow_agent.cli import main
try:
    main(sys.argv[1:], prog_name="rainbow-agent")
except SystemExit:
    pass
took = time.perf_counter() - began
print(json.dumps([took, sorted(set(sys.modules) - before)]), file=sys.stderr)
"""


def measure(site: Site) -> Iterator[Figure]:
    """The wheel, and the verbs that people wait for."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        files = ZipFile(wheel).infolist()
        size = sum(each.file_size for each in files)
        note = f"{len(files)} files, {size / 1e6:.1f} MB of text; decision 0152"
        yield Figure("wheel", wheel.stat().st_size / 1000, "KB", 500.0, note=note)
        environ = {**site.environ, "HOME": folder}
        yield _imports(site, ["--help"], environ, goal=0.06)
        yield _imports(site, ["status", "--state-dir", folder], environ)


def _imports(
    site: Site, arguments: Sequence[str], environ: dict[str, str], goal: float | None = None
) -> Figure:
    """Time and modules of a verb in an environment of its own, without the start of Python."""
    load, others, values, modules = machine.load(), machine.Others(), list[float](), list[str]()
    runs = site.pick(_RUNS, 3)
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, *arguments],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
            timeout=60,
        )
        took, modules = json.loads(done.stderr.splitlines()[-1])
        values.append(took)
    own = sum(name.startswith("rainbow_") for name in modules)
    return Figure(
        f"{arguments[0]}: after Python's own start",
        statistics.median(values),
        "s",
        goal,
        values=tuple(values),
        others=others.share(),
        load=load,
        note=f"{len(modules)} modules, {own} of them ours",
    )
