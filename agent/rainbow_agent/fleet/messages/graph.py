"""The graph of an inbox: a cluster that has no node and no core, so that no job fits it."""

from __future__ import annotations

import json
from typing import Final

#: Rainbow wants a root that is called "0", and something in it. Neither is of a type that any job
#: asks for (docs/decisions/0120 has what was tried on the real matcher).
INBOX_GRAPH: Final = json.dumps(
    {
        "graph": {
            "nodes": {
                "0": {"metadata": {"type": "inbox", "size": 1}},
                "1": {"metadata": {"type": "letter", "size": 1}},
            },
            "edges": [{"source": "0", "target": "1", "relation": "contains"}],
        }
    }
)
