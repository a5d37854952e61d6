"""`attributes.once` of a jobspec: the key by which a job that is sent twice runs once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.jobspec.reading import MAX_NAME

#: The attribute, of the whole jobspec only.
ONCE_ATTRIBUTE: Final = "once"


def with_key(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The jobspec with this key, in the place of one that it had.

    Raises:
        UsageError: it is not a key.
    """
    if not key or len(key) > MAX_NAME or not key.isprintable():
        raise UsageError(
            f"--once {key[:80]!r}: write 1 to {MAX_NAME} printable characters on one line"
        )
    found = document.get("attributes")
    attributes = found if isinstance(found, Mapping) else {}
    return {**document, "attributes": {**attributes, ONCE_ATTRIBUTE: key}}
