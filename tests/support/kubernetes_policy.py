"""For tests: a network policy in force, on a node whose network plugin enforces none.

In the place of a policy engine: rules of iptables that say what the policy says, of the pods that
there are when they are made. Peers are pods by their labels; other kinds of peers are left out, as
there is nobody of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from support.kubernetes_cluster import Cluster
from support.kubernetes_programs import program

_CHAIN: Final = "NETWORK-POLICY"
#: Of packets for other pods, and for the node's own programs. Those of the node are never kept out.
_HOOKS: Final = ("FORWARD", "INPUT")


def selected(cluster: Cluster, selector: dict[str, dict[str, str]]) -> dict[str, str]:
    """The pods that a selector is about, and the address of each."""
    labels = ",".join(f"{name}={value}" for name, value in selector["matchLabels"].items())
    pods = cluster.kubectl.items("pods", "-l", labels)
    return {pod["metadata"]["name"]: pod["status"].get("podIP", "") for pod in pods}


@contextmanager
def enforced(cluster: Cluster, policy: dict[str, Any]) -> Iterator[None]:
    """A policy is in force for the length of a with block.

    Args:
        cluster: where.
        policy: its `spec`, with both types.
    """
    _iptables(cluster, "--new-chain", _CHAIN)
    try:
        for rule in _rules(cluster, policy):
            _iptables(cluster, "--append", _CHAIN, *rule.split())
        for hook in _HOOKS:
            _iptables(cluster, "--insert", hook, "--jump", _CHAIN)
        yield
    finally:
        for hook in _HOOKS:
            _iptables(cluster, "--delete", hook, "--jump", _CHAIN, check=False)
        _iptables(cluster, "--flush", _CHAIN)
        _iptables(cluster, "--delete-chain", _CHAIN)


def _rules(cluster: Cluster, policy: dict[str, Any]) -> Iterator[str]:
    """What has been answered once goes on; then what is allowed; nothing else."""
    yield "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    assert not policy.get("egress"), "rules for egress are not written here"
    for pod in selected(cluster, policy["podSelector"]).values():
        for rule in policy["ingress"]:
            selectors = [peer["podSelector"] for peer in rule["from"] if "podSelector" in peer]
            for peer in (ip for each in selectors for ip in selected(cluster, each).values()):
                for port in rule["ports"]:
                    what = f"-p {port['protocol'].lower()} --dport {port['port']}"
                    yield f"-s {peer} -d {pod} {what} -j RETURN"
        yield f"-d {pod} -j DROP"
        yield f"-s {pod} -j DROP"


def _iptables(cluster: Cluster, *arguments: str, check: bool = True) -> None:
    done = cluster.node.run(program("iptables"), "--wait", *arguments)
    assert not check or done.returncode == 0, f"iptables {arguments}: {done.stderr}"
