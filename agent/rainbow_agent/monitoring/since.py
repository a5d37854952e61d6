"""Times as people type them: a while ago, or a moment. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from rainbow_agent.jobspec.attributes import parse_duration

#: What to write, for error messages.
TIME_EXAMPLES = (
    "write how long ago (90s, 30m, 2h, 1d) or a time in UTC (2024-05-17, 2024-05-17T10:30, 10:30)"
)


def parse_since(text: str, now: float) -> float | None:
    """Epoch seconds of the moment that is meant; None when it is none.

    Args:
        text: a duration before now, a date, a time of day (the last one), or both; UTC unless it
            says otherwise.
        now: epoch seconds.
    """
    ago = parse_duration(text)
    if ago:
        return now - ago
    today = datetime.fromtimestamp(now, timezone.utc)
    try:
        if len(text) <= 8 and ":" in text:
            moment = datetime.fromisoformat(f"{today:%Y-%m-%d}T{text}").replace(tzinfo=timezone.utc)
            return (moment - timedelta(days=moment > today)).timestamp()
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()
