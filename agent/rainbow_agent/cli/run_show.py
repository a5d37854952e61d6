"""What `run` shows: how the tasks are, on standard error, and what they print."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from rainbow_agent.cli.common import say
from rainbow_agent.cli.task_output import Labelled, raw
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import JobRow, TaskChange, TaskRow
from rainbow_agent.core.notation import f58
from rainbow_agent.monitoring.blame import in_names
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.stop import Stop

if TYPE_CHECKING:
    from rainbow_agent.workload.choose import Choice

#: Tasks whose output is shown as it comes; each is a stream of its own.
MAX_FOLLOWED: Final = 1000
#: Seconds until output that does not end with its tasks is no longer waited for.
_REST_S: Final = 10.0


class Lines:
    """Prints what becomes of tasks, with times in order.

    The agent's clock and the workload manager's may differ by some milliseconds.
    """

    def __init__(self) -> None:
        self._last = 0.0

    def show(self, news: TaskChange, job: Callable[[], JobRow]) -> None:
        """A line for one task's news; tasks of the job in the place of the workload's ids."""
        self._last = max(self._last, news.at)
        name = f"{news.key.task}[{news.key.replica}]" if news.key.replica else news.key.task
        flux_id = f"  {f58(news.flux_id)}" if news.flux_id is not None else ""
        reason = f"  {in_names(news.reason, job())}" if news.reason else ""
        say(
            f"{when(self._last)}  {name:<16} {news.state.value:<10}{flux_id}{reason}",
            err=True,
        )


@contextmanager
def following(tasks: Sequence[TaskRow], choice: Choice, *, as_it_is: bool) -> Iterator[None]:
    """Show what tasks print, until they are over and that is all.

    Args:
        tasks: all of a job.
        choice: the workload manager that has them.
        as_it_is: on the same streams, one task's unchanged; else all of it on standard error.
    """
    tops = [task for task in tasks if task.group is None and task.flux_id is not None]
    if len(tops) > MAX_FOLLOWED:
        say(f"note: the output of the first {MAX_FOLLOWED} tasks is shown", err=True)
    alone = as_it_is and len(tasks) == 1
    labelled = Labelled(tops, all_to_stderr=not as_it_is)
    stop = Stop()
    by_id = {task.flux_id: task for task in tops[:MAX_FOLLOWED] if task.flux_id is not None}

    def follow() -> None:
        from rainbow_agent.workload.choose import open_records  # noqa: PLC0415 - heavy

        show = raw if alone else labelled
        try:
            # A connection belongs to the thread that opened it.
            with closing(open_records(choice, stop)) as records:
                for piece in records.output(list(by_id), follow=True):
                    show(by_id[piece.flux_id], piece)
        except RainbowAgentError as exc:
            say(f"note: the output cannot be shown: {exc}", err=True)
        labelled.finish()

    if not by_id:
        yield
        return
    thread = threading.Thread(target=follow, name="output", daemon=True)
    thread.start()
    try:
        yield
        thread.join(_REST_S)
    finally:
        stop.set("the job is over")
        thread.join(_REST_S)
