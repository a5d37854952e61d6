"""The rainbow scheduler over gRPC: rainbow_agent.core.ports.Scheduler for a server somewhere.

Importing this module imports grpc (0.1 s); import it where a connection is wanted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rainbow_agent.core.errors import ClusterUnknown, Rejected, RequestDenied
from rainbow_agent.core.model import Credentials, Offer, SatisfyAnswer
from rainbow_agent.fleet.grpc import job_rows
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.channel import RainbowChannel, ReplyTooLarge
from rainbow_agent.fleet.grpc.errors import NodesRequired
from rainbow_agent.fleet.grpc.rpc import ReplyT, RequestT, Rpc
from rainbow_agent.fleet.grpc.stubs import memory_pb2, rainbow_pb2
from rainbow_agent.fleet.grpc.tls import TlsFiles
from rainbow_agent.jobspec import wire
from rainbow_agent.runtime.stop import Stop

#: gRPC's default for a reply is 4 MiB, which a few hundred waiting jobs exceed. A row is at most
#: 4 MiB (the server's limit on a request), six times that as JSON text, so one always fits; of one
#: that another server took, and that does not, only the beginning is read.
MAX_REPLY: Final = 32 * 1024 * 1024  # bytes
#: By how much fewer jobs are asked for after a reply that was too large: the server has made it in
#: vain, so that it should not happen often.
_FEWER: Final = 32

#: The Go server's name for a cluster's own graph among its subsystems.
_OWN_GRAPH: Final = "cluster"

#: The least that the server takes for a cluster graph: deregister() explains.
_PLACEHOLDER_GRAPH: Final = json.dumps(
    {
        "graph": {
            "nodes": {
                "0": {"metadata": {"type": "cluster", "size": 0}},
                "1": {"metadata": {"type": "placeholder", "size": 0}},
            },
            "edges": [{"source": "0", "target": "1", "relation": "contains"}],
        }
    }
)


class RainbowScheduler:
    """A connection to one rainbow scheduler, opened by the first call.

    Args:
        host: host:port.
        timeout: seconds until a call is given up.
        max_reply: bytes of the largest reply that is taken.
        on_call: is told of each call when it is over: the procedure's name, how many seconds it
            took, and the error that it ends with.
        stop: after it only reports are begun, and no call is waited for long; None when there is
            none.
        tls: the certificates; read again when they change. None to speak without TLS.
    """

    def __init__(
        self,
        host: str,
        timeout: float = 10.0,
        max_reply: int = MAX_REPLY,
        on_call: Callable[[str, float, Exception | None], None] = lambda *_: None,
        *,
        stop: Stop | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self._host = host
        self._wire = RainbowChannel(
            host, timeout, max_reply=max_reply, on_call=on_call, stop=stop, tls=tls
        )

    def takes_registrations(self, cluster: str, secret: str) -> bool:
        """Whether this registration secret is the server's. Nothing is registered.

        A registration without nodes is turned down, but only after its secret was looked at
        (075ee23, pkg/server/endpoint.go).
        """
        request = rainbow_pb2.RegisterRequest(name=cluster, secret=secret, nodes="")
        try:
            self._call(rainbow_rpc.REGISTER, request)
        except NodesRequired:
            pass
        except RequestDenied:
            return False
        return True

    def register(self, cluster: str, secret: str, graph: str) -> Credentials:
        """Register a cluster graph (JGF, JSON text) with the registration secret.

        Raises:
            ClusterExists: the name is taken; the server gives no secret again.
            UsageError: rainbow cannot hold a cluster of this name.
            Rejected: among others, the graph is not whole.
        """
        wire.check_cluster_name(cluster)
        _check_graph(graph)
        request = rainbow_pb2.RegisterRequest(name=cluster, secret=secret, nodes=graph)
        reply = self._call(rainbow_rpc.REGISTER, request)
        if not reply.secret:
            raise Rejected(f"rainbow {self._host} registered {cluster} but sent no secret for it")
        return Credentials(secret=reply.secret, token=reply.token)

    def restore_graph(self, cluster: str, graph: str) -> None:
        """Load the graph of a cluster that is still registered.

        Raises:
            GraphExists: it has one of this name.
        """
        self._call(rainbow_rpc.LOAD_GRAPH, memory_pb2.RegisterRequest(name=cluster, payload=graph))

    def deregister(self, cluster: str, secret: str) -> None:
        """Delete the cluster.

        The server refuses to delete a row whose graph it lost, so it is given a placeholder to
        delete with it; otherwise the name would be taken for ever.
        """
        request = rainbow_pb2.DeleteRequest(name=cluster, secret=secret)
        try:
            self._call(rainbow_rpc.DELETE, request)
        except ClusterUnknown:
            self.restore_graph(cluster, _PLACEHOLDER_GRAPH)
            self._call(rainbow_rpc.DELETE, request)

    def register_subsystem(self, cluster: str, secret: str, subsystem: str, graph: str) -> None:
        """Add a subsystem graph; `secret` is the cluster's.

        The subsystem `cluster` is the cluster's own graph: after delete_subsystem of it, another
        can take its place, and the other subsystems have to be added again.

        Raises:
            SubsystemExists: it is there already.
        """
        if subsystem == _OWN_GRAPH:
            _check_graph(graph)  # a loose edge there would end the Go server's process
        request = rainbow_pb2.RegisterRequest(
            name=cluster, secret=secret, nodes=graph, subsystem=subsystem
        )
        self._call(rainbow_rpc.REGISTER_SUBSYSTEM, request)

    def delete_subsystem(self, cluster: str, secret: str, subsystem: str) -> None:
        """Remove a subsystem graph; SubsystemMissing if it is not there."""
        request = rainbow_pb2.DeleteRequest(name=cluster, secret=secret, subsytem=subsystem)
        self._call(rainbow_rpc.DELETE_SUBSYSTEM, request)

    def receive(self, cluster: str, secret: str, max_jobs: int) -> list[Offer]:
        """The jobs that wait, sorted by id; at most `max_jobs`, all when it is below 1.

        Fewer come when so many do not fit into one reply: memory stays bounded, and a backlog of
        large jobs still drains.
        """
        limit = max(0, max_jobs)
        while True:
            request = rainbow_pb2.ReceiveJobsRequest(cluster=cluster, secret=secret, maxJobs=limit)
            try:
                reply = self._call(rainbow_rpc.RECEIVE_JOBS, request)
            except ReplyTooLarge:
                if limit == 1:
                    # One row is too large to be read: it must not hide the others for ever.
                    head = self._wire.head(rainbow_rpc.RECEIVE_JOBS, request, job_rows.ENOUGH)
                    return [job_rows.giant(cluster, head.data)]
                limit = max(1, (limit or 1024) // _FEWER)
                continue
            return [job_rows.offer(cluster, id_, row) for id_, row in sorted(reply.jobs.items())]

    def accept(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take jobs off rainbow's list. Ids that are gone are no error; no ids is no call."""
        if ids:
            request = rainbow_pb2.AcceptJobsRequest(cluster=cluster, secret=secret, jobids=ids)
            self._call(rainbow_rpc.ACCEPT_JOBS, request)

    def update_state(self, cluster: str, secret: str, state: Mapping[str, Any]) -> None:
        """Merge key-value pairs into the cluster's state; nothing is sent when there are none.

        Raises:
            ClusterUnknown: the server lost the cluster's graph.
        """
        if state:
            request = rainbow_pb2.UpdateStateRequest(
                cluster=cluster, secret=secret, payload=json.dumps(dict(state), allow_nan=False)
            )
            self._call(rainbow_rpc.UPDATE_STATE, request)

    def satisfy(self, jobspec: Mapping[str, Any]) -> SatisfyAnswer:
        """Which clusters match a jobspec; only what the matcher reads of it is sent."""
        request = memory_pb2.SatisfyRequest(payload=wire.satisfy_payload(jobspec), matcher="match")
        reply = self._call(rainbow_rpc.SATISFY, request)
        return SatisfyAnswer(
            clusters=tuple(sorted(reply.clusters)),
            total_clusters=reply.total_clusters,
            total_matches=reply.total_matches,
            total_mismatches=reply.total_mismatches,
        )

    def submit(
        self,
        name: str,
        clusters: Mapping[str, str],
        jobspec: str,
        *,
        select: str = "",
        select_options: Mapping[str, str] | None = None,
        satisfy_only: bool = False,
    ) -> list[str]:
        """Submit jobspec text (jobspec.wire.to_wire) to one of `clusters` (name to token).

        Returns:
            The cluster that got it; with `satisfy_only`, all that pass selection, and nothing is
            submitted.

        Raises:
            Rejected: among others, the text is none that the server can store.
        """
        wire.check_text(jobspec)
        request = rainbow_pb2.SubmitJobRequest(
            name=wire.job_name(name),
            clusters=[
                rainbow_pb2.SubmitJobRequest.Cluster(name=cluster, token=token)
                for cluster, token in clusters.items()
            ],
            jobspec=jobspec,
            select_algorithm=select,
            select_options=select_options or {},
            satisfy_only=satisfy_only,
        )
        reply = self._call(rainbow_rpc.SUBMIT_JOB, request)
        return list(reply.clusters) if satisfy_only else [reply.cluster]

    def close(self) -> None:
        """End the connection; a later call opens a new one."""
        self._wire.close()

    def _call(self, rpc: Rpc[RequestT, ReplyT], request: RequestT) -> ReplyT:
        return self._wire.call(rpc, request)


def _check_graph(graph: str) -> None:
    """Refuse a graph that the server would refuse too late.

    The Go server stores the cluster's row before it reads the graph: after an error there the
    name is taken and its secret unknown to all.

    Raises:
        Rejected: no nodes, no edges, or an edge to a node that is not there.
    """
    try:
        body = json.loads(graph)["graph"]
        nodes, edges = body["nodes"], body["edges"]
        loose = [
            edge
            for edge in edges
            if edge.get("relation") == "contains"
            and (edge["source"] not in nodes or edge["target"] not in nodes)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Rejected(f"the cluster graph is not JSON Graph Format: {exc!r}") from exc
    if not nodes or not edges:
        raise Rejected("the cluster graph needs at least one node and one edge")
    if loose:
        raise Rejected(f"the cluster graph has an edge to a node that is not in it: {loose[0]!r}")
