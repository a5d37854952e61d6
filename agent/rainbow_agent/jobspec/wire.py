"""Jobspecs and names in the form that the rainbow server can hold.

The server (converged-computing/rainbow 075ee23, pkg/database) pastes what it is sent between
double quotes into SQL. So nothing that goes there may hold a `"`, and SQL text ends at a NUL. YAML
can say everything without either: plain, single-quoted and literal block scalars, and `!!binary`
(base64) for a string that none of these can hold. A reader turns `!!binary` back into text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from rainbow_agent.core.errors import JobspecError, Rejected, UsageError
from rainbow_agent.runtime import setting_types

BINARY_TAG: Final = "tag:yaml.org,2002:binary"
_TEXT_TAG: Final = "tag:yaml.org,2002:str"

#: What YAML 1.1 calls printable, without the double quote, the byte order mark and the line
#: breaks that YAML 1.2 no longer knows (so that two readers cannot disagree): U+0085, U+2028/9.
_LINE: Final = re.compile(
    "[\\t\\x20-\\x21\\x23-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd"
    "\\U00010000-\\U0010ffff]*"
)
#: A plain scalar that begins otherwise, or is one of these words, is a number, boolean or date to
#: one reader or another (YAML 1.1 and 1.2 differ: 1e3, 0o7, y).
_SAFE_START: Final = re.compile(r"[A-Za-z/]")
_ODD_WORDS: Final = frozenset({"y", "n"})

#: What the matcher reads of a resource (jobspec-go nextgen/v1 types.go); the server answers with
#: an error to a field of another type than it expects, so nothing else is sent.
_RESOURCE_FIELDS: Final = ("type", "unit", "replicas", "count", "label", "exclusive", "schedule")


def to_wire(jobspec: Mapping[str, Any]) -> str:
    """A jobspec as YAML text that holds no `"`, whatever its strings hold.

    Args:
        jobspec: a JSON-like document.

    Raises:
        JobspecError: it holds a value that is not JSON-like, or text that is not Unicode.
    """
    try:
        # One line a plain scalar: a folded one loses its spaces in some readers.
        return yaml.dump(
            jobspec,
            Dumper=_WireDumper,
            allow_unicode=True,
            default_flow_style=False,
            sort_keys=False,
            width=sys.maxsize,
        )
    except yaml.YAMLError as exc:
        raise JobspecError(f"the jobspec cannot be written as YAML: {exc}") from exc
    except UnicodeEncodeError as exc:
        raise JobspecError(
            "the jobspec holds a string that is not valid Unicode (bytes of a file name or"
            f" argument that are not UTF-8?): {exc.object[:60]!r}"
        ) from exc


def from_wire(text: str) -> Any:
    """The document in YAML text, with every `!!binary` as the text that it holds.

    Raises:
        JobspecError: it is not YAML, or a `!!binary` holds no text.
    """
    try:
        return yaml.load(text, Loader=_WireLoader)  # noqa: S506 - _WireLoader is a SafeLoader
    except (yaml.YAMLError, RecursionError) as exc:
        raise JobspecError(f"the jobspec is not valid YAML: {exc}") from exc


def decode_binary(value: str) -> str:
    """The text in a `!!binary` scalar: base64 of UTF-8; white space is ignored.

    Raises:
        JobspecError: it is neither.
    """
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode()
    except (binascii.Error, ValueError) as exc:  # UnicodeDecodeError is a ValueError
        raise JobspecError(f"a !!binary value holds no base64 of UTF-8 text: {exc}") from exc


def check_text(text: str) -> None:
    """Refuse jobspec text that the server would break on.

    Raises:
        Rejected: it holds a double quote or a NUL.
    """
    for char, name in (('"', "double quote"), ("\0", "NUL")):
        if char in text:
            raise Rejected(
                f"the jobspec text holds a {name}, which the rainbow server cannot store:"
                " write it with rainbow_agent.jobspec.wire.to_wire"
            )


def check_cluster_name(name: str) -> None:
    """Refuse a cluster name that the server would break on.

    Raises:
        UsageError: it is not a DNS-1123 label, or a column of the server's table.
    """
    try:
        setting_types.cluster(name)
    except ValueError as exc:
        raise UsageError(f"cluster name {name[:80]!r} {exc}") from exc


def job_name(name: str) -> str:
    """A job's name for the server's list: `"` becomes `'`, what is not printable a space.

    It is a label for people (the jobspec keeps the name as it was written), so that a job is not
    refused for it.
    """
    return "".join("'" if c == '"' else c if c.isprintable() else " " for c in name)


def satisfy_payload(jobspec: Mapping[str, Any]) -> str:
    """What the matcher reads of a jobspec, as JSON text.

    A resource without a label gets its name as one: the server keeps its resources by label, and
    would check only one of those that have none.
    """
    payload: dict[str, Any] = {"version": 1}
    resources = jobspec.get("resources")
    groups = jobspec.get("requires")
    if isinstance(resources, Mapping):
        payload["resources"] = {
            name: {"label": name, **_matched(resource, groups)}
            for name, resource in resources.items()
        }
    elif resources is not None:
        payload["resources"] = resources  # the server says what is wrong with it
    return json.dumps(payload)


def _matched(resource: Any, groups: Any) -> dict[str, Any]:
    if not isinstance(resource, Mapping):
        return {}
    kept = {key: resource[key] for key in _RESOURCE_FIELDS if resource.get(key) is not None}
    requires = resource.get("requires")
    if isinstance(requires, str) and isinstance(groups, Mapping):  # a named group of entries
        requires = groups.get(requires)
    entries, children = _list_of(requires), _list_of(resource.get("with"))
    if entries is not None:
        kept["requires"] = [_texts(entry) for entry in entries if isinstance(entry, Mapping)]
    if children is not None:
        kept["with"] = [_matched(child, groups) for child in children]
    return kept


def _list_of(value: Any) -> Sequence[Any] | None:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else None


def _texts(entry: Mapping[str, Any]) -> dict[str, str]:
    """A `requires` entry; the server takes strings only, and `min: 3.0` is none in YAML."""
    return {
        str(key): value if isinstance(value, str) else json.dumps(value)
        for key, value in entry.items()
        if value is not None
    }


class _WireDumper(yaml.SafeDumper):
    """Writes no double quotes: `_represent_text` sends it only strings that need none."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Write a value that occurs twice twice: `&id001` would confuse readers."""
        return True

    def analyze_scalar(self, scalar: str) -> Any:
        """Which styles a string may have; `_represent_text` let only fit ones through.

        PyYAML is stricter than YAML here: it refuses blocks with tabs or spaces at the end of a
        line, and tabs between single quotes, and would fall back to double quotes.
        """
        analysis = super().analyze_scalar(scalar)
        if "\n" in scalar:
            analysis.allow_block = True
        elif "\t" in scalar:
            analysis.allow_flow_plain = analysis.allow_block_plain = False
            analysis.allow_single_quoted = True
        return analysis


class _WireLoader(yaml.SafeLoader):
    """A safe loader that reads `!!binary` as text."""


def _represent_text(dumper: _WireDumper, text: str) -> yaml.ScalarNode:
    lines = text.split("\n")
    if not all(_LINE.fullmatch(line) for line in lines) or (
        # A block that begins with white space needs an indentation indicator; readers differ.
        len(lines) > 1 and (not text[0].strip() or not text.strip())
    ):
        encoded = base64.b64encode(text.encode()).decode("ascii")
        return dumper.represent_scalar(BINARY_TAG, encoded, style="'")
    if len(lines) > 1:
        return dumper.represent_scalar(_TEXT_TAG, text, style="|")
    plain = _SAFE_START.match(text) and text.lower() not in _ODD_WORDS
    return dumper.represent_scalar(_TEXT_TAG, text, style=None if plain else "'")


def _represent_mapping(dumper: _WireDumper, data: Mapping[str, Any]) -> yaml.MappingNode:
    return dumper.represent_dict(dict(data))


def _construct_binary(loader: _WireLoader, node: yaml.ScalarNode) -> str:
    return decode_binary(str(loader.construct_scalar(node)))


_WireDumper.add_representer(str, _represent_text)
_WireDumper.add_multi_representer(str, _represent_text)
# An abstract class will do: PyYAML only looks for it in the bases of a value's class.
_WireDumper.add_multi_representer(Mapping, _represent_mapping)  # type: ignore[type-abstract]
_WireLoader.add_constructor(BINARY_TAG, _construct_binary)
