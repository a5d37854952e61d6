"""Asking the cluster that has a job about it, from the shell of the one who sent it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.core.ports import Scheduler
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.storage.sent_store import SentJob

#: Seconds for which a question is worth an answer.
LASTING_S: Final = 86400.0


class Asker:
    """A sender who asks; their keys and tokens are read when they are first needed.

    Args:
        sender: who asks.
        settings: name the tokens of the clusters.
    """

    def __init__(self, sender: Sender, settings: Settings) -> None:
        from rainbow_agent.fleet import rainbow_config  # noqa: PLC0415 - yaml
        from rainbow_agent.fleet.messages.sender_files import sender_keys  # noqa: PLC0415 - yaml

        self._sender, self._settings = sender, settings
        self._keys = sender_keys(settings.sent_dir)
        self._config = rainbow_config.load(settings.config)

    def ask(self, scheduler: Scheduler, job: SentJob, content: Mapping[str, Any]) -> None:
        """Ask something of a job.

        Raises:
            UsageError: there is no token for its cluster.
            RainbowAgentError: it is not known which cluster has it, or rainbow does not take it.
        """
        if job.cluster is None:
            raise RainbowAgentError(
                f"{job.handle}: SubmitJob was not answered, so it is not known which cluster has it"
            )
        listed = self._config.token_of(job.cluster) if self._config else ""
        token = listed or self._settings.token.reveal()
        if not token:
            raise UsageError(
                f"there is no token for cluster {job.cluster}, which has {job.handle}: add it to"
                f" `clusters` of {self._settings.config}, or set RAINBOW_TOKEN"
            )
        self._sender.ask(scheduler, self._keys, job, token, content, lasting=LASTING_S)
