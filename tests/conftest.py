"""For every test: no RAINBOW_* of the caller's, Hypothesis, and what was not tested."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from support.flux import SCHEDULER_VARIABLE, fluxion_environ

#: A slow or busy machine is not a failing test; the same examples every time.
_PROFILE = "rainbow-agent"
settings.register_profile(
    _PROFILE,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
#: For `make test`.
settings.register_profile("quick", settings.get_profile(_PROFILE), max_examples=25)
settings.load_profile(_PROFILE)

#: Markers of tests that need something that a machine may not have, and what that is.
PARTS = {
    "flux": "a real Flux",
    "rainbow": "the real rainbow server",
    "kubernetes": "a Kubernetes cluster",
    "browser": "a browser",
    "minicluster": "a MiniCluster of namespaces",
    "systemd": "a systemd that boots",
}


def pytest_configure() -> None:
    """Programs that tests start end on signals, also where nohup(1) or a shell's `&` ignores them.

    What is ignored here would be ignored in all of them. Instances in jobs find the scheduler that
    this run is over.
    """
    if os.environ.get(SCHEDULER_VARIABLE) == "fluxion":
        os.environ.update(fluxion_environ() or {})
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RAINBOW_") or name in ("CLUSTER_NAME", "FLUX_URI", "STATE_DIRECTORY"):
            monkeypatch.delenv(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly which parts were not there: what was skipped is not proven."""
    skipped = terminalreporter.stats.get("skipped", [])
    counts = Counter(
        part for report in skipped for part in PARTS if part in getattr(report, "keywords", ())
    )
    for part, count in counts.items():
        terminalreporter.write_line(
            f"NOT TESTED against {PARTS[part]}: {count} tests marked {part} were skipped", red=True
        )
