"""For tests: the shell of somebody who sends jobs to a site's cluster, and has an inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import yaml

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.sender_files import load_inbox
from support.program import Program
from support.site import Site


class Desk:
    """A cluster, and a shell of a sender elsewhere.

    Args:
        site: the cluster's.
        folder: the sender's; made.
        environ: further variables of the sender's shell.
        reply_within: seconds until the cluster is taken not to answer.
    """

    def __init__(
        self,
        site: Site,
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        reply_within: float = 60,
    ) -> None:
        folder.mkdir()
        self.site = site
        settings = {
            "host": site.scheduler.host,
            "token": site.fleet.credentials.token_of("blue"),
            "reply_within": reply_within,
        }
        self.sender = Program(folder, environ=environ, **settings)

    def make_inbox(self, name: str = "alice") -> Path:
        """By whoever has the registration secret; where its file is."""
        answer = self.sender.run("inbox", "create", name, secret=self.site.scheduler.secret)
        assert answer.code == 0, answer
        return self.sender.folder / ".local" / "state" / "rainbow-agent" / "inbox.yaml"

    def know(self, *clusters: str) -> None:
        """The sender's config file has these, with the token of the site's."""
        token = self.site.fleet.credentials.token_of("blue")
        listed = [{"name": name, "token": token} for name in clusters]
        self.sender.config.parent.mkdir(exist_ok=True)
        self.sender.config.write_text(yaml.safe_dump({"clusters": listed}))

    def in_inbox(self) -> int:
        """How many messages wait there."""
        inbox = load_inbox(next(self.sender.folder.rglob("inbox.yaml")))
        assert inbox is not None
        return self._messages(inbox.name, inbox.secret)

    def asked(self) -> int:
        """How many messages wait for the cluster."""
        mine = self.site.fleet.credentials
        return self._messages(mine.cluster, mine.cluster_secret)

    def _messages(self, cluster: str, secret: str) -> int:
        with closing(RainbowScheduler(self.site.scheduler.host)) as scheduler:
            offers = scheduler.receive(cluster, secret, 0)
            box = scheduler.messages(cluster, secret)
        listed = [offer for offer in offers if rows.read(offer.name, offer.jobspec)]
        return len(listed) + len(box.messages if box else ())

    def submit(self, *command: str, options: Sequence[str] = ()) -> str:
        """Submit a command with these options; its handle."""
        answer = self.sender.run("submit", *options, "-o", "json", "--", *command)
        assert answer.code == 0, answer
        return str(answer.value["handle"])
