"""What is said when only a human can make the cluster a member of the fleet again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rainbow_agent.runtime.logs import when


def exists(host: str, cluster: str, store: str, asked: Mapping[str, Any] | None) -> str:
    """The name is taken, and there is no secret for it here.

    Args:
        host: rainbow's.
        cluster: the name.
        store: where the secret would be.
        asked: `host` and `at` (epoch seconds) of a registration that had no answer, if there was
            one.
    """
    lost = ""
    if asked and asked.get("host") == host:
        lost = (
            f" This agent asked for one at {when(asked['at'])}, and the answer did not arrive or"
            " was not stored."
        )
    return (
        f"rainbow at {host} has a cluster {cluster} already and gives its secret only once; the one"
        f" for it is not (or no longer) in {store}.{lost} If another agent runs under this name,"
        f" give this one another RAINBOW_CLUSTER. If none does, {_cures(cluster, store)}"
    )


def denied(host: str, cluster: str, store: str) -> str:
    """The name is taken, and the secret that is here is not the one for it."""
    return (
        f"rainbow at {host} has cluster {cluster} and denies the secret for it in {store}: the"
        " secret was changed in rainbow, or another agent registered under this name. If another"
        " agent runs under this name, give this one another RAINBOW_CLUSTER. If none does,"
        f" {_cures(cluster, store)}"
    )


def kept_back(host: str, cluster: str, store: str) -> str:
    """Rainbow registered the cluster, and answered with an error in the place of the secret.

    075ee23 makes the row first, and then finds the graph of a cluster whose row was removed.
    """
    return (
        f"rainbow at {host} still has the graph of an earlier cluster {cluster} in its memory, and"
        f" kept the new secret to itself: {_cures(cluster, store)}"
    )


def _cures(cluster: str, store: str) -> str:
    """What helps when a secret is lost: rainbow has it, and does not give it again."""
    return (
        "restore it where the state folder was lost; or have rainbow's operator look the secret up"
        f" in its database (table `clusters`, name {cluster}) and write it to {store} (cluster:"
        f" {{name: {cluster},"
        " secret: ...}); or remove that row and then restart rainbow, whose memory has the cluster,"
        " too"
    )
