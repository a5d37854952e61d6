"""What the main loop keeps of rainbow's answers."""

from __future__ import annotations

from rainbow_agent.core.errors import Unavailable
from rainbow_agent.fleet.contact import Contact
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from support.common import FakeClock


def test_the_pace_goes_by_answers_about_jobs() -> None:
    """A graph takes longer; what was waited for in vain counts, a refusal at once does not."""
    clock = FakeClock(1000.0)
    telemetry = Telemetry(clock)
    contact = Contact(clock, telemetry, telemetry.loop("main", Stop()))
    contact.called("ReceiveJobs", 0.004, None)
    contact.called("RegisterSubsystem", 3.0, None)
    contact.called("ReceiveJobs", 0.001, Unavailable("refused"))
    assert contact.answer_took == 0.004
    contact.called("ReceiveJobs", 10.0, Unavailable("no answer"))
    assert contact.answer_took == 10.0
