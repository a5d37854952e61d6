"""What the scheduler answers: one method a remote procedure, as the Go server answers it.

Same statuses, same texts (pkg/server/endpoint.go). Where it differs on purpose, docs/commands.md
says so ("How it differs from the Go server"), and tests/contract/test_scheduler_differences.py asks
both. Of these answers:

- a request is checked before anything is stored, so a bad graph does not burn a cluster's name;
- a graph without a registration (MemoryGraph.Register asks for no secret) gives way to Register;
- SubmitJob answers the job's id, which there is always 0;
- ReceiveJobs hands out the oldest jobs first;
- deleting a subsystem also deletes what it offered;
- while a cluster's own graph is replaced (DeleteSubsystem and RegisterSubsystem of `cluster`) it
  matches nothing; there every Satisfy fails meanwhile.
"""

from __future__ import annotations

import hmac
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rainbow_agent.fleet.grpc import rpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.stubs import memory_pb2, rainbow_pb2
from rainbow_agent.fleet.scheduler_server import request, selection
from rainbow_agent.fleet.scheduler_server.failure import Failure, denied
from rainbow_agent.fleet.scheduler_server.graph import Graphs, parse_cluster
from rainbow_agent.fleet.scheduler_server.matching import matching
from rainbow_agent.fleet.scheduler_server.store import Keys, Row, Store

log = logging.getLogger(__name__)

_MATCHER = "match"  # the only algorithm that the Go server's memory backend has


@dataclass(frozen=True)
class Policy:
    """How the operator set the scheduler up."""

    secret: str = field(repr=False)  # allows registration
    global_token: str = field(repr=False)  # every cluster's token; "" gives each its own
    select_algorithm: str = "random"  # for requests that name none
    select_options: Mapping[str, str] = field(default_factory=dict)


class Service:
    """The answers. Methods are called by many threads at once; each may raise Failure."""

    def __init__(self, policy: Policy, store: Store) -> None:
        self._policy = policy
        self._store = store
        self._graphs = Graphs()

    def methods(self) -> dict[Rpc[Any, Any], Any]:
        """The method of each remote procedure: request message in, reply message out."""
        return {
            rpc.REGISTER: self.register,
            rpc.DELETE: self.delete,
            rpc.REGISTER_SUBSYSTEM: self.register_subsystem,
            rpc.DELETE_SUBSYSTEM: self.delete_subsystem,
            rpc.SUBMIT_JOB: self.submit_job,
            rpc.UPDATE_STATE: self.update_state,
            rpc.RECEIVE_JOBS: self.receive_jobs,
            rpc.ACCEPT_JOBS: self.accept_jobs,
            rpc.SATISFY: self.satisfy,
            rpc.LOAD_GRAPH: self.load_graph,
        }

    def register(self, asked: rainbow_pb2.RegisterRequest) -> rainbow_pb2.RegisterResponse:
        """Add a cluster; its secret and token are in this answer and in no other."""
        if not hmac.compare_digest(asked.secret.encode(), self._policy.secret.encode()):
            raise denied()
        if not asked.nodes:
            raise Failure("cluster nodes are required")
        if not asked.name:
            raise Failure("cluster name is required")
        cluster = parse_cluster(asked.nodes)
        keys = Keys(token=self._policy.global_token or str(uuid.uuid4()), secret=str(uuid.uuid4()))
        reply = rainbow_pb2.RegisterResponse
        if not self._store.add_cluster(asked.name, keys):
            return reply(status=reply.REGISTER_EXISTS)
        self._graphs.replace(asked.name, cluster)
        _note("registered", asked.name)
        return reply(status=reply.REGISTER_SUCCESS, token=keys.token, secret=keys.secret)

    def delete(self, asked: rainbow_pb2.DeleteRequest) -> rainbow_pb2.DeleteResponse:
        """Remove a cluster; its graph must be there."""
        self._check_owner(asked.name, asked.secret)
        self._graphs.remove(asked.name)
        reply = rainbow_pb2.DeleteResponse
        gone = self._store.remove_cluster(asked.name)
        _note("deleted", asked.name)
        return reply(status=reply.DELETE_SUCCESS if gone else reply.DELETE_NO_EXISTS)

    def register_subsystem(
        self, asked: rainbow_pb2.RegisterRequest
    ) -> rainbow_pb2.RegisterResponse:
        """Hang a subsystem on a cluster's graph."""
        if not (asked.name and asked.secret and asked.nodes and asked.subsystem):
            raise Failure("subsystem nodes, name, cluster name and secret are required")
        self._store.check_secret(asked.name, asked.secret)
        self._graphs.add_subsystem(asked.name, asked.subsystem, asked.nodes)
        _note("subsystem_added", asked.name)
        reply = rainbow_pb2.RegisterResponse
        return reply(status=reply.REGISTER_SUCCESS)

    def delete_subsystem(self, asked: rainbow_pb2.DeleteRequest) -> rainbow_pb2.DeleteResponse:
        """Take a subsystem off a cluster's graph."""
        self._check_owner(asked.name, asked.secret)
        self._graphs.remove_subsystem(asked.name, asked.subsytem)
        _note("subsystem_deleted", asked.name)
        reply = rainbow_pb2.DeleteResponse
        return reply(status=reply.DELETE_SUCCESS)

    def update_state(
        self, asked: rainbow_pb2.UpdateStateRequest
    ) -> rainbow_pb2.UpdateStateResponse:
        """Merge what a cluster reports of itself."""
        if not (asked.cluster and asked.secret and asked.payload):
            raise Failure("cluster, name, secret, and state file payload are required")
        self._store.check_secret(asked.cluster, asked.secret)
        try:
            state = json.loads(asked.payload)
        except (ValueError, RecursionError) as exc:
            raise Failure(f"the state is not valid JSON: {exc}") from exc
        if not isinstance(state, dict):
            raise Failure("json: cannot unmarshal the state: it must be an object")
        self._graphs.update_state(asked.cluster, state)
        reply = rainbow_pb2.UpdateStateResponse
        return reply(status=reply.UPDATE_STATE_SUCCESS)

    def submit_job(self, asked: rainbow_pb2.SubmitJobRequest) -> rainbow_pb2.SubmitJobResponse:
        """Give a job to one of the clusters whose tokens are right."""
        names = list(dict.fromkeys(c.name for c in asked.clusters if c.name and c.token))
        for cluster in asked.clusters:
            if cluster.name and cluster.token:
                self._store.check_token(cluster.name, cluster.token)
        if not names:
            raise Failure("one or more authenticated clusters are required")
        own = not asked.select_algorithm
        chosen = selection.select(
            self._policy.select_algorithm if own else asked.select_algorithm,
            self._options(asked),
            self._graphs.states(names),
            asked.jobspec,
            satisfy_only=asked.satisfy_only,
        )
        reply = rainbow_pb2.SubmitJobResponse
        if asked.satisfy_only:
            return reply(status=reply.SUBMIT_SUCCESS, clusters=chosen)
        if not chosen:
            raise Failure("no clusters passed selection")
        job_id = self._store.add_job(chosen[0], asked.name, asked.jobspec)
        _note("job_assigned", chosen[0], job=job_id)
        return reply(status=reply.SUBMIT_SUCCESS, cluster=chosen[0], jobid=job_id)

    def receive_jobs(
        self, asked: rainbow_pb2.ReceiveJobsRequest
    ) -> rainbow_pb2.ReceiveJobsResponse:
        """The jobs that wait for a cluster; they wait on until they are accepted."""
        if not asked.secret:
            raise Failure("a cluster secret is required")
        self._store.check_secret(asked.cluster, asked.secret)
        rows = self._store.jobs(asked.cluster, asked.maxJobs)
        reply = rainbow_pb2.ReceiveJobsResponse
        if not rows:
            return reply(status=reply.REQUEST_JOBS_NORESULTS)
        jobs = {row.id: _row_text(row) for row in rows}
        return reply(status=reply.REQUEST_JOBS_SUCCESS, jobs=jobs)

    def accept_jobs(self, asked: rainbow_pb2.AcceptJobsRequest) -> rainbow_pb2.AcceptJobsResponse:
        """Take jobs off the list; PARTIAL if some were gone."""
        if not asked.secret:
            raise Failure("a cluster secret is required")
        if not asked.jobids:
            raise Failure("one or more jobs must be accepted")
        self._store.check_secret(asked.cluster, asked.secret)
        removed = self._store.remove_jobs(asked.cluster, list(asked.jobids))
        _note("jobs_accepted", asked.cluster, jobs=removed)
        reply = rainbow_pb2.AcceptJobsResponse
        complete = removed == len(asked.jobids)
        return reply(status=reply.RESULT_TYPE_SUCCESS if complete else reply.RESULT_TYPE_PARTIAL)

    def satisfy(self, asked: memory_pb2.SatisfyRequest) -> memory_pb2.SatisfyResponse:
        """Which clusters could run a jobspec."""
        if asked.matcher not in ("", _MATCHER):
            raise Failure(f"did not find algorithm named {asked.matcher}")
        requests = request.parse(asked.payload)
        clusters = self._graphs.snapshot()
        found = matching(clusters, requests)
        reply = memory_pb2.SatisfyResponse
        return reply(
            clusters=found,
            status=reply.RESULT_TYPE_SUCCESS,
            total_clusters=len(clusters),
            total_matches=len(found),
            total_mismatches=len(clusters) - len(found),
        )

    def load_graph(self, asked: memory_pb2.RegisterRequest) -> memory_pb2.Response:
        """Load a cluster's graph again; the status stays unspecified, as the Go server has it."""
        self._graphs.load(asked.name, parse_cluster(asked.payload))
        _note("graph_loaded", asked.name)
        return memory_pb2.Response()

    def _check_owner(self, name: str, secret: str) -> None:
        if not (name and secret):
            raise Failure("cluster name and secret are required")
        self._store.check_secret(name, secret)

    def _options(self, asked: rainbow_pb2.SubmitJobRequest) -> Mapping[str, str]:
        """The request's options; the operator's, if it names his algorithm or none without any."""
        same = asked.select_algorithm in ("", self._policy.select_algorithm)
        return (
            self._policy.select_options
            if same and not asked.select_options
            else dict(asked.select_options)
        )


def _row_text(row: Row) -> str:
    """A job as ReceiveJobs hands it out: the Go server's JSON."""
    return json.dumps(
        {
            "id": row.id,
            "cluster": row.cluster,
            "name": row.name,
            "jobspec": row.jobspec,
            "command": "",
        },
        separators=(",", ":"),
    )


def _note(action: str, cluster: str, **fields: int) -> None:
    log.info(
        "Cluster %s: %s",
        cluster,
        action.replace("_", " "),
        extra={"action": action, "cluster": cluster, **fields},
    )
