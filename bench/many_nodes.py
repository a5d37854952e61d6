"""One cluster of very many nodes: what the agent needs for it, over Flux's made-up resources.

    PYTHONPATH=.:tests python -m bench.many_nodes [NODES ...]

Flux 0.86 or newer makes up the nodes (64 cores and 8 GPUs each; flux-config-fake-resources(5)); the
agent and rainbow are the real ones, on loopback. Placement is measured apart, in this process: a
job with `requires` on nodes that describe themselves in four ways. docs/scale.md has the figures.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from bench import machine
from bench.agents import PROGRAM, moment, running_agent
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.placement import place
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.workload.flux.workload import FluxWorkload
from support.flux import private_flux
from support.servers import SchedulerKind, running_scheduler

SIZES = (10, 100, 1_000, 10_000)
CORES, GPUS = 64, 8
_COLUMNS = (
    "NODES",
    "FLUX s",
    "REGISTERED s",
    "OF A CORE s",
    "MiB",
    "GRAPH s",
    "STATUS s",
    "PLACE ms",
)
_CALLS = 5


def main() -> None:
    """Print a line a size, as each is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nodes", type=int, nargs="*", default=SIZES)
    sizes = parser.parse_args().nodes
    print(f"load {machine.load():.1f}", *_COLUMNS, sep="  ", flush=True)
    for nodes in sizes:
        print("  ".join(measured(nodes)), flush=True)


def measured(nodes: int) -> list[str]:
    """The columns of one size."""
    placing = statistics.median(place_seconds(nodes) for _ in range(_CALLS))
    with tempfile.TemporaryDirectory(prefix="rainbow-nodes-") as folder:
        began = time.time()
        with made_up(nodes) as environ:
            up = time.time() - began
            asked = statistics.median(resource_seconds(environ["FLUX_URI"]) for _ in range(_CALLS))
            agent = with_agent(Path(folder), environ)
    row = [f"{nodes:,}", f"{up:.1f}", *agent, f"{1000 * placing:.1f}"]
    return [*row, f"(resources asked of Flux: {1000 * asked:.0f} ms)"]


@contextmanager
def made_up(nodes: int) -> Iterator[Mapping[str, str]]:
    """An instance of so many nodes; the variables that lead to it."""
    wanted = {"nnodes": nodes, "cores-per-node": CORES, "gpus-per-node": GPUS}
    options = [f"--conf=fake-resources.{key}={value}" for key, value in wanted.items()]
    with private_flux(options=options, scheduler="sched-simple") as flux:
        yield flux.environ


def resource_seconds(uri: str) -> float:
    """How long Flux's answer about its resources takes, read."""
    with closing(FluxWorkload(uri)) as workload:
        began = time.perf_counter()
        workload.resources()
        return time.perf_counter() - began


def with_agent(folder: Path, flux: Mapping[str, str]) -> list[str]:
    """Seconds until it is registered, of a core for that, its peak of memory; status."""
    with running_scheduler(SchedulerKind.REAL, folder, secret="bench", global_token="t") as server:
        environ = {name: value for name, value in flux.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ |= {
            "RAINBOW_HOST": server.host,
            "RAINBOW_SECRET": "bench",
            "RAINBOW_CLUSTER": "many",
            "RAINBOW_WORKLOAD": "flux",
            "RAINBOW_HTTP": "127.0.0.1:0",
        }
        with running_agent(environ, folder / "state") as agent:
            registered = moment(agent.wait_for("registered")) - agent.started
            used = agent.cpu_seconds()
            graph = moment(agent.wait_for("journal_caught_up")) - agent.started
            agent.wait_idle()
            seen = statistics.median(
                status_seconds(environ, agent.state_dir) for _ in range(_CALLS)
            )
            peak = peak_mib(agent.usage.pid)
    return [f"{registered:.1f}", f"{used:.1f}", f"{peak:.0f}", f"{graph:.1f}", f"{seen:.2f}"]


def status_seconds(environ: Mapping[str, str], folder: Path) -> float:
    """How long `rainbow-agent status` takes beside it."""
    began = time.perf_counter()
    subprocess.run(
        [str(PROGRAM), "status", "--state-dir", str(folder)],
        env={**environ},
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    return time.perf_counter() - began


def peak_mib(pid: int) -> float:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kib / 1024


def place_seconds(nodes: int) -> float:
    """A job that requires something of its nodes, on nodes of four kinds."""
    kinds = [
        {"os": ({"os.name": "linux"},), "spack": ({"ior": version},)}
        for version in ("3.3.0", "3.3.1", "4.0.0", "4.1.0")
    ]
    site = Site(
        tuple(
            SiteNode(rank, f"node{rank}", CORES, GPUS, traits=kinds[rank % len(kinds)])
            for rank in range(nodes)
        )
    )
    slot = {"type": "slot", "count": 2, "label": "slot", "with": [{"type": "core", "count": 4}]}
    needs = [{"name": "spack", "field": "ior", "min": "4.0.0"}]
    job = {"type": "node", "count": 2, "requires": needs, "with": [slot]}
    plan = plan_text(
        to_wire(
            {
                "version": 1,
                "resources": {"one": job},
                "tasks": [{"name": "t", "resources": "one", "command": ["true"]}],
            }
        )
    )
    began = time.perf_counter()
    place(plan, site)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
