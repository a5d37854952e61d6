"""A command and an environment that the kernel does not take: said before anything runs."""

from __future__ import annotations

import json
import re

import pytest

from rainbow_agent.jobspec.plan import plan_text


def test_a_word_that_most_kernels_do_not_take_is_a_warning() -> None:
    """It says how long it is, what is possible, and what to write; a script may be that long.

    Where pages have 64 KiB such a word is fine, and who writes the jobspec may be elsewhere.
    """
    task = (
        "version: 1\nresources: {r: {type: core, count: 1}}\ntasks: [{resources: r, command: %s}]"
    )
    (warning,) = plan_text(task % f"[bash, -c, {'x' * 200_000}]").warnings
    assert re.search(r"200,000 bytes.*131,071.*Argument list too long.*#!", warning)
    assert plan_text(task % f"[echo, {'x' * 131_071}]").warnings == ()
    assert plan_text(task % f'"#!/bin/sh\\n: {"x" * 200_000}"').warnings == ()


def test_a_variable_that_the_kernel_does_not_take_is_a_warning() -> None:
    """It is reported when the jobspec is validated, and in the job's story."""
    text = "version: 1\nresources: {r: {type: core, count: 1}}\n"
    text += "tasks: [{resources: r, command: a, attributes: {environment: {A: %s}}}]"
    (warning,) = plan_text(text % ("x" * 140_000)).warnings
    assert "'A' has 140,002 bytes" in warning


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\U0001f308"])
@pytest.mark.parametrize("grouped", [False, True])
def test_what_the_kernel_does_not_take_together_is_a_warning(letter: str, grouped: bool) -> None:
    """Each word and variable alone is short enough; what of it comes from where does not matter."""
    piece = letter * (100_000 // len(letter.encode()))
    task: dict[str, object] = {"name": "t", "resources": "r", "command": ["echo", *[piece] * 10]}
    spec: dict[str, object] = {
        "version": 1,
        "attributes": {"environment": {f"V{n}": piece for n in range(10)}},
        "resources": {"r": {"type": "core", "count": 1}},
        "tasks": [task],
    }
    if grouped:
        spec["tasks"] = [{"group": "g"}]
        spec["groups"] = [{"name": "g", "resources": "r", "tasks": [task]}]
    assert plan_text(json.dumps(spec, ensure_ascii=False)).warnings == ()
    task["command"] = ["echo", *[piece] * 11]
    (warning,) = plan_text(json.dumps(spec, ensure_ascii=False)).warnings
    # 21 pieces, `echo`, ten times `Vn=`, and nine more for each of the 22.
    assert f"{21 * 100_000 + 4 + 30 + 22 * 9:,} bytes together" in warning
    assert ("g/t" if grouped else "t") in warning
    assert "2,097,152" in warning
