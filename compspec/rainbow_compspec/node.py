"""Node JSON: one node's description, as a file.

The format is compspec-go's, `{"results": {extractor: {"sections": {section: {key: "string"}}}}}`.
What compspec-go's `create nodes` needs is written as it does (`node_upstream`); ours stands under
the extractor `rainbow`, one section a probe:

* a table (`core`, `package`, `module`) is a section of its own, an entry `key=value key=value`;
* `probes` says how each probe ended, with its reason; `origin` where values come from and how sure
  they are, for a probe as a whole and for keys that differ (`cpu.target`); `warnings` the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rainbow_compspec import node_ours, node_upstream
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.reading import Reading

Document = Mapping[str, Mapping[str, Mapping[str, str]]]
"""extractor -> section -> key -> value: node JSON without its two constant levels."""


def document(readings: Mapping[str, Reading], name: str) -> Document:
    """Makes the description of a node.

    Args:
        readings: probe -> reading.
        name: the node's host name.

    Returns:
        The document; write it with `dumps`.
    """
    return {
        **node_upstream.extractors(readings, name),
        node_ours.EXTRACTOR: node_ours.sections(readings, name),
    }


def dumps(doc: Document) -> str:
    """Writes a document as node JSON, keys sorted, so that equal nodes give equal files."""
    wrapped = {"results": {name: {"sections": sections} for name, sections in doc.items()}}
    return json.dumps(wrapped, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def loads(text: str, origin: str = "node JSON") -> Document:
    """Reads node JSON, ours or compspec-go's.

    Args:
        text: the JSON.
        origin: what it is called in messages: its file.

    Raises:
        CompspecError: it is not JSON, or has another shape; the message names file and key.
    """
    try:
        top = json.loads(text)
    except ValueError as exc:
        raise CompspecError(f"{origin}: not JSON, perhaps cut off: {exc}") from exc
    results = _mapping(_mapping(top, origin, "").get("results"), origin, "results")
    return {
        name: {
            section: _strings(values, origin, f"results.{name}.sections.{section}")
            for section, values in _mapping(
                _mapping(data, origin, f"results.{name}").get("sections") or {},
                origin,
                f"results.{name}.sections",
            ).items()
        }
        for name, data in results.items()
    }


def load(path: Path) -> Document:
    """Reads a file of node JSON.

    Raises:
        CompspecError: it cannot be read, or is not node JSON; the message names file and key.
    """
    try:
        return loads(path.read_text(encoding="utf-8"), str(path))
    except OSError as exc:
        raise CompspecError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise CompspecError(f"{path}: not UTF-8 text: {exc}") from exc


def to_facts(doc: Document, origin: str = "node JSON", name: str = "") -> NodeFacts:
    """Turns a document into what graphs are made of.

    Ours has all there is. compspec-go's has no GPUs and no packages; its cores come from the
    processors' `physical id` and `core id`, or are spread over its socket count.

    Args:
        doc: the document.
        origin: what it is called in messages: its file.
        name: the node's name where the document has none, as compspec-go's often has.

    Raises:
        CompspecError: a value is not what its key promises, or there is no description in it.
    """
    ours = doc.get(node_ours.EXTRACTOR)
    if ours:
        return node_ours.facts(ours, origin)
    if doc.get("system") or doc.get("nfd"):
        return node_upstream.facts(doc, origin, name)
    raise CompspecError(
        f"{origin}: describes no node: its results have neither {node_ours.EXTRACTOR!r} nor "
        f"'system', only {', '.join(doc) or 'nothing'}"
    )


def _mapping(value: object, origin: str, key: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        place = f"{key} must" if key else "must"
        raise CompspecError(f"{origin}: {place} be an object, found {_kind(value)}")
    return value


def _strings(value: object, origin: str, key: str) -> Mapping[str, str]:
    if value is None:  # Go writes an empty map so
        return {}
    found = _mapping(value, origin, key)
    for name, text in found.items():
        if not isinstance(text, str):
            raise CompspecError(f"{origin}: {key}.{name} must be a string, found {_kind(text)}")
    return found  # type: ignore[return-value]  # every value was just seen to be a string


def _kind(value: object) -> str:
    names = {type(None): "nothing", dict: "an object", list: "a list", str: "a string"}
    return names.get(type(value), f"{value!r}")
