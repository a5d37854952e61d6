"""`doctor` as a program: its end, its page, its bundle, and over real parts."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rainbow_agent.cli.doctor.faults import CHECKS
from rainbow_agent.cli.doctor.page import page
from support.common import eventually
from support.doctor import registered_site
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

SECRET = "not-to-be-seen-4711"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with registered_site(tmp_path_factory.mktemp("doctor")) as site:
        yield site


def test_the_page_is_doctors_own_texts() -> None:
    """docs/troubleshooting.md: `python -m rainbow_agent.cli.doctor.page` writes it."""
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
    config = yaml.safe_load(site.program.config.read_text())
    secrets += [config["cluster"]["secret"], config["clusters"][0]["token"]]
    log = site.program.state_dir / "agent.log"
    with site.program.background("start") as agent:
        agent.says("Caught up")
        (line,) = [each for each in agent.log().splitlines() if "Caught up" in each]
        eventually(lambda: line in log.read_text(), "the log's file has it, too")
        agent.kill()
    with log.open("a") as file:
        file.write(f"connecting with {SECRET} and {config['cluster']['secret']}\n")
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
    kept = texts["rainbow-agent/logs/agent.log"]
    assert "[secret]" in kept
    assert line in kept


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY"])
def test_a_proxy_in_the_environment_is_named(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not used for rainbow; where only that leads there, what to set is said."""
    monkeypatch.setitem(site.program.environ, name, "http://proxy.example:3128")
    lines = site.program.run("doctor", "-o", "json", host="127.0.0.1:1").value
    (tcp,) = [line["text"] for line in lines if line["fault"] == "tcp-refused"]
    assert f"({name} names a proxy, which is not used for rainbow" in tcp
    assert "set RAINBOW_PROXY" in tcp


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
