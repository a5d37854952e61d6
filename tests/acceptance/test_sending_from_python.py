"""A sender who is a program: jobs through the Python API, over a real agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainbow_agent.api import Client
from rainbow_agent.core.errors import RainbowAgentError
from support.desk import Desk
from support.servers import SchedulerKind
from support.site import running_site


@pytest.mark.parametrize(
    "kind",
    [
        SchedulerKind.EMBEDDED,
        pytest.param(SchedulerKind.REAL, marks=pytest.mark.rainbow),
    ],
)
def test_a_job_is_sent_and_waited_for(kind: SchedulerKind, tmp_path: Path) -> None:
    """What the program is told is what the commands say."""
    if kind.missing():
        pytest.skip(kind.missing())
    with running_site(tmp_path, kind, flux=False) as site:
        assert site.program.run("register").code == 0
        desk = Desk(site, tmp_path / "sender")
        folder = desk.make_inbox().parent
        client = Client(environ={**desk.sender.environ, "RAINBOW_SENT_DIR": str(folder)})
        spec = (
            "{version: 1, resources: {one: {type: core, count: 1}},"
            " tasks: [{command: [sh, -c, exit 3], resources: one}]}"
        )
        handle = client.submit(spec).handle
        assert handle is not None
        assert client.status(handle)["state"] == "sent"
        assert client.wait(handle, timeout=0.1)["state"] == "sent"
        desk.site.program.until_idle()
        ended = client.wait(handle, timeout=60)
        assert (ended["state"], ended["reason"]) == ("failed", "exit code 3")
        assert [client.status(handle)] == desk.sender.show("status", handle)
        with pytest.raises(RainbowAgentError, match="no job rb-none was sent from"):
            client.wait("rb-none")
