"""Asking the cluster that has a job about it, on the side of the one who sent it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.handles import is_inbox
from rainbow_agent.fleet.messages.taking import LOOK_WAIT_S, rest, take
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.runtime.stop import Stop
    from rainbow_agent.storage.sent_store import SentJob

#: Seconds for which a question is worth an answer.
LASTING_S: Final = 86400.0
#: How often something is asked at most, within the time for an answer.
_TIMES_ASKED: Final = 3
#: Seconds between looks for an answer.
LOOK_S: Final = 0.3


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

    def clusters(self) -> list[str]:
        """The clusters that the config file has tokens for, without inboxes."""
        listed = self._config.clusters if self._config else ()
        return [each.name for each in listed if not is_inbox(each.name)]

    def ask(self, scheduler: Carrier, job: SentJob, content: Mapping[str, Any]) -> int:
        """Ask something of a job; the counter, by which the answer is known.

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
        return self._sender.ask(scheduler, self._keys, job, token, content, lasting=LASTING_S)

    def answer(
        self, scheduler: Carrier, job: SentJob, content: Mapping[str, Any], stop: Stop
    ) -> dict[str, Any]:
        """Ask something of a job, and wait for the answer.

        Raises:
            RainbowAgentError: there is none in time, or it is an error; or as ask().
        """
        return self.answers(scheduler, job, [content], stop)[0]

    def answers(
        self, scheduler: Carrier, job: SentJob, contents: Sequence[Mapping[str, Any]], stop: Stop
    ) -> list[dict[str, Any]]:
        """Ask several things of a job at once, and wait for all answers, as answer() does."""
        from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina

        clock, wait = SystemClock(), self._settings.reply_within
        found: dict[int, dict[str, Any]] = {}
        asked: list[tuple[int, int]] = []  # which content, and the counter: each maybe twice
        end = again = clock.monotonic() + wait
        open_ = list(range(len(contents)))
        while True:
            if not asked or clock.monotonic() > again:
                # Rainbow may have lost the question or the answer, and said that it took it.
                asked += [
                    (n, patiently(partial(self.ask, scheduler, job, contents[n]))) for n in open_
                ]
                again = clock.monotonic() + wait / _TIMES_ASKED
            patiently(lambda: take(self._sender, scheduler, self._settings, LOOK_WAIT_S))
            for number, counter in asked:
                if number in open_ and (answer := self.read(job, counter)) is not None:
                    found[number] = answer
                    open_.remove(number)
                    end = clock.monotonic() + wait
            if not open_:
                return [found[number] for number in range(len(contents))]
            if clock.monotonic() > end:
                raise RainbowAgentError(
                    f"cluster {job.cluster} has not answered for {wait:g} s: its agent is down, or"
                    " cannot reach rainbow; RAINBOW_REPLY_WITHIN is how long to wait"
                )
            if rest(self._sender, stop, LOOK_S):
                raise RainbowAgentError("interrupted")

    def read(self, job: SentJob, counter: int) -> dict[str, Any] | None:
        """The answer to one question; None where there is none yet.

        Raises:
            RainbowAgentError: it is an error, or cannot be read.
        """
        try:
            answer = self._sender.answer(self._keys, job.handle, counter)
        except ValueError as exc:
            raise RainbowAgentError(f"{job.handle}: the answer cannot be read: {exc}") from exc
        if answer is not None and answer.get("error"):
            raise RainbowAgentError(f"cluster {job.cluster}: {answer['error']}")
        return answer
