"""The product and its pages are in English as it is spoken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What is read. Decisions keep the words in which they were taken, as do scripts of the ledger that
#: have run; tests are not a user's.
PLACES = ("agent", "compspec", "docs", "README.md", "crd", "charts", "docker", "systemd")
EXEMPT = (
    "docs/decisions/",
    "agent/rainbow_agent/fleet/grpc/stubs/",
    "agent/rainbow_agent/storage/sql/",
)
SUFFIXES = {
    "",
    ".1",
    ".css",
    ".html",
    ".js",
    ".json",
    ".md",
    ".py",
    ".service",
    ".sh",
    ".sql",
    ".svg",
}
SUFFIXES |= {".toml", ".tpl", ".yaml", ".yml"}
#: Words of this project's own, and turns of phrase that were translated; to tell things apart is
#: English.
BANNED = {
    r"\b(is|are|was|were|been|be)\s+(not\s+)?told\b(?!\s+apart)": "sent, reported; a message",
    r"\b(is|are|was|were|be) heard of\b": "last heartbeat 5 s ago",
    r"\bnobody\b": "not ...; none",
    r"\bthe wish\b": "the request",
    r"\brooms?\b": "a module, package, thread",
    r"\bends? with (exit )?(status )?\d+\b": "exits with status 42",
}
WORDS = re.compile("|".join(BANNED), re.IGNORECASE)


def files() -> list[Path]:
    """The text files of the places."""
    found = [
        path
        for place in PLACES
        for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts
    ]
    return [p for p in found if not p.relative_to(ROOT).as_posix().startswith(EXEMPT)]


def banned_words(text: str) -> list[tuple[int, str]]:
    """The line and the words of each."""
    return [(text.count("\n", 0, m.start()) + 1, m[0]) for m in WORDS.finditer(text)]


def test_the_product_and_its_pages_use_spoken_english() -> None:
    """In code, messages, help, scripts and pages; no line is exempt."""
    read = files()
    assert len(read) > 400, "the sources are where they are looked for"
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words!r}"
        for path in read
        for line, words in banned_words(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(["say it in other words (BANNED has some):", *found])


@pytest.mark.parametrize(
    "text",
    ["What is told waits.", "Jobs are\ntold of it", "NOBODY knows", "a Room", "It ends with 42."],
)
def test_a_banned_word_is_found(text: str) -> None:
    """In any case, and across the end of a line."""
    assert banned_words(text)


@pytest.mark.parametrize("text", ["Rows are told apart by id", "headroom", "It tells why."])
def test_other_words_are_not(text: str) -> None:
    """Only whole words."""
    assert not banned_words(text)
