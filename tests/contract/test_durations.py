"""Durations are read as the installed Flux reads them (RFC 23, Flux Standard Duration)."""

from __future__ import annotations

import json
import subprocess

import pytest

from rainbow_agent.jobspec.attributes import parse_duration
from support.flux import NO_FLUX, flux_command

FORMS = [
    *("300", "300s", "5m", "0.5h", "1d", "1.5", "1ms", "100ms", ".5s", "5.", "1e3", "1e-3s", "0"),
    *("0s", "inf", "infinity", "INF", "INFINITY", "Infinity", "-1", "5M", "1h30m", "nan", "0x10"),
    *("", "s", "five", "5x", "1.2.3"),
]
_PROGRAM = """
import json, sys
from flux.util import parse_fsd
def read(text):
    try:
        return parse_fsd(text)
    except Exception:
        return None
print(json.dumps([read(text) for text in json.load(sys.stdin)]))
"""


@pytest.mark.flux
def test_every_form_means_what_it_means_to_flux() -> None:
    """Seconds, or no duration; without limit is 0 in a jobspec."""
    command = flux_command()
    if command is None:
        pytest.skip(NO_FLUX)
    done = subprocess.run(
        [command, "python", "-c", _PROGRAM],
        input=json.dumps(FORMS),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    theirs = {
        text: 0.0 if s == float("inf") else s
        for text, s in zip(FORMS, json.loads(done.stdout), strict=True)
    }
    assert {text: parse_duration(text) for text in FORMS} == theirs
