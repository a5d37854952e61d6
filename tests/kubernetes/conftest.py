"""A Kubernetes cluster on this machine, for as long as the tests run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.kubernetes_cluster import Cluster, running_control_plane
from support.kubernetes_fleet import Fleet
from support.kubernetes_images import make_images
from support.kubernetes_programs import control_plane_missing, node_missing


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Etcd and an API server that knows MiniClusters; no node."""
    if reason := control_plane_missing():
        pytest.skip(reason)
    with running_control_plane() as made:
        yield made


@pytest.fixture(scope="session")
def fleet(cluster: Cluster) -> Fleet:
    """The cluster with its node and the operator; rainbow runs."""
    if reason := node_missing():
        pytest.skip(reason)
    cluster.start_node([make_images()])
    made = Fleet(cluster)
    made.start()
    return made
