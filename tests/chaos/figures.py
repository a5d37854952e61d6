"""The figures of a storm as text."""

from __future__ import annotations

from chaos.strikes import Storm
from chaos.verdict import Verdict


def progress_line(storm: Storm, minutes: float) -> str:
    """How far it is."""
    _, over = storm.parts.counts()
    return (
        f"chaos: minute {minutes:.0f}: {len(storm.book.jobs)} jobs sent, {over} over,"
        f" {sum(storm.struck.values())} strikes, {len(storm.faults)} faults"
    )


def final_block(storm: Storm, verdict: Verdict, *, seed: int, blown: float, settled: float) -> str:
    """All figures, as they stand in docs/reliability.md.

    Args:
        storm: what was struck.
        verdict: what became of the jobs.
        seed: what it began from.
        blown: seconds that it stormed.
        settled: seconds until all was at rest.
    """
    jobs = storm.book.jobs.values()
    parts = "real rainbow and real Flux" if storm.parts.real else "embedded parts"
    kills = sum(n for what, n in storm.struck.items() if what.endswith(("killed", "replaced")))
    lines: list[tuple[str, object]] = [
        ("seed", f"{seed}, {blown / 60:.0f} minutes over {parts}, {settled:.0f} s to come to rest"),
        *sorted(storm.struck.items()),
        ("kills", kills),
        ("jobs accepted", sum(job.certain for job in jobs)),
        ("jobs that rainbow may have taken", sum(not job.certain for job in jobs)),
        ("tasks that ran", verdict.tasks),
        ("jobs canceled by a user", sum(job.canceled for job in jobs)),
        ("jobs in a workload manager that ended", sum(bool(job.met) for job in jobs)),
        ("of them, lost tasks by that", len(verdict.robbed)),
        ("jobs gone with a database", sum(bool(job.excuse) for job in jobs)),
        ("jobs that nothing excuses", sum(job.must_run for job in jobs) - len(verdict.robbed)),
        ("ran again, their start died unknown", len(verdict.again)),
        ("began too early", len(verdict.early)),
        ("end reported wrong", len(verdict.untrue)),
        ("other faults", len(storm.faults)),
        ("lost", len(verdict.lost)),
        ("twice", len(verdict.twice)),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)
