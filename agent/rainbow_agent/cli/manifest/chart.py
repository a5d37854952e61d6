"""What the values of charts/rainbow may be: `python -m rainbow_agent.cli.manifest.chart`.

The chart's values.schema.json is its output, so that Helm refuses a setting that is none, or has a
value that the agent could not use, before anything is installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from rainbow_agent.cli.manifest import FIXED
from rainbow_agent.runtime import setting_types as types
from rainbow_agent.runtime.settings import env_name, setting_fields

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_SECONDS: Final = {"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": r"^[0-9.eE+-]+$"}
_COUNT: Final = {"type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$"}
_COUNT_OR_ALL: Final = {**_COUNT, "pattern": "^([0-9]+|[aA][lL][lL])$"}
_AGE: Final = {"type": "string", "pattern": r"^([0-9.]+[smhd]|[aA][lL][lL])$"}
_SIZE: Final = {"type": "string", "pattern": "^([0-9]+[KMGT]|[oO][fF][fF])$"}
_ADDRESS: Final = {"type": "string", "pattern": r"^\S+:[0-9]+$"}
_LABEL: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_QUANTITY: Final = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+(\.[0-9]+)?([munkMGTPE]|[KMGTPE]i)?$",
}
#: By the setting's parser; any other takes text.
_BY_PARSER: Final[dict[Callable[[str], Any], dict[str, Any]]] = {
    types.seconds: _SECONDS,
    types.count: _COUNT,
    types.count_or_all: _COUNT_OR_ALL,
    types.age: _AGE,
    types.size_or_off: _SIZE,
    types.age_or_all: _AGE,
    types.host: _ADDRESS,
}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _settings() -> dict[str, Any]:
    """Settings of the agent by the names of their fields, but for what the chart itself sets."""
    made = {}
    for spec in setting_fields():
        if env_name(spec.name) in FIXED or not env_name(spec.name).startswith("RAINBOW_"):
            continue
        parse, help_text = spec.metadata["parse"], spec.metadata["help"]
        if isinstance(parse, types.OneOf):
            shape: dict[str, Any] = {"type": "string", "enum": list(parse.names)}
        else:
            shape = _BY_PARSER.get(parse, _TEXT)
        made[spec.name] = {**shape, "description": help_text}
    return _object(made)


def _cluster() -> dict[str, Any]:
    quantities = {"type": "object", "additionalProperties": _QUANTITY}
    words = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    return _object(
        {
            "size": {"type": "integer", "minimum": 1},
            "image": _TEXT,
            "requests": quantities,
            "limits": quantities,
            "gpus": {"type": "integer", "minimum": 0},
            "interactive": _FLAG,
            "ownFlux": _FLAG,
            "settings": _settings(),
            "state": words,
            # A setting belongs to `settings`, where it is checked.
            "environment": {**words, "propertyNames": {"not": {"pattern": "^RAINBOW_"}}},
        }
    )


def values_schema() -> dict[str, Any]:
    """The JSON schema of the chart's values."""
    clusters = {
        "type": "object",
        "propertyNames": {"pattern": _LABEL},
        "additionalProperties": {"$ref": "#/definitions/cluster"},
    }
    rainbow = {"install": _FLAG, "image": _TEXT, "host": {"type": "string"}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"cluster": _cluster()},
        **_object(
            {
                "global": {"type": "object"},  # Helm's own
                "rainbow": _object(rainbow),
                "secret": _object({"secret": _TEXT, "token": _TEXT}),
                "volumes": _object({"storageClass": _TEXT, "hostPath": _TEXT}),
                "defaults": {"$ref": "#/definitions/cluster"},
                "clusters": clusters,
            }
        ),
    }


if __name__ == "__main__":
    json.dump(values_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
