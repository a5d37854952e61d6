"""Trouble that repeats: once, then counted; nothing is lost silently."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from rainbow_agent.runtime.log_dedup import REPEAT_WINDOW_S, Repeats
from rainbow_agent.runtime.logs import set_up


def record(text: str, at: float, level: int = logging.WARNING, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("rainbow_agent.x", level, __file__, 1, text, (), None)
    made.created = at
    vars(made).update(extra)
    return made


class Log:
    """What is shown of what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.repeats = Repeats(lambda found: self.lines.append(found.getMessage()))

    def say(self, text: str, at: float, level: int = logging.WARNING, **extra: Any) -> None:
        """Log it."""
        said = record(text, at, level, **extra)
        if self.repeats.filter(said):
            self.lines.append(said.getMessage())


def test_the_same_trouble_is_said_once_and_then_counted() -> None:
    """The next time after a while says how often it was meanwhile; numbers make no difference."""
    log = Log()
    for second in range(0, int(REPEAT_WINDOW_S), 10):
        log.say(f"no answer within {second} s", float(second))
    assert log.lines == ["no answer within 0 s"]
    log.say("no answer within 7 s", REPEAT_WINDOW_S)
    assert log.lines[1:] == ["no answer within 7 s (again, 59 times in 10 min)"]
    log.say("no answer within 8 s", REPEAT_WINDOW_S + 1)
    assert len(log.lines) == 2


def test_trouble_that_stopped_is_counted_when_something_else_is_said() -> None:
    """There is no wait for it to come back."""
    log = Log()
    log.say("broken", 0.0)
    log.say("broken", 5.0)
    log.say("all is well", REPEAT_WINDOW_S + 60, logging.INFO)
    assert log.lines == ["broken", "broken (again, once in 11 min)", "all is well"]


def test_the_end_of_the_program_tells_what_was_counted() -> None:
    """Once."""
    log = Log()
    for second in range(4):
        log.say("broken", float(second))
    log.repeats.flush(30.0)
    log.repeats.flush(30.0)
    assert log.lines == ["broken", "broken (again, 3 times in 1 min)"]


def test_news_jobs_and_tracebacks_are_always_shown() -> None:
    """Each job is somebody's; what is no trouble is not counted."""
    log = Log()
    for _ in range(2):
        log.say("received", 0.0, logging.INFO)
        log.say("refused", 0.0, job="r1/7")
        log.say("other", 0.0, logging.ERROR)
        log.say("other", 0.0)
    assert log.lines == ["received", "refused", "other", "other", "received", "refused"]


def test_many_different_troubles_are_not_remembered_for_ever() -> None:
    """Memory stays bounded; the oldest is said again."""
    log = Log()
    for number in range(1000):
        log.say("x" * number, 0.0)
    assert len(log.repeats._troubles) <= 200
    log.say("", 0.0)
    assert log.lines[-1] == ""


def test_lines_that_count_have_no_secret_either() -> None:
    """What is kept was redacted before."""
    root, out = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    try:
        redact = set_up("info", "json", out)
        redact.add(["hunter2-hunter2"])
        for _ in range(3):
            logging.getLogger("x").warning("with hunter2-hunter2 it fails", extra={"n": 1})
        root.handlers[0].close()
    finally:
        root.handlers[:], root.level = before[0], before[1]
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["message"] for line in lines] == [
        "with [secret] it fails",
        "with [secret] it fails (again, 2 times in 1 min)",
    ]
    assert lines[1]["n"] == 1
