"""`doctor`: what was not looked at has a line that says so."""

from __future__ import annotations

from rainbow_agent.cli.doctor.faults import Finding, Level, found, well, with_skipped

LINKS = ("dns", "tcp", "tls", "server")


def shown(*lines: Finding) -> list[tuple[str, str]]:
    return [(f.check, f.level.name.lower()) for f in with_skipped(lines, LINKS)]


def test_what_hangs_on_a_broken_link_is_skipped() -> None:
    """Each link after it, in order; it does not count for the exit status."""
    lines = list(with_skipped([well("dns", ""), found("tcp-refused", "no")], LINKS))
    assert [(f.check, f.level) for f in lines[1:]] == [
        ("tcp", Level.WRONG),
        ("tls", Level.SKIP),
        ("server", Level.SKIP),
    ]
    assert lines[-1].text == "not looked at: it needs `tcp`"
    assert max(f.level.value for f in lines) == Level.WRONG.value


def test_what_was_looked_at_or_does_not_apply_is_not() -> None:
    """A link that has its line, and one that a whole chain goes without."""
    assert shown(well("dns", ""), well("server", "")) == [("dns", "ok"), ("server", "ok")]
    last = [found("tcp-refused", "no"), well("server", "")]
    assert shown(*last) == [("tcp", "wrong"), ("server", "ok"), ("tls", "skip")]
