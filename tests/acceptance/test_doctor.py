"""`doctor`: each fault, made on purpose, is found by its own line."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from rainbow_agent.adapters import disk, flux_bindings, statedir
from rainbow_agent.adapters.clock import SystemClock
from rainbow_agent.adapters.local_workload import shut_down
from rainbow_agent.adapters.rainbow_grpc import RainbowScheduler
from rainbow_agent.adapters.sqlite_ledger import SqliteLedger
from rainbow_agent.cli.common import from_config
from rainbow_agent.cli.status import look
from rainbow_agent.doctor import workload as workloads
from rainbow_agent.doctor.examine import examine
from rainbow_agent.doctor.faults import CHECKS, FAULTS, Finding, Level
from rainbow_agent.doctor.page import page
from rainbow_agent.errors import Fatal
from rainbow_agent.settings import Settings
from rainbow_agent.testing_ledger import add_job
from rainbow_agent.testing_servers import SchedulerKind, SchedulerProcess, make_graph
from rainbow_agent.testing_site import Site, missing_parts, running_site
from rainbow_agent.testing_tls import Pki

SECRET = "not-to-be-seen-4711"


@dataclass
class Patient:
    """Somebody's machine: a registered cluster, all well, for a test to break."""

    folder: Path
    scheduler: SchedulerProcess
    monkeypatch: pytest.MonkeyPatch
    environ: dict[str, str] = field(default_factory=dict)
    run_job: bool = False
    heals: list[Callable[[], None]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    def set(self, **settings: object) -> None:
        """RAINBOW_* variables by the rest of their names."""
        self.environ |= {f"RAINBOW_{name.upper()}": str(v) for name, v in settings.items()}

    def look(self) -> list[Finding]:
        """What doctor finds."""

        def status(settings: Settings) -> Mapping[str, Any]:
            return look(settings, SystemClock().now())

        return [*examine(self.environ, {}, from_config, status, run_job=self.run_job)]

    def load_graph(self) -> None:
        """Rainbow has the graph again."""
        with closing(RainbowScheduler(self.scheduler.host)) as rainbow:
            rainbow.restore_graph("blue", make_graph())

    def fake_flux(self) -> None:
        """A `flux` on PATH that is none."""
        program = self.folder / "bin" / "flux"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o700)
        path = f"{program.parent}:/usr/bin:/bin"
        self.environ |= {"PATH": path}
        self.monkeypatch.setenv("PATH", path)
        self.monkeypatch.setattr(flux_bindings, "_load_once", lambda: flux_bindings._load([], {}))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("doctor")) as site:
        registered = site.program.run("register")
        if registered.code:
            raise AssertionError(f"it cannot register: {registered}")
        yield site


@pytest.fixture
def patient(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    patient = Patient(tmp_path, site.scheduler, monkeypatch)
    patient.state.mkdir(mode=0o700)
    config = patient.state / "rainbow-config.yaml"
    config.write_bytes(site.program.config.read_bytes())
    config.chmod(0o600)
    with closing(SqliteLedger.open(patient.state / "ledger.sqlite")) as ledger:
        add_job(ledger, 1, "a")
    patient.environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    patient.set(
        state_dir=patient.state,
        host=site.scheduler.host,
        cluster="blue",
        secret=site.scheduler.secret,
        workload="local",
        local_cores=2,
    )
    yield patient
    for heal in patient.heals:
        heal()
    if (patient.state / "workload").is_dir():
        shut_down(patient.state / "workload")


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


@makes("config-broken")
def _(patient: Patient) -> None:
    (patient.state / "rainbow-config.yaml").write_text("cluster: [never, closed\n")


@makes("name-unusable")
def _(patient: Patient) -> None:
    patient.set(cluster="No Name")


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
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    patient.set(host=f"127.0.0.1:{port}")


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
    secret = from_yaml(text)["cluster"]["secret"]
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


@makes("job-failed")
def _(patient: Patient) -> None:
    patient.run_job = True
    patient.monkeypatch.setattr(
        workloads, "simple_jobspec", lambda *_, **__: SIMPLE | {"tasks": [FAILING]}
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
    statedir.write_runtime(patient.state, {"heartbeat": SystemClock().now() + 3600})


@makes("daemon-down")
def _(patient: Patient) -> None:
    """It is down in all of these."""


@makes("daemon-degraded")
def _(patient: Patient) -> None:
    hold(patient, 0.0, [{"name": "disk-nearly-full", "reason": "little room", "since": 1.0}])


@makes("daemon-stuck")
def _(patient: Patient) -> None:
    hold(patient, 3600.0, [])


SIMPLE: dict[str, Any] = {"version": 1, "resources": {"r": {"type": "core", "count": 1}}}
FAILING = {"name": "doctor", "command": ["sh", "-c", "exit 3"], "resources": "r"}


def from_yaml(text: str) -> Any:
    import yaml  # noqa: PLC0415

    return yaml.safe_load(text)


def hold(patient: Patient, age: float, conditions: list[dict[str, Any]]) -> None:
    """As a daemon that said something so long ago."""
    now = SystemClock().now()
    holder = statedir.Holder(os.getpid(), now - age - 1)
    lock = statedir.Lock.take(patient.state, holder)
    patient.monkeypatch.setattr(patient, "lock", lock, raising=False)  # kept for the test
    runtime = {"heartbeat": now - age, "conditions": conditions}
    statedir.write_runtime(patient.state, runtime)


def pretend_flux(patient: Patient, *, version: str = "", error: Exception | None = None) -> None:
    """A Flux whose bindings load, and an instance as it is told."""
    patient.fake_flux()
    patient.set(workload="flux")
    bindings = flux_bindings.Bindings(None, None, "0.88.0", patient.folder)
    patient.monkeypatch.setattr(flux_bindings, "load", lambda: bindings)

    class Pretended:
        uri = "local:///pretended"

        def __init__(self) -> None:
            self.version = version

        def resources(self) -> Any:
            if error:
                raise error
            from rainbow_agent.pool import NodeView, PoolView  # noqa: PLC0415

            return PoolView((NodeView(0, "a", 4, 0),))

        def close(self) -> None:
            pass

    patient.monkeypatch.setattr(workloads, "FluxWorkload", Pretended)
    patient.monkeypatch.setattr(workloads, "_open", lambda *_, **__: Pretended())


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
    assert job.startswith("submitted, ran and ended well in ")
    seen = {f.check for f in findings}
    assert seen == set(CHECKS) - {"bindings", "graph"}


def test_the_page_is_doctors_own_texts() -> None:
    """docs/troubleshooting.md: `python -m rainbow_agent.doctor.page` writes it."""
    text = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert text == page()


def test_the_program_ends_with_the_worst(site: Site) -> None:
    """0, 1 or 2; as JSON too; offline the rest of the chain is looked at."""
    answer = site.program.run("doctor", "-o", "json", host="127.0.0.1:1")
    assert answer.code == 2
    found = {line["fault"] for line in answer.value if line["fault"]}
    assert found == {"tcp-refused", "daemon-down"}
    assert {"ledger", "disk", "spack", "clock"} <= {line["check"] for line in answer.value}
    text = site.program.run("doctor", host="127.0.0.1:1")
    assert "wrong   tcp            127.0.0.1:1: connection refused" in text.out
    assert "        to do:         Start the scheduler" in text.out
    assert "\x1b" not in text.out


def test_a_bundle_has_no_secret_in_it(site: Site, tmp_path: Path) -> None:
    """Versions, settings, status, jobs, doctor's lines and logs, readable by its owner alone."""
    path = tmp_path / "bundle.tar.gz"
    secrets = [SECRET, site.scheduler.secret]
    config = from_yaml(site.program.config.read_text())
    secrets += [config["cluster"]["secret"], config["clusters"][0]["token"]]
    log = site.program.state_dir / "agent.log"
    log.write_text(f"connecting with {SECRET} and {config['cluster']['secret']}\n")
    site.program.run("doctor", "--bundle", str(path), token=SECRET)
    log.unlink()  # a secret in a log is this test's own doing
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        texts = {m.name: tar.extractfile(m).read().decode() for m in tar}  # type: ignore[union-attr]
    names = {name.removeprefix("rainbow-agent/") for name in texts}
    assert names >= {
        "versions.json",
        "settings.json",
        "status.json",
        "doctor.json",
        "jobs.json",
        "logs/agent.log",
    }
    for name, text in texts.items():
        for secret in secrets:
            assert secret not in text, name
    assert json.loads(texts["rainbow-agent/versions.json"])["rainbow-agent"]
    assert "[secret]" in texts["rainbow-agent/logs/agent.log"]


@pytest.mark.flux
@pytest.mark.rainbow
def test_real_parts(tmp_path: Path) -> None:
    """Over the Go server and a real Flux: every link is ok, and a job ran."""
    if missing := missing_parts(SchedulerKind.REAL, flux=True):
        pytest.skip(missing)
    with running_site(tmp_path, SchedulerKind.REAL, flux=True) as site:
        assert site.program.run("register").code == 0
        lines = site.program.show("doctor", "--run-job")
        assert [line["fault"] for line in lines if line["fault"]] == ["daemon-down"], lines
        assert {line["check"] for line in lines} == set(CHECKS)
        wrong = site.program.show("doctor", "--run-job")
        assert wrong
        with_bad_uri = dict(site.program.environ, FLUX_URI="local:///nowhere/local")
        site.program.environ.update(with_bad_uri)
        faults = [line["fault"] for line in site.program.show("doctor")]
        assert "instance-unreachable" in faults
