"""How often one of many asks a server that cannot call back (docs/scale.md derives it).

It asks the more seldom the longer nothing came, the slower the server answers, and the longer it
fails; at once more often when work comes. Members with the same most seconds ask at times that
their names spread evenly, also after the server was away.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: The time between two polls is at most so large a part of the time for which nothing came.
IDLE_SHARE: Final = 1 / 20
#: A poll takes at most so large a part of the time until the next one: however many members there
#: are, at most one in so many waits for an answer.
ANSWER_SHARE: Final = 1 / 10
#: How much the newest answer counts in the average of how long answers take.
NEWEST_SHARE: Final = 1 / 4
#: How many times the most seconds are waited where the server is that slow.
SLOWEST: Final = 4
#: A poll that comes so short before its time stands for it: a timer may be early, and something
#: else may have woken the loop. In parts of the time between two.
EARLY_SHARE: Final = 1 / 8


def longest(most: float, answers_take: float) -> float:
    """The time between the polls of a member for which nothing comes, where answers take so long.

    All in seconds. Whoever waits for a poll of another member goes by it.
    """
    return max(most, min(answers_take / ANSWER_SHARE, SLOWEST * most))


class Pace:
    """The time between polls. Pure: it knows no clock. Seconds everywhere.

    Args:
        least: between two polls at least.
        most: between two polls at most, where the server is quick.
        name: who polls; the moment at which it does follows from it.
        now: when it begins, by the clock of all other calls; it only moves on.
    """

    def __init__(self, least: float, most: float, name: str, *, now: float) -> None:
        self._least, self._most = least, most
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        self._offset = int.from_bytes(digest, "big") / 2**64 * SLOWEST * most
        self._last_work = now
        self._answers_take = 0.0
        self._while_failing = 0.0

    def worked(self, now: float) -> None:
        """Something came in."""
        self._last_work, self._while_failing = now, 0.0

    def idled(self, took: float = 0.0) -> None:
        """Nothing came in; the answer took so long."""
        self._answers_take += (took - self._answers_take) * NEWEST_SHARE
        self._while_failing = 0.0

    def failed(self, now: float, took: float = 0.0) -> None:
        """There is no answer, or none of use: half as often, each time.

        One that was waited for says that the server is slow, and one that is refused at once
        nothing of how slow it is.
        """
        if took > self._answers_take:
            self._answers_take += (took - self._answers_take) * NEWEST_SHARE
        self._while_failing = min(2 * self.interval(now), self._most)

    def gap(self) -> float:
        """The time between two calls at least, whatever there is to ask or to say."""
        slow = min(self._answers_take / ANSWER_SHARE, SLOWEST * self._most)
        return max(self._least, slow)

    def interval(self, now: float) -> float:
        """The time between two polls: SLOWEST times `most`, or a half, a quarter, ... of it.

        So members of another pace still meet on the same grid, and none goes ahead of its turn.
        """
        idle = max((now - self._last_work) * IDLE_SHARE, self._while_failing)
        wanted = max(self.gap(), min(idle, self._most))
        interval = SLOWEST * self._most
        while interval / 2 >= wanted:
            interval /= 2
        return interval

    def wait(self, now: float) -> float:
        """How long to wait from now on."""
        interval = self.interval(now)
        left = interval - (now - self._offset) % interval
        return left + interval if left < interval * EARLY_SHARE else left
