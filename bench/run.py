"""Every figure that the project promises, measured on this machine.

    python bench/run.py [--only NAME]

Over real rainbow and real Flux where they are on PATH, over the embedded parts otherwise; it says
which. Prints a table and writes bench/results/latest.json. A slow machine is no error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# `bench` and `support` are folders of this repository, and not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import graphs, idle, latency, looked_at, looking, machine, planning, startup, throughput
from bench.figures import Figure, table
from bench.site import Site, open_site

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "latest.json"

#: What `--only` takes, in the order in which they are measured.
MEASURES: dict[str, Callable[[Site], Iterator[Figure]]] = {
    "throughput": throughput.measure,
    "planning": planning.measure,
    "latency": latency.measure,
    "startup": startup.measure,
    "idle": idle.measure,
    "graphs": graphs.measure,
    "http": looked_at.measure,
    "looking": looking.measure,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=MEASURES, help="measure this alone")
    options = parser.parse_args()
    names = [options.only] if options.only else list(MEASURES)
    facts = machine.facts()
    print(
        f"rainbow: {facts['rainbow']}; workload manager: {facts['workload']}; {facts['cores']}"
        f" cores; Python {facts['python']}; {facts['system']}"
    )
    began, figures = time.time(), list[Figure]()
    for name in names:
        print(f"measuring {name} ...", flush=True)
        with open_site() as site:
            figures += MEASURES[name](site)
    print("\n" + table(figures))
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"at": began, "machine": facts, "figures": [figure.as_json() for figure in figures]}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\n{RESULTS.relative_to(ROOT)} has all values; {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
