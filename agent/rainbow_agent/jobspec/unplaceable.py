"""Why no node can run a task: the words of a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.requirements import Need, Option
from rainbow_agent.core.shape import number
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.words import show, suggestion

#: Different values of one element that a refusal names.
_MAX_VALUES_NAMED = 4


class Unplaceable(JobspecError):
    """No node of this cluster, up or down, can run a task as it is written."""


def no_node_passes(option: Option, site: Site) -> str:
    """Why no node passes `requires`: of each list of needs the first that no node meets."""
    if not option.choices:
        return f"{option.where}: none of the nodes here passes `requires`"
    return "; nor ".join(dict.fromkeys(_no_node_meets(needs, site) for needs in option.choices))


def _no_node_meets(needs: tuple[Need, ...], site: Site) -> str:
    for need in needs:
        if need.subsystem not in site.names():
            return (
                f"{need.where}: no node here has a subsystem {show(need.subsystem)}; "
                + suggestion(need.subsystem, site.names())
            )
        if not site.meeting(need):
            return f"{need.where}: no node here has {asked(need)}; {_instead(need, site)}"
    each = ", ".join(
        f"{number(len(site.meeting(need)), 'node')} for {asked(need)}" for need in needs
    )
    return f"{needs[0].where}: no node here meets all that is required together ({each})"


def asked(need: Need) -> str:
    """What was asked: `'ior' from 3.0.0 to 4.0.0 (subsystem 'spack')`."""
    exact = need.value if need.attribute else need.equals
    bounds = [f"from {show(need.low)}"] if need.low else []
    bounds += [f"up to {show(need.high)}"] if need.high else []
    what = " ".join([show(need.key), *([f"= {show(exact)}"] if exact else []), *bounds])
    kind = f" of a {show(need.equals)}" if need.attribute and need.equals else ""
    return f"{what}{kind} in subsystem {show(need.subsystem)}"


def _instead(need: Need, site: Site) -> str:
    """What the nodes have in the place of what was asked."""
    counts: Counter[str] = Counter()
    for node in site.nodes:
        found = need.candidates(site.offers(node, need.subsystem))
        if node.traits is None and not found:
            counts["not described"] += 1
        else:
            counts[_values(found) if found else f"without {show(need.key)}"] += 1
    return "there: " + ", ".join(f"{number(n, 'node')} {what}" for what, n in counts.most_common())


def _values(found: list[str]) -> str:
    more = f" and {len(found) - _MAX_VALUES_NAMED} more" if len(found) > _MAX_VALUES_NAMED else ""
    return "with " + ", ".join(map(show, found[:_MAX_VALUES_NAMED])) + more


def does_not_fit(option: Option, nodes: Sequence[SiteNode], pieces: int, site: Site) -> str:
    """Why an option does not fit on the nodes that pass, of which there are some."""
    word = "node" if option.shape.nodes else "slot"
    passing = (
        f"{number(len(nodes), 'node')} of {len(site.nodes)} met `requires`"
        if option.choices or option.ranks is not None
        else f"there {'is' if len(nodes) == 1 else 'are'} {number(len(nodes), 'node')}"
    )
    sizes = Counter(node.size for node in nodes)
    has = ", ".join(
        f"{number(count, 'node')} with {number(cores, 'core')}"
        + (f" and {number(gpus, 'GPU')}" if gpus else "")
        for (cores, gpus), count in sizes.most_common(_MAX_VALUES_NAMED)
    )
    withheld = sum(node.gpus_withheld for node in nodes) if option.shape.gpus else 0
    why = (
        f"; {number(withheld, 'GPU')} more cannot be given by this Flux's scheduler (`rainbow-agent"
        " doctor` says what to load)"
        if withheld
        else ""
    )
    return (
        f"{option.where}: {option.shape} asked for; {passing}, with space for "
        f"{number(pieces, word)} ({has}){why}"
    )
