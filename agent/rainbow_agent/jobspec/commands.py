"""Reading a task's `command`: a list of words, one line as a shell splits it, or a script."""

from __future__ import annotations

import re

from rainbow_agent.jobspec.composer import ListNode, Node
from rainbow_agent.jobspec.document import Script
from rainbow_agent.jobspec.reading import as_items, as_text, spot
from rainbow_agent.jobspec.words import Spot

#: The interpreters that the specification names. They are found on PATH, as upstream does: few
#: images have a /bin/python. Any other interpreter is taken as it is written.
_ON_PATH = {f"/bin/{name}": name for name in ("bash", "sh", "python", "python3")}

#: A piece of a line, by the rules of POSIX shells as Python's shlex applies them.
_PIECE = re.compile(
    r"""
    (?P<space>  [ \t\r\n]+ )
  | (?P<plain>  [^ \t\r\n'"\\]+ )
  | '(?P<single> [^']* )'
  | "(?P<double> [^"\\]* (?: \\. [^"\\]* )* )"
  | \\(?P<escaped> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED_IN_QUOTES = re.compile(r'\\(["\\])')


def read_command(node: Node, path: str) -> tuple[str, ...] | Script:
    """A command's words, or the script that it is.

    Words are text as written: `[echo, yes, 1.0, ~]` has the words echo, yes, 1.0 and ~.
    """
    if isinstance(node, ListNode):
        words = tuple(as_text(item, where) for item, where in as_items(node, path))
    else:
        text = as_text(node, path)
        if text.lstrip().startswith("#!"):
            return _script(text.lstrip(), spot(node, path))
        words = _split(text, spot(node, path))
    if not words or not words[0]:
        raise spot(node, path).error("no program to run; write its name, such as [hostname]")
    return words


def split_words(line: str) -> list[str]:
    """The words of a line as shlex.split() gives them, in time that grows with its length.

    (shlex takes minutes for a word of a megabyte, and jobspecs come from strangers.)

    Raises:
        ValueError: a quote is not closed, or a backslash ends the line.
    """
    words: list[list[str]] = []
    place, inside = 0, False
    for match in _PIECE.finditer(line):
        if match.start() != place:
            break
        place = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            inside = False
            continue
        if not inside:
            words.append([])
            inside = True
        text = match[kind]
        words[-1].append(_ESCAPED_IN_QUOTES.sub(r"\1", text) if kind == "double" else text)
    if place < len(line):
        raise ValueError("backslash at the end" if line[place] == "\\" else "unclosed quote")
    return ["".join(pieces) for pieces in words]


def _split(text: str, at: Spot) -> tuple[str, ...]:
    try:
        return tuple(split_words(text))
    except ValueError as exc:
        raise at.error(
            f"a shell could not split this ({exc}); balance the quotes, or write a list of words"
        ) from exc


def _script(text: str, at: Spot) -> Script:
    """A script; its first line is split as the kernel does: a program and at most one argument."""
    first = text.partition("\n")[0][2:].strip()
    program, *argument = first.split(maxsplit=1)[:2] or [""]
    if not program:
        raise at.error("no interpreter after `#!`; write one, such as #!/bin/bash")
    return Script((_ON_PATH.get(program, program), *argument), text)
