"""Whether the daemon lives, and whether it can take a job and finish it. Pure.

Live: every loop moved within its own limit; a daemon that is not live should be restarted. Ready:
all that a job needs is there, each seen not longer ago than its limit; a daemon that is not ready
should get no work, and a restart would not help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rainbow_agent.core.model import Drain
from rainbow_agent.runtime.loops import LoopAge

#: Seconds since rainbow answered last, beside what polls and calls may take.
CONTACT_SLACK_S: Final = 30.0
#: Free bytes under which no job is taken: it could not be written down.
MIN_FREE_BYTES: Final = 32 * 2**20


@dataclass(frozen=True)
class Check:
    """One thing that has to be so."""

    name: str
    ok: bool
    reason: str  # how it is, in a sentence; what to do if it is not ok
    age: float | None = None  # seconds since it was seen
    limit: float | None = None  # seconds that it may be old

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        age = None if self.age is None else round(self.age, 3)
        return {
            "name": self.name,
            "ok": self.ok,
            "reason": self.reason,
            "age": age,
            "limit": self.limit,
        }


@dataclass(frozen=True)
class Health:
    """All checks together."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all are well."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"ok": self.ok, "checks": [check.as_json() for check in self.checks]}

    def as_text(self) -> str:
        """For people: a line a check, what is wrong first."""
        ordered = sorted(self.checks, key=lambda check: check.ok)
        lines = [f"{'ok   ' if c.ok else 'WRONG'} {c.name}: {c.reason}" for c in ordered]
        return "\n".join(["ok" if self.ok else "not ok", *lines]) + "\n"


@dataclass(frozen=True)
class ReadinessFacts:
    """What readiness is judged by. Ages in seconds; None: never seen."""

    registered: bool
    contact_age: float | None  # since rainbow answered
    contact_problem: str
    contact_limit: float
    workload_reachable: bool | None
    workload_problem: str
    workload_age: float | None  # since it answered last
    workload_limit: float
    ledger_problem: str  # "" when it can be written
    free_bytes: int | None
    draining: Drain | None
    stopping: bool


def live(ages: Mapping[str, LoopAge], expected: Sequence[str] = ()) -> Health:
    """Whether every loop moves; one that is expected and not there does not."""
    checks = [
        Check(
            name,
            not age.stuck,
            f"moved {age.age:.1f} s ago, at most {age.limit:.0f} s are allowed",
            age.age,
            age.limit,
        )
        for name, age in ages.items()
    ]
    checks += [
        Check(name, ok=False, reason="does not run") for name in expected if name not in ages
    ]
    return Health(tuple(checks))


def ready(facts: ReadinessFacts) -> Health:
    """Whether a job can be taken and finished."""
    return Health(
        (
            Check(
                "registered",
                facts.registered,
                "rainbow knows this cluster"
                if facts.registered
                else "not registered with rainbow yet",
            ),
            _rainbow(facts),
            _workload(facts),
            Check(
                "ledger",
                not facts.ledger_problem,
                facts.ledger_problem or "can be written",
            ),
            _disk(facts.free_bytes),
            _open(facts),
        )
    )


def _rainbow(facts: ReadinessFacts) -> Check:
    age, limit = facts.contact_age, facts.contact_limit
    if age is None:
        said = "rainbow has not answered yet"
    else:
        said = f"rainbow answered {age:.1f} s ago, at most {limit:.0f} s are allowed"
    if facts.contact_problem:
        said += f": {facts.contact_problem}"
    return Check("rainbow", age is not None and age <= limit, said, age, limit)


def _workload(facts: ReadinessFacts) -> Check:
    age, limit = facts.workload_age, facts.workload_limit
    if not facts.workload_reachable:
        said = facts.workload_problem or "the workload manager's history is being read"
        return Check("workload", ok=False, reason=said, age=age, limit=limit)
    fresh = age is not None and age <= limit
    said = "its journal is followed, and it says what is free"
    if age is None:
        said = "it has not said yet what is free"
    elif not fresh:
        said = f"it answered {age:.1f} s ago, at most {limit:.0f} s are allowed"
    return Check("workload", fresh, said, age, limit)


def _disk(free: int | None) -> Check:
    if free is None:
        return Check("disk", ok=False, reason="the state folder cannot be looked at")
    said = f"{free // 2**20} MiB are free where the ledger is"
    if free < MIN_FREE_BYTES:
        said += f", at least {MIN_FREE_BYTES // 2**20} MiB are needed: free some"
    return Check("disk", free >= MIN_FREE_BYTES, said)


def _open(facts: ReadinessFacts) -> Check:
    if facts.stopping:
        return Check("open", ok=False, reason="the agent stops")
    if facts.draining is not None:
        why = f" ({facts.draining.reason})" if facts.draining.reason else ""
        end = "`rainbow-agent resume` lets jobs in again"
        if facts.draining.until_stopped:
            end = "until this daemon has stopped"
        return Check("open", ok=False, reason=f"drained{why}: {end}")
    return Check("open", ok=True, reason="new jobs are taken")
