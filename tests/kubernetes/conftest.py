"""A Kubernetes cluster on this machine, for as long as the tests run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from support.kubernetes_cluster import Cluster, running_control_plane
from support.kubernetes_fleet import Fleet
from support.kubernetes_images import make_images
from support.kubernetes_programs import control_plane_missing, node_missing
from support.kubernetes_together import Together, is_together

#: Images, which containerd has when this is done.
_IMPORTED = pytest.StashKey[Future[None]]()
_TOGETHER = pytest.StashKey[Together]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Manifests while nothing was applied; the page, of an empty rainbow; then what disturbs."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    first = ["test_manifests.py", "test_docs.py"]
    if item.path.name in first:
        return first.index(item.path.name)
    return 3 if is_together(item) else 2


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that runs together with others is waited for."""
    if not is_together(pyfuncitem):
        return None
    stash = pyfuncitem.session.stash
    if _TOGETHER not in stash:
        stash[_TOGETHER] = Together()
    stash[_TOGETHER].result(pyfuncitem)
    return True


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Etcd and an API server that knows MiniClusters; no node.

    Where tests need one, its images are made meanwhile.
    """
    if reason := control_plane_missing():
        pytest.skip(reason)
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    with running_control_plane() as made, ThreadPoolExecutor(1) as pool:
        if any("fleet" in item.fixturenames for item in items) and not node_missing():
            imported = pool.submit(lambda: made.import_images(make_images()))
            request.session.stash[_IMPORTED] = imported
        yield made


@pytest.fixture(scope="session")
def fleet(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The cluster with its node and the operator; rainbow runs."""
    if reason := node_missing():
        pytest.skip(reason)
    request.session.stash[_IMPORTED].result()
    cluster.start_node()
    made = Fleet(cluster)
    made.start()
    yield made
    if together := request.session.stash.get(_TOGETHER, None):
        together.close()
