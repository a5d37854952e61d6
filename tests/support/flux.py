"""For tests: a private Flux instance that lives as long as a `with` block."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import pytest

from support.common import kill_tree

NO_FLUX = "NO REAL FLUX: put the `flux` command on PATH to run this test"
NO_FLUXION = (
    "NO FLUXION: install flux-sched where `flux` finds it, or name its prefix in FLUXION_PREFIX, to"
    " run this test"
)
#: The modules of Fluxion that are looked for.
_FLUXION_MODULE = "sched-fluxion-qmanager.so"
#: Names the scheduler of every instance of the tests: `fluxion` or `sched-simple`.
SCHEDULER_VARIABLE = "TEST_SCHEDULER"

#: The version since which `flux queue VERB` takes a queue and `-m`, not `-q` and a message.
_QUEUE_WORDS_SINCE = (0, 73)
#: Of sched-simple, and of Fluxion, in the order in which they are loaded.
SCHEDULER_MODULES = (
    "sched-simple",
    "sched-fluxion-resource",
    "sched-fluxion-feasibility",
    "sched-fluxion-qmanager",
)

#: The instance lives until its initial program sees the end of its input.
_PROGRAM = 'echo "$FLUX_URI" > "$0.new" && mv "$0.new" "$0" && cat > /dev/null'
_START_SECONDS = 300.0
_STOP_SECONDS = 120.0


@dataclass(frozen=True)
class PrivateFlux:
    """A running instance."""

    uri: str
    pid: int  # of `flux start`
    environ: Mapping[str, str]  # for programs that are to find the instance

    def kill(self) -> None:
        """End all its brokers at once, with what runs in them, as a machine that loses power does.

        What they leave behind would stay.
        """
        kill_tree(self.pid)
        run = Path(self.uri.removeprefix("local://")).parent
        if run.name.startswith("flux-") and run.parent == Path(tempfile.gettempdir()):
            shutil.rmtree(run, ignore_errors=True)

    def queue(self, verb: str, name: str = "", reason: str = "") -> None:
        """`flux queue enable`, `disable`, `start` or `stop`, in this version's words."""
        if version() < _QUEUE_WORDS_SINCE:
            reason = reason or ("a test" if verb == "disable" else "")  # which it requires
            words = [*(["-q", name] if name else []), *([reason] if reason else [])]
        else:
            words = [*(["-m", reason] if reason else []), *([name] if name else [])]
        self.run("flux", "queue", verb, *words)

    def unload_scheduler(self) -> list[str]:
        """End the scheduler, whichever it is; its modules in the order in which they are loaded."""
        listed = self.run("flux", "module", "list")
        modules = [name for name in SCHEDULER_MODULES if name in listed]
        for name in reversed(modules):
            self.run("flux", "module", "remove", name)
        return modules

    def load_scheduler(self, modules: Sequence[str]) -> None:
        """Load one: SCHEDULER_MODULES of its own."""
        for name in modules:
            self.run("flux", "module", "load", name)

    def broker(self, rank: int) -> int:
        """The process id of one broker.

        Raises:
            AssertionError: there is none of that rank.
        """
        for child in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.Error):
                if child.environ().get("PMI_RANK") == str(rank) and "broker" in child.cmdline()[0]:
                    return child.pid
        raise AssertionError(f"no broker of rank {rank}")

    def run(self, *command: str, timeout: float = 30.0) -> str:
        """Run a program against the instance; what it prints.

        Raises:
            AssertionError: it fails; the message has what it said.
        """
        done = subprocess.run(
            command,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{command} exited {done.returncode}: {done.stderr}")
        return done.stdout


def flux_command() -> str | None:
    """The `flux` command, or None where there is no Flux to test with."""
    return shutil.which("flux")


@cache
def fluxion_environ() -> Mapping[str, str] | None:
    """The variables with which `flux start` finds Fluxion; None where there is none.

    None are needed where it is installed beside flux-core; there it is loaded by itself.
    """
    command, prefix = flux_command(), os.environ.get("FLUXION_PREFIX")
    if command is None:
        return None
    if prefix:
        lib = Path(prefix) / "lib" / "flux"
        if not (lib / "modules" / _FLUXION_MODULE).exists():
            return None
        return {
            "FLUX_MODULE_PATH_PREPEND": str(lib / "modules"),
            "FLUX_MODPROBE_PATH_APPEND": f"{prefix}/etc/flux/modprobe",
            "FLUX_EXEC_PATH_PREPEND": f"{prefix}/libexec/flux/cmd",
        }
    asked = [command, "env", "printenv", "FLUX_MODULE_PATH"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120.0)
    folders = done.stdout.strip().split(":")
    found = any((Path(folder) / _FLUXION_MODULE).exists() for folder in folders if folder)
    return {} if found else None


@cache
def version() -> tuple[int, ...]:
    """Of the flux-core that is tested with: (0, 88, 0)."""
    command = flux_command()
    if command is None:
        raise RuntimeError(NO_FLUX)
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)
    found = re.search(r"commands:\s+(\d+)\.(\d+)\.(\d+)", done.stdout)
    if found is None:
        raise RuntimeError(f"`flux version` says {done.stdout!r}")
    return tuple(map(int, found.groups()))


#: Versions since which `flux start` takes `-S`, `--conf`, and `--conf=fake-resources.*`.
_ATTRIBUTES_SINCE, _CONF_SINCE, _MADE_UP_SINCE = (0, 69), (0, 84), (0, 86)
_MADE_UP = "--conf=fake-resources."


def _as_this_version_takes(options: Sequence[str], folder: Path) -> list[str]:
    """Options as a `flux start` without `--conf` and `-S` takes them: for the broker.

    Args:
        options: in the form of the newest version.
        folder: where a configuration goes.
    """
    found, lines = [], []
    for option in options:
        if option.startswith("--conf=") and version() < _CONF_SINCE:
            name, _, value = option.removeprefix("--conf=").partition("=")
            plain = value[:1] in ("{", "[", '"') or value in ("true", "false") or value.isdigit()
            lines.append(f"{name} = {value if plain else json.dumps(value)}\n")
        elif option.startswith("-S") and version() < _ATTRIBUTES_SINCE:
            found.append(f"-o,{option}")
        else:
            found.append(option)
    if lines:
        (folder / "config").mkdir()
        (folder / "config" / "test.toml").write_text("".join(lines), encoding="utf-8")
        found.append(f"-o,--config-path={folder / 'config'}")
    return found


def _with_scheduler(scheduler: str) -> tuple[list[str], Mapping[str, str]]:
    """Options and variables of `flux start` for an instance with this scheduler."""
    fluxion = fluxion_environ()
    if scheduler == "fluxion":
        if fluxion is None:
            raise RuntimeError(NO_FLUXION)
        return [], fluxion
    if scheduler == "sched-simple" and fluxion == {}:
        return ["--conf=modules.alternatives.sched=sched-simple"], {}
    return [], {}


def _command_for(options: Sequence[str]) -> str:
    """The `flux` command; a test that asks it for what this version has not is skipped."""
    command = flux_command()
    if command is None:
        raise RuntimeError(NO_FLUX)
    if version() < _MADE_UP_SINCE and any(each.startswith(_MADE_UP) for each in options):
        pytest.skip("FLUX-CORE BEFORE 0.86: no made-up resources")
    return command


@contextmanager
def private_flux(
    *,
    size: int = 1,
    options: Sequence[str] = (),
    scheduler: str = "",
    environ: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[PrivateFlux]:
    """A fresh instance of `size` brokers on this machine, ended with the block.

    Args:
        size: how many brokers.
        options: more options of `flux start`, such as `--conf=KEY=VALUE`.
        scheduler: `fluxion` or `sched-simple`; "" for the one of this run of the tests.
        environ: the brokers' environment; this process's by default. Names of Flux's own and of
            the agent's are left out.
        log: what Flux itself says is appended here; without it, it goes where ours goes.
    """
    command = _command_for(options)
    given = os.environ if environ is None else environ
    clean = {n: v for n, v in given.items() if not n.startswith(("FLUX_", "RAINBOW_"))}
    more, variables = _with_scheduler(scheduler or os.environ.get(SCHEDULER_VARIABLE, ""))
    clean |= variables
    folder = Path(tempfile.mkdtemp(prefix="flux-test-"))
    options = _as_this_version_takes([*more, *options], folder)
    uri_file = folder / "uri"
    program = ["sh", "-c", _PROGRAM, str(uri_file)]
    with (
        nullcontext() if log is None else log.open("ab") as output,
        subprocess.Popen(
            [command, "start", f"--test-size={size}", *options, *program],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=clean,
            start_new_session=True,
        ) as process,
    ):
        try:
            uri = _wait_for_uri(process, uri_file)
            yield PrivateFlux(uri, process.pid, {**clean, "FLUX_URI": uri})
        finally:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for_uri(process: subprocess.Popen[bytes], path: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists():
        if process.poll() is not None:
            raise RuntimeError(f"`flux start` ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"`flux start` was not up within {_START_SECONDS:.0f} s")
        _pause(process)
    return path.read_text().strip()


def _pause(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        return


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


#: Each broker is a machine of its own here: a hostname, and a folder in the place of another.
_WRAP = """\
#!/bin/sh
exec unshare --mount --uts sh -c '
mount --bind "{trees}/$PMI_RANK" "{folder}" && hostname "blue-$PMI_RANK" && exec "$@"' sh "$@"
"""


def cannot_differ() -> str:
    """Why brokers here cannot be machines of their own; "" when they can."""
    if flux_command() is None:
        return NO_FLUX
    done = subprocess.run(
        ["unshare", "--mount", "--uts", "true"], capture_output=True, check=False, timeout=120.0
    )
    return "" if done.returncode == 0 else "NO NAMESPACES: run this test as root"


@contextmanager
def different_nodes(
    trees: Path, folder: Path, *, environ: Mapping[str, str] | None = None
) -> Iterator[PrivateFlux]:
    """An instance whose rank N sees the folder `trees/N` as `folder`, and is called blue-N.

    Args:
        trees: has a folder `0`, `1`, ... for each broker.
        folder: an empty one; every rank has its own content there.
        environ: as of private_flux.
    """
    wrap = trees / "wrap.sh"
    wrap.write_text(_WRAP.format(trees=trees, folder=folder))
    wrap.chmod(0o755)
    size = sum(path.is_dir() for path in trees.iterdir())
    with private_flux(size=size, options=[f"--wrap={wrap}"], environ=environ) as flux:
        yield flux
