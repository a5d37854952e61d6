"""`doctor`: each fault, made on purpose, is found by its own line; without one all is well."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from rainbow_agent.cli.doctor.faults import CHECKS, FAULTS, Level
from rainbow_agent.core.errors import Fatal
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.fleet.secret_copy import SecretCopy
from rainbow_agent.jobspec import simple
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage import disk, runtime_file
from support.doctor import Patient, hold, pretend_flux, registered_site, well_patient
from support.site import Site
from support.tls import Pki


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with registered_site(tmp_path_factory.mktemp("doctor")) as site:
        yield site


@pytest.fixture
def patient(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    with well_patient(site, tmp_path, monkeypatch) as patient:
        yield patient


def unregistered(patient: Patient) -> None:
    (patient.state / "rainbow-config.yaml").unlink()


Fault = Callable[[Patient], None]
TABLE: dict[str, Fault] = {}


def makes(name: str) -> Callable[[Fault], Fault]:
    """What makes the fault of this name."""

    def keep(fault: Fault) -> Fault:
        TABLE[name] = fault
        return fault

    return keep


@makes("setting-unusable")
def _(patient: Patient) -> None:
    patient.set(poll_min="fast")


@makes("setting-unknown")
def _(patient: Patient) -> None:
    patient.set(hots="rainbow:8080")


@makes("secret-unreadable")
def _(patient: Patient) -> None:
    del patient.environ["RAINBOW_SECRET"]
    patient.set(secret_file=patient.folder / "absent")


@makes("secret-missing")
def _(patient: Patient) -> None:
    del patient.environ["RAINBOW_SECRET"]
    unregistered(patient)


@makes("secret-exposed")
def _(patient: Patient) -> None:
    patient.state.chmod(0o755)
    (patient.state / "rainbow-config.yaml").chmod(0o644)


@makes("config-missing")
def _(patient: Patient) -> None:
    SecretCopy(patient.state, cluster="blue", host=patient.environ["RAINBOW_HOST"]).save(
        Secret("ours")
    )
    patient.set(config=patient.folder / "raimbow-config.yaml")


@makes("config-broken")
def _(patient: Patient) -> None:
    (patient.state / "rainbow-config.yaml").write_text("cluster: [never, closed\n")


@makes("name-unusable")
def _(patient: Patient) -> None:
    patient.set(cluster="No Name")


def closed(patient: Patient, path: Path) -> None:
    """As if it were another user's; root may look into everything."""
    really = os.access
    patient.monkeypatch.setattr(
        os, "access", lambda other, mode: other != path and really(other, mode)
    )


@makes("config-other-user")
def _(patient: Patient) -> None:
    config = patient.folder / "rainbow-config.yaml"
    config.write_bytes((patient.state / config.name).read_bytes())
    config.chmod(0o600)
    patient.set(config=config)
    closed(patient, config)


@makes("state-other-user")
def _(patient: Patient) -> None:
    closed(patient, patient.state)


@makes("state-unusable")
def _(patient: Patient) -> None:
    (patient.folder / "file").touch()
    patient.set(state_dir=patient.folder / "file")


@makes("state-open")
def _(patient: Patient) -> None:
    patient.state.chmod(0o777)


@makes("dns-unknown")
def _(patient: Patient) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    patient.monkeypatch.setattr(socket, "getaddrinfo", unknown)
    patient.set(host="rainbow.nowhere:50051")


@makes("tcp-refused")
def _(patient: Patient) -> None:
    patient.set(host="127.0.0.1:1")


@makes("tcp-silent")
def _(patient: Patient) -> None:
    def silent(*_: object, **__: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    patient.monkeypatch.setattr(socket, "create_connection", silent)


@makes("tls-file")
def _(patient: Patient) -> None:
    for name in ("tls_ca", "tls_cert", "tls_key"):
        patient.set(**{name: patient.folder / name})


@makes("tls-refused")
def _(patient: Patient) -> None:
    patient.set(**Pki.make(patient.folder).settings())  # and the server speaks none


@makes("server-silent")
def _(patient: Patient) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def mumble() -> None:
        while True:
            client, _ = server.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=mumble, daemon=True).start()
    patient.set(host=f"127.0.0.1:{server.getsockname()[1]}")


@makes("server-other")
def _(patient: Patient) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    patient.set(host=f"127.0.0.1:{port}")


@makes("registration-denied")
def _(patient: Patient) -> None:
    config = patient.state / "rainbow-config.yaml"
    text = config.read_text()
    secret = yaml.safe_load(text)["cluster"]["secret"]
    config.write_text(text.replace(secret, "another"))


@makes("secret-wrong")
def _(patient: Patient) -> None:
    unregistered(patient)
    patient.set(secret="wrong")


@makes("not-registered")
def _(patient: Patient) -> None:
    unregistered(patient)


@makes("graph-lost")
def _(patient: Patient) -> None:
    patient.scheduler.restart(keep_db=True)
    patient.heals.append(patient.load_graph)


@makes("flux-missing")
def _(patient: Patient) -> None:
    patient.environ["PATH"] = "/nowhere"
    patient.monkeypatch.setenv("PATH", "/nowhere")
    patient.set(workload="flux")


@makes("no-instance")
def _(patient: Patient) -> None:
    patient.fake_flux()
    patient.set(workload="auto")


@makes("bindings-missing")
def _(patient: Patient) -> None:
    patient.fake_flux()
    patient.set(workload="flux")


@makes("bindings-differ")
def _(patient: Patient) -> None:
    pretend_flux(patient, version="0.62.0")


@makes("instance-unreachable")
def _(patient: Patient) -> None:
    patient.set(workload="local")
    patient.run_job = True
    (patient.state / "workload").write_text("no folder")


@makes("instance-of-another")
def _(patient: Patient) -> None:
    pretend_flux(patient, error=Fatal("it belongs to alice (user id 1000)"))


#: Faults that Flux itself names.
OBSTACLES = {
    "no-scheduler": [Obstacle(ObstacleKind.NO_SCHEDULER)],
    "queue-stopped": [Obstacle(ObstacleKind.QUEUE_STOPPED, reason="maintenance until noon")],
    "gpus-not-given": [Obstacle(ObstacleKind.GPUS_NOT_GIVEN, reason="resource type 'gpu'")],
    "queue-disabled": [
        Obstacle(ObstacleKind.QUEUE_DISABLED, "batch", "moving"),
        Obstacle(ObstacleKind.REFUSES_ALL, reason="job submission to batch is disabled"),
    ],
    "takes-no-jobs": [Obstacle(ObstacleKind.REFUSES_ALL, reason="no queue specified")],
}
for name, found in OBSTACLES.items():
    makes(name)(partial(pretend_flux, version="0.88.0", obstacles=found))


@makes("job-failed")
def _(patient: Patient) -> None:
    patient.run_job = True
    patient.monkeypatch.setattr(
        simple, "simple_jobspec", lambda *_, **__: SIMPLE | {"tasks": [FAILING]}
    )


@makes("ledger-damaged")
def _(patient: Patient) -> None:
    (patient.state / "ledger.sqlite").write_bytes(b"not a database at all" * 100)


@makes("ledger-other-version")
def _(patient: Patient) -> None:
    with closing(sqlite3.connect(patient.state / "ledger.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")


@makes("disk-full")
def _(patient: Patient) -> None:
    patient.monkeypatch.setattr(disk, "space", lambda _: disk.Space(4096, 2**30))


@makes("disk-nearly-full")
def _(patient: Patient) -> None:
    patient.monkeypatch.setattr(disk, "space", lambda _: disk.Space(50 * 2**20, 2**36))


@makes("spack-unreadable")
def _(patient: Patient) -> None:
    index = patient.folder / "spack" / "opt" / "spack" / ".spack-db" / "index.json"
    index.parent.mkdir(parents=True)
    index.write_text("{broken")
    patient.environ["SPACK_ROOT"] = str(patient.folder / "spack")


@makes("clock-back")
def _(patient: Patient) -> None:
    runtime_file.write_runtime(patient.state, {"heartbeat": SystemClock().now() + 3600})


@makes("daemon-down")
def _(patient: Patient) -> None:
    """It is down in all of these."""


@makes("daemon-degraded")
def _(patient: Patient) -> None:
    hold(patient, 0.0, [{"name": "disk-nearly-full", "reason": "little space", "since": 1.0}])


@makes("daemon-stuck")
def _(patient: Patient) -> None:
    hold(patient, 3600.0, [])


SIMPLE: dict[str, Any] = {"version": 1, "resources": {"r": {"type": "core", "count": 1}}}
FAILING = {"name": "doctor", "command": ["sh", "-c", "exit 3"], "resources": "r"}


def test_the_table_makes_every_fault() -> None:
    """No fault of doctor's is without a way to make it."""
    assert set(TABLE) == set(FAULTS)


@pytest.mark.parametrize("fault", TABLE)
def test_each_fault_is_found_by_its_own_line(fault: str, patient: Patient) -> None:
    """With a cause and a cure; the links that do not hang on it are looked at all the same."""
    TABLE[fault](patient)
    findings = patient.look()
    line = next((f for f in findings if f.fault == fault), None)
    assert line is not None, findings
    assert (line.check, line.level) == (FAULTS[fault].check, FAULTS[fault].level)
    assert line.text
    assert line.cure
    others = {f.fault for f in findings if f.level is Level.WRONG} - {fault}
    assert others <= FOLLOWS.get(fault, set()), findings
    order = list(CHECKS)
    places = [order.index(f.check) for f in findings]
    assert places == sorted(places)
    assert patient.scheduler.secret not in str(findings)


#: What else is wrong when this is.
FOLLOWS = {
    "secret-missing": {"secret-wrong"},
    "state-unusable": {"config-broken"},
    "config-broken": {"config-broken"},
    "name-unusable": {"registration-denied"},
    "secret-unreadable": {"secret-missing"},
}


def test_all_is_well(patient: Patient) -> None:
    """But for the daemon, which does not run; a job was submitted and ran."""
    unregistered(patient)
    patient.set(cluster="green")
    patient.run_job = True
    findings = patient.look()
    assert {f.fault for f in findings if f.fault} == {"daemon-down", "not-registered"}, findings
    job = next(f.text for f in findings if f.check == "job")
    assert job.startswith("submitted and completed in ")
    seen = {f.check for f in findings}
    assert seen == set(CHECKS) - {"bindings", "graph"}


def test_a_stopped_queue_that_jobs_have_to_name_is_only_mentioned(patient: Patient) -> None:
    """Nothing is wrong: jobs that name no queue go to another one. Flux takes jobs."""
    stopped = Obstacle(ObstacleKind.QUEUE_STOPPED, "debug", "for repair", default=False)
    pretend_flux(patient, version="0.88.0", obstacles=[stopped])
    lines = {f.check: f for f in patient.look()}
    assert lines["queue"].level is Level.OK
    assert "the queue debug is stopped, so no job of it starts: for repair" in lines["queue"].text
    assert lines["job"].level is Level.OK
