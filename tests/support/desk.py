"""For tests: the shell of somebody who sends jobs to a site's cluster, and has an inbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import yaml

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.messages.sender_files import load_inbox
from support.program import Program
from support.site import Site


class Desk:
    """A cluster, and a shell of a sender elsewhere."""

    def __init__(self, site: Site, folder: Path) -> None:
        folder.mkdir()
        self.site = site
        token = site.fleet.credentials.token_of("blue")
        self.sender = Program(folder, host=site.scheduler.host, token=token, reply_within=60)

    def make_inbox(self) -> Path:
        """By whoever has the registration secret; where its file is."""
        answer = self.sender.run("inbox", "create", "alice", secret=self.site.scheduler.secret)
        assert answer.code == 0, answer
        return self.sender.folder / ".local" / "state" / "rainbow-agent" / "inbox.yaml"

    def know(self, *clusters: str) -> None:
        """The sender's config file has these, with the token of the site's."""
        token = self.site.fleet.credentials.token_of("blue")
        listed = [{"name": name, "token": token} for name in clusters]
        self.sender.config.parent.mkdir(exist_ok=True)
        self.sender.config.write_text(yaml.safe_dump({"clusters": listed}))

    def rows_in_inbox(self) -> int:
        """How many rows wait there."""
        inbox = load_inbox(next(self.sender.folder.rglob("inbox.yaml")))
        assert inbox is not None
        with closing(RainbowScheduler(inbox.host)) as scheduler:
            return len(scheduler.receive(inbox.name, inbox.secret, 0))

    def submit(self, *command: str, options: Sequence[str] = ()) -> str:
        """Submit a command with these options; its handle."""
        answer = self.sender.run("submit", *options, "-o", "json", "--", *command)
        assert answer.code == 0, answer
        return str(answer.value["handle"])
