"""What the ledger says of when a task was submitted."""

from __future__ import annotations

from pathlib import Path

from rainbow_agent.core.workload_values import Submission
from support.common import jobspec_json
from support.dispatch import Harness
from support.ledger import checked_ledger


def test_submitted_is_when_it_was_sent(tmp_path: Path) -> None:
    """Not when the answer was read: by then the task may have started, and that would be sooner."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        harness = Harness(ledger)
        sent = []

        def slow(_: Submission) -> None:
            sent.append(harness.clock.now())
            harness.clock.advance(5.0)

        harness.server.refuse = slow
        (key,) = harness.receive(jobspec_json({"one": []}))
        harness.run()
        assert [row.submitted for row in ledger.tasks_of(key)] == sent
