"""Every figure that the project promises, measured on this machine.

    python bench/run.py [--only NAME] [--quick] [--against FILE] [--profile FILE] [--release]

Over real rainbow and real Flux where they are on PATH, over the embedded parts otherwise; it says
which. Prints each figure when it is measured, and writes bench/results/latest.json at once. A slow
machine is no error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# `bench` is a folder of this repository, and not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import (
    figures,
    graphs,
    idle,
    installed,
    latency,
    looked_at,
    looking,
    machine,
    planning,
    senders,
    startup,
    throughput,
)
from bench.figures import Figure
from bench.site import Site, open_site
from rainbow_agent import __version__

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "latest.json"
#: What was measured of each release, on a quiet machine: VERSION.json.
RELEASES = ROOT / "bench" / "releases"

#: What `--only` takes, in the order in which they are measured.
MEASURES: dict[str, Callable[[Site], Iterator[Figure]]] = {
    "throughput": throughput.measure,
    "planning": planning.measure,
    "latency": latency.measure,
    "startup": startup.measure,
    "idle": idle.measure,
    "installed": installed.measure,
    "graphs": graphs.measure,
    "http": looked_at.measure,
    "looking": looking.measure,
    "senders": senders.measure,
}


def main() -> None:
    """Measure; print and write each figure as soon as it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=MEASURES, help="measure this alone")
    parser.add_argument(
        "--quick", action="store_true", help="a look in two minutes: few and short rounds"
    )
    parser.add_argument(
        "--against",
        type=Path,
        default=last_release(),
        help="what an earlier run wrote: each figure says what it was then (default: the last"
        " release in bench/releases)",
    )
    parser.add_argument(
        "--release", action="store_true", help="keep the result in bench/releases as this version's"
    )
    parser.add_argument(
        "--profile", type=Path, help="flame graph of the agent under load (SVG); wants py-spy"
    )
    options = parser.parse_args()
    if options.release and (options.only or options.quick):
        parser.error("--release: a release's result has every figure, measured in full")
    if options.profile and not shutil.which("py-spy"):
        parser.error("--profile: there is no py-spy on PATH (pip install py-spy)")
    earlier = values(options.against) if options.against else {}
    names = [options.only] if options.only else list(MEASURES)
    facts = machine.facts()
    print(
        f"rainbow: {facts['rainbow']}; workload manager: {facts['workload']}; {facts['cores']}"
        f" cores; Python {facts['python']}; {facts['system']}"
    )
    began, found = time.time(), list[Figure]()
    print(figures.header(), flush=True)
    for name in names:
        with open_site(quick=options.quick, profile=options.profile) as site:
            for measured in MEASURES[name](site):
                figure = figures.compared(measured, earlier)
                found.append(figure)
                print(figures.line(figure), flush=True)
                write({"at": began, "quick": options.quick, "machine": facts}, found)
    print(f"{RESULTS.relative_to(ROOT)} has all values; {time.time() - began:.0f} s")
    if options.release:
        RELEASES.mkdir(exist_ok=True)
        shutil.copyfile(RESULTS, RELEASES / f"{__version__}.json")


def last_release() -> Path | None:
    """The result that was kept last; None where there is none."""
    found = list(RELEASES.glob("*.json"))
    return max(found, key=lambda path: json.loads(path.read_text())["at"]) if found else None


def values(path: Path) -> dict[str, float]:
    """What an earlier run measured, by the names of its figures."""
    return {each["name"]: each["value"] for each in json.loads(path.read_text())["figures"]}


def write(report: dict[str, Any], found: Sequence[Figure]) -> None:
    """What was measured so far: a run that is ended has not been for nothing."""
    RESULTS.parent.mkdir(exist_ok=True)
    rows = [figure.as_json() for figure in found]
    RESULTS.write_text(json.dumps({**report, "figures": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
