"""What `satisfy` says to people of a task that fits."""

from __future__ import annotations

import json
from dataclasses import replace

from rainbow_agent.cli.satisfy import _outcome
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.placement import judge
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.simple import simple_jobspec


def outcome(up: int, of: int) -> str:
    """On a site of which the first nodes are up; all are asked for."""
    nodes = [SiteNode(rank, f"blue-{rank}", 4, 0) for rank in range(of)]
    site = Site(tuple(replace(node, up=node.rank < up) for node in nodes))
    (verdict,) = judge(plan_text(json.dumps(simple_jobspec(["true"], nodes=of))), site)
    return _outcome(verdict)


def test_nodes_that_have_to_come_up_are_named() -> None:
    """As many as can be read."""
    assert outcome(4, 4) == "yes: 4 nodes with 1 core each, on ranks 0-3"
    assert outcome(2, 4).endswith("ranks 0-3; not before more of these are up: blue-2, blue-3")
    assert outcome(1, 12).endswith(
        "up: " + ", ".join(f"blue-{n}" for n in range(1, 9)) + " and 3 more"
    )
