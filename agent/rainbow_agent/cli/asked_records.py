"""A job that was sent from here, as its cluster tells it on request."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from rainbow_agent.cli.common import say
from rainbow_agent.cli.sent import own_sender
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.fleet.messages.asking import Asker
from rainbow_agent.fleet.messages.own_inbox import at_inbox
from rainbow_agent.fleet.messages.taking import find_sent, take
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.storage.sent_store import SentJob

#: Seconds between questions for new output.
FOLLOW_S: Final = 1.0


class AskedRecords:
    """What tasks wrote, asked of the cluster that has the job; as core.ports.Records has it.

    Args:
        asker: who asks.
        scheduler: the rainbow that both are in.
        job: the job.
        stop: ends each wait.
    """

    def __init__(self, asker: Asker, scheduler: Carrier, job: SentJob, stop: Stop) -> None:
        self._asker, self._scheduler, self._stop = asker, scheduler, stop
        self.job = job
        self._seen: dict[str, int] = {}

    def explain(self) -> dict[str, Any]:
        """The job's whole story, as `explain` on the cluster has it.

        Raises:
            RainbowAgentError: there is no answer.
        """
        answer = self._asker.answer(self._scheduler, self.job, {"ask": "explain"}, self._stop)
        view: dict[str, Any] = answer["view"]
        if view.get("advice"):  # what to do from here has the handle for the cluster's number
            verb = rf"(rainbow-agent \w+) {view['job']['id']}\b"
            view["advice"] = re.sub(verb, rf"\1 {self.job.handle}", view["advice"])
        return view

    def ask(self, *contents: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answers to several questions, in their order.

        Raises:
            RainbowAgentError: there is none, or it is an error.
        """
        return self._asker.answers(self._scheduler, self.job, contents, self._stop)

    def output(self, flux_ids: Sequence[int], *, follow: bool) -> Iterator[OutputPiece]:
        """What jobs have written, each job's in order.

        Args:
            flux_ids: of this job's tasks.
            follow: ask again until all of them are over.

        Raises:
            RainbowAgentError: there is no answer.
        """
        while True:
            asked = {"ask": "logs", "ids": list(flux_ids), "seen": self._seen}
            answer = self._asker.answer(self._scheduler, self.job, asked, self._stop)
            if lost := sum(answer["dropped"].values()):
                say(f"note: {lost} bytes before this are left out: it was too much", err=True)
            for name, size in answer["dropped"].items():
                self._seen[name] = self._seen.get(name, 0) + size
            for flux_id, stream, rank, text in answer["pieces"]:
                data = base64.b64decode(text)
                name = f"{flux_id}/{stream}/{rank}"
                self._seen[name] = self._seen.get(name, 0) + len(data)
                yield OutputPiece(flux_id, stream, data, rank)
            if not follow or answer["over"] or self._stop.wait(FOLLOW_S):
                return


@contextmanager
def asked_records(handle: str, settings: Settings, stop: Stop) -> Iterator[AskedRecords]:
    """What the cluster that has a job keeps of it.

    Raises:
        RainbowAgentError: it was not sent from here, or its cluster has not reported it yet.
    """
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina

    with own_sender(settings) as sender:
        find_sent(sender.store, [handle], settings)
        with closing(connect(at_inbox(settings, sender.inbox))) as scheduler:
            patiently(lambda: take(sender, scheduler, settings))
            (job,) = find_sent(sender.store, [handle], settings)
            if job.job is None:
                raise RainbowAgentError(
                    f"no report of {handle} yet: see `rainbow-agent status {handle}`"
                )
            yield AskedRecords(Asker(sender, settings), scheduler, job, stop)
