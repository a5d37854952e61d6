"""What upstream's receiver makes of a message, where upstream's `jobspec` is installed."""

from __future__ import annotations

import shutil
from unittest.mock import patch

import pytest

from rainbow_agent.fleet import ownership_messages
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.ownership_messages import AgentIdentity
from support.senders import ask_part, make_handle

plugins = pytest.importorskip("jobspec.plugin", reason="upstream's jobspec is not installed")


AGENT = AgentIdentity("abc", "blue-0", 12, 1716000000.25, "/var/lib/agent")
TEXTS = {
    "a sender asks": rows.write(
        rows.Message(
            *("blue", "inbox-alice"),
            (ask_part(make_handle(1), {"ask": "cancel", "counter": 1, "until": 9e9}),),
        )
    ),
    "an agent asks": ownership_messages.question(AGENT),
    "an agent answers": ownership_messages.answer(AGENT, "def"),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_it_runs_nothing_and_goes_on(text: str) -> None:
    """It has accepted all rows by then: an error at this one would lose the jobs behind it."""
    flux = plugins.get_transformer_registry().get_plugin("flux")()
    with patch("subprocess.Popen", side_effect=AssertionError("it runs something")):
        flux.run(text)
        if shutil.which("flux"):
            with pytest.raises((AssertionError, SystemExit)):
                flux.run(
                    "version: 1\nresources: {r: {type: node, count: 1}}\n"
                    "tasks: [{command: [hostname], resources: r}]"
                )
