"""The rainbow scheduler over gRPC: rainbow_agent.core.ports.Scheduler for a server somewhere.

Importing this module imports grpc (0.1 s); import it where a connection is wanted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from rainbow_agent.core.errors import ClusterUnknown, Rejected, RequestDenied
from rainbow_agent.core.model import Credentials, Listing, SatisfyAnswer
from rainbow_agent.fleet.grpc import job_rows
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.boxes import Boxes
from rainbow_agent.fleet.grpc.channel import RainbowChannel
from rainbow_agent.fleet.grpc.errors import NodesRequired, ReplyTooLarge
from rainbow_agent.fleet.grpc.rpc import ReplyT, RequestT, Rpc
from rainbow_agent.fleet.grpc.stubs import memory_pb2, rainbow_pb2
from rainbow_agent.fleet.grpc.tls import TlsFiles
from rainbow_agent.fleet.messages.carrier import Box
from rainbow_agent.fleet.messages.rows import Message
from rainbow_agent.jobspec import wire
from rainbow_agent.runtime.memory import trim
from rainbow_agent.runtime.stop import Stop

#: Bytes of a reply that are taken; gRPC holds it three times over. Its own default is 4 MiB, which
#: one row can exceed.
MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
#: Bytes of a reply with one row, which is read where that is not enough. What rainbow takes has
#: 4 MiB at most, each byte of which is up to six in JSON: every row of rainbow's own fits.
MAX_ONE_ROW_BYTES: Final = 25 * 1024 * 1024
#: By how much fewer jobs are asked for after a reply that was too large, and by how much more after
#: one that was not: the server has made it in vain, so that it should not happen often.
_FEWER: Final = 32
_MORE: Final = 2
#: What `all` is taken for then.
_MANY_ROWS: Final = 1024

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
        on_call: called with each call that is over: the procedure's name, how many seconds it
            took, and the error that it ended with.
        stop: after it only reports are begun, and no call is waited for long; None when there is
            none.
        tls: the certificates; read again when they change. None to connect without TLS.
        proxy: host:port of an HTTP proxy to go through; "" for none.
    """

    def __init__(
        self,
        host: str,
        timeout: float = 10.0,
        max_reply: int = MAX_REPLY_BYTES,
        on_call: Callable[[str, float, Exception | None], None] = lambda *_: None,
        *,
        stop: Stop | None = None,
        tls: TlsFiles | None = None,
        proxy: str = "",
    ) -> None:
        self._host = host
        self._rows_that_fit = 0  # into one reply, after one was too large; 0: any number
        self._open_channel = partial(
            RainbowChannel, host, timeout, on_call=on_call, stop=stop, tls=tls, proxy=proxy
        )
        self._channel = self._open_channel(max_reply=max_reply)
        self._boxes = Boxes(self._channel)

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

    def receive(self, cluster: str, secret: str, max_jobs: int) -> Listing:
        """The jobs that wait, sorted by id; at most `max_jobs`, all when it is below 1.

        Fewer come when so many do not fit into one reply: memory stays bounded, and a backlog of
        large jobs still drains.

        Raises:
            Rejected: among others, one job by itself is larger than MAX_ONE_ROW_BYTES.
        """
        limit = max(0, max_jobs)
        if self._rows_that_fit:
            limit = min(limit or self._rows_that_fit, self._rows_that_fit)
        while True:
            request = rainbow_pb2.ReceiveJobsRequest(cluster=cluster, secret=secret, maxJobs=limit)
            try:
                reply = self._call(rainbow_rpc.RECEIVE_ROWS, request)
            except ReplyTooLarge:
                if limit == 1:
                    reply = self._receive_one(request)
                    break
                limit = self._rows_that_fit = max(1, (limit or _MANY_ROWS) // _FEWER)
            else:
                self._rows_that_fit *= _MORE
                if self._rows_that_fit > (max_jobs or _MANY_ROWS):
                    self._rows_that_fit = 0
                break
        return Listing(
            (job_rows.offer(cluster, id_, row) for id_, row in sorted(reply.jobs.items())),
            whole=limit == 0 or len(reply.jobs) < limit,
        )

    def _receive_one(self, request: rainbow_pb2.ReceiveJobsRequest) -> Any:
        """The one row that rainbow lists first, over a connection that takes larger replies.

        Raises:
            Rejected: it does not take this one either.
        """
        trim()  # what the reply before it left
        channel = self._open_channel(max_reply=MAX_ONE_ROW_BYTES)
        try:
            return channel.call(rainbow_rpc.RECEIVE_ROWS, request)
        except ReplyTooLarge as exc:
            raise Rejected(
                f"the job that rainbow at {self._host} lists first for cluster {request.cluster} is"
                f" larger than {MAX_ONE_ROW_BYTES >> 20} MiB and cannot be read; the jobs behind it"
                " wait: rainbow's operator has to remove it (table `jobs` of its database)"
            ) from exc
        finally:
            channel.close()

    def accept(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take jobs off rainbow's list. Unknown ids are ignored; without ids nothing is called."""
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

    def send_message(self, token: str, message: Message) -> bool:
        """Leave a message in the box of whom it is for; False where rainbow has no boxes."""
        return self._boxes.send(token, message)

    def messages(self, cluster: str, secret: str, wait: float = 0.0) -> Box | None:
        """What is in a cluster's box; None where rainbow has no boxes."""
        return self._boxes.look(cluster, secret, wait)

    def remove_messages(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take messages out of a cluster's box; unknown ids are ignored."""
        self._boxes.remove(cluster, secret, ids)

    def close(self) -> None:
        """End the connection; a later call opens a new one."""
        self._channel.close()

    def _call(self, rpc: Rpc[RequestT, ReplyT], request: RequestT) -> ReplyT:
        return self._channel.call(rpc, request)


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
