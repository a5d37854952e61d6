"""YAML text as positioned nodes: what is written, where it stands, nothing guessed.

PyYAML's parser gives events; the tree is built from them in composer.py. Scalars keep the text as
written: what YAML 1.1 would turn into a bool or a number (`yes`, `1e3`, `0o7`) is decided by who
reads the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.composer import MAX_NESTING, Composer, Node
from rainbow_agent.jobspec.words import error_at

#: Characters of one jobspec; gRPC, which carries it, takes messages of 4 MiB.
MAX_TEXT = 4 * 1024 * 1024

#: libyaml's parser where PyYAML was built with it: about eight times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def compose(text: str) -> Node:
    """The one document of `text` as nodes.

    Raises:
        JobspecError: not YAML, not exactly one document, or beyond a limit of this module.
    """
    if len(text) > MAX_TEXT:
        raise JobspecError(
            f"the jobspec is longer than {MAX_TEXT:,} characters, the most that is read"
        )
    composer = Composer()
    composer.feed(_events(text))
    if composer.root is None:
        raise JobspecError("the jobspec is empty; it needs at least `version: 1` and `tasks`")
    return composer.root


def _events(text: str) -> Iterator[Any]:
    try:
        loader = _Loader(text)
        try:
            while (event := loader.get_event()) is not None:
                yield event
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as exc:
        raise JobspecError(
            f"the jobspec is not text: {exc.reason} at position {exc.position}; "
            "write such a character as an escape in double quotes"
        ) from exc
    except yaml.MarkedYAMLError as exc:
        raise _marked(exc) from exc
    except UnicodeEncodeError as exc:
        raise JobspecError(
            f"the jobspec is not text: half of a surrogate pair at position {exc.start}"
        ) from exc


def _marked(exc: yaml.MarkedYAMLError) -> JobspecError:
    mark = exc.problem_mark or exc.context_mark
    what = "not YAML: " + "; ".join(part for part in (exc.context, exc.problem) if part)
    if "nesting depth" in (exc.problem or ""):
        # libyaml's own limit, far above ours: its scanner can meet it before it tells of a level.
        what = f"nested deeper than {MAX_NESTING} levels"
    return error_at(mark.line + 1, mark.column + 1, what) if mark else JobspecError(what)
