"""Logging, set up once: a sentence for people, fields for machines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TextIO

from rainbow_agent.runtime.journald import PriorityFormatter, leads_to_journal
from rainbow_agent.runtime.log_dedup import Repeats
from rainbow_agent.runtime.recent_log import RecentLog

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # Python 3.10's cannot be subscripted
    _StreamHandler = logging.StreamHandler


def clean(text: str) -> str:
    """The text with control characters escaped: what a user wrote cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(n: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def when(epoch: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    stamp = datetime.fromtimestamp(epoch, timezone.utc)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {k: v for k, v in vars(record).items() if k not in _STANDARD}


def _traceback(record: logging.LogRecord) -> str:
    """The text of the record's exception; "" without one."""
    if record.exc_text or not record.exc_info:
        return record.exc_text or ""
    return logging.Formatter().formatException(record.exc_info)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON text."""
        entry = {
            "time": when(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if traceback := _traceback(record):
            entry["exception"] = traceback
        return json.dumps(entry, default=str)  # ASCII only: any terminal and pipe takes it


class TextFormatter(logging.Formatter):
    """One line for people: time, level, sentence, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line (a traceback follows on lines of its own)."""
        pairs = " ".join(f"{k}={v}" for k, v in _fields(record).items())
        line = f"{when(record.created)} {record.levelname.lower():7} {record.getMessage()}"
        line = clean(f"{line}  {pairs}" if pairs else line)
        traceback = [clean(part) for part in _traceback(record).split("\n") if part]
        return "\n".join([line, *traceback])


#: What stands in the place of a secret.
_MASK: Final = "[secret]"
#: Characters from which on a secret is looked for within a text. Shorter ones are words, too:
#: rainbow's own default token is `rainbow`.
MIN_SECRET_LENGTH: Final = 8


class Redact(logging.Filter):
    """The last guard: a known secret never leaves through a log line, wherever it hides.

    One shorter than MIN_SECRET_LENGTH is masked only where it is all of an argument or field.
    """

    def __init__(self) -> None:
        super().__init__()
        self._secrets: tuple[str, ...] = ()  # the longest first; replaced, never changed
        self._short: frozenset[str] = frozenset()

    def add(self, secrets: Collection[str]) -> None:
        """Texts that must not appear from now on."""
        more = {s for s in secrets if len(s) >= MIN_SECRET_LENGTH}
        self._secrets = tuple(sorted({*self._secrets, *more}, key=len, reverse=True))
        self._short |= {s for s in secrets if s} - more

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace secrets in the message and its fields; never drops a record."""
        if self._secrets or self._short:
            record.args = self._without_short(record.args)
            record.msg, record.args = self._hide(record.getMessage()), None
            for name, value in _fields(record).items():
                setattr(record, name, self._hide_in(value))
            record.exc_text, record.exc_info = self._hide(_traceback(record)), None
        return True

    def _hide_in(self, value: object) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {self._hide(str(k)): self._hide_in(v) for k, v in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._hide_in(v) for v in value]
        return _MASK if str(value) in self._short else self._hide(str(value))

    def _without_short(self, args: Any) -> Any:
        """A message's arguments; one that is a short secret, and nothing else, is masked."""
        if not isinstance(args, tuple):
            return args
        return tuple(_MASK if isinstance(a, str) and a in self._short else a for a in args)

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text


class _Handler(_StreamHandler):
    """Writes lines; what was counted and not said is said when it is closed."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.repeats = Repeats(self._show)
        self.recent: RecentLog | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and keep it among the last ones."""
        super().emit(record)
        if self.recent:
            self.recent.add(JsonFormatter().format(record))

    def close(self) -> None:
        """The program ends (logging.shutdown)."""
        self.repeats.flush(logging.makeLogRecord({}).created)
        if self.recent:
            self.recent.close()
        super().close()

    def _show(self, record: logging.LogRecord) -> None:
        self.acquire()
        try:
            self.emit(record)  # past the filters, which it has been through
        finally:
            self.release()


def set_level(level: str) -> None:
    """Change what is logged from now on: debug, info, warning or error."""
    logging.getLogger().setLevel(level.upper())


def keep_recent(folder: Path) -> None:
    """Keep the last lines from now on in a folder that is this process's own."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.recent = RecentLog(folder)


def set_up(
    level: str,
    form: str,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Redact:
    """Configure the root logger, once a process.

    Args:
        level: debug, info, warning or error.
        form: auto (text on a terminal, JSON otherwise), text or json.
        stream: where to; standard error when None.
        environ: of this process: what systemd says of the journal.

    Returns:
        The filter that hides secrets: add to it what becomes known later.
    """
    out = stream or sys.stderr
    text = form == "text" or (form == "auto" and out.isatty())
    handler = _Handler(out)
    formatter = TextFormatter() if text else JsonFormatter()
    journal = leads_to_journal(out, environ)
    handler.setFormatter(PriorityFormatter(formatter) if journal else formatter)
    redact = Redact()
    handler.addFilter(redact)  # first: what is kept to be counted has no secret in it either
    handler.addFilter(handler.repeats)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("grpc").setLevel(logging.ERROR)
    return redact
