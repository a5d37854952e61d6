"""For tests: pods without Kubernetes.

A pod is a network namespace with an eth0 on a bridge of its own, and process, mount and host name
namespaces in it. Its root is an overlay over this machine's: what it writes is gone with it,
except in the folders that are mounted into it. It needs root and Linux.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from support.common import eventually

_TOOLS: Final = ("ip", "unshare", "nsenter", "setpriv", "mount", "pivot_root")
_PREFIX: Final = "rbw"
_END_SECONDS: Final = 15.0

_SETUP: Final = """\
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 pod /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay pod -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
root=/mnt/root
mount -t proc proc $root/proc
mount --rbind /sys $root/sys
mount --rbind /dev $root/dev
mount -t tmpfs -o mode=1777 shm $root/dev/shm
rm -rf $root/tmp/rainbow-pod && mkdir -p $root/mnt $root/run $root/.old
{steps}
hostname {name}
cd $root
pivot_root . .old
umount -l /.old
cd {cwd}
exec {command}
"""


def pods_missing() -> str:
    """Why there can be no pods here; "" when there can."""
    if os.geteuid() != 0:
        return "NO PODS: network namespaces need root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"NO PODS: {', '.join(missing)} not on PATH (Debian: iproute2, util-linux)"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "NO PODS: this kernel has no overlay file system"
    tried = subprocess.run(
        ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "true"],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"NO PODS: {tried.stderr.decode().strip()}"


@dataclass(frozen=True)
class Container:
    """What runs in a pod."""

    command: Sequence[str]
    environ: Mapping[str, str]
    mounts: Mapping[str, Path] = field(default_factory=dict)  # path in the pod: folder here
    files: Mapping[str, Path] = field(default_factory=dict)  # path in the pod: copied from here
    links: Mapping[str, Path] = field(default_factory=dict)  # path in the pod: where it leads
    user: int = 0
    cwd: str = "/"


class Pod:
    """One pod; its process 1 is the container's command."""

    def __init__(self, network: Network, name: str, container: Container, log: Path) -> None:
        self.name = name
        self.container = container
        self.log_path = log
        self.namespace, self.address = network.attach(name)
        self._network = network
        self._process = self._start()

    def log(self) -> str:
        """What its command has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def alive(self) -> bool:
        """Whether its process 1 runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End everything in it at once, as a node that loses power does."""
        # Process 1 takes the rest with it. Were only unshare killed, one with another user's id
        # would live on: the kernel forgets PR_SET_PDEATHSIG when the id changes.
        if self.alive():
            with suppress(psutil.NoSuchProcess, ValueError):
                self._first().kill()
            self._process.kill()
            self._process.wait(_END_SECONDS)
        self._network.detach(self.namespace)

    def code(self, seconds: float = _END_SECONDS) -> int:
        """Wait for the end of its command; the exit code."""
        return self._process.wait(seconds)

    def terminate(self, *, pre_stop: str = "", grace: float = 30.0) -> int | None:
        """End it as the kubelet does: preStop, SIGTERM to process 1, SIGKILL after the grace time.

        Args:
            pre_stop: a path that is executed as it stands, without a shell.
            grace: seconds, from the beginning of preStop on.

        Returns:
            The exit code; None when it had to be killed.
        """
        clock = time.monotonic
        end = clock() + grace
        if pre_stop:
            done = self.run(pre_stop, timeout=grace)
            # A container that ends by itself meanwhile takes the hook with it.
            if done.returncode not in (0, -signal.SIGKILL):
                raise AssertionError(f"{pre_stop} ended with {done.returncode}: {done.stderr}")
        if self.alive():
            self._first().send_signal(signal.SIGTERM)
        try:
            return self._process.wait(max(0.1, end - clock()))
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def run(
        self, *command: str, timeout: float = 60.0, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the pod, as `kubectl exec` does; what came of it."""
        return subprocess.run(
            [*self._enter(), *command],
            env={**self.container.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def output(
        self, *command: str, timeout: float = 60.0, environ: Mapping[str, str] | None = None
    ) -> str:
        """Run a program in the pod; what it prints.

        Raises:
            AssertionError: it fails; the message has what it said.
        """
        done = self.run(*command, timeout=timeout, environ=environ)
        if done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """All its processes but the first, as this machine numbers them."""
        return self._first().children(recursive=True)

    def find(self, words: str) -> psutil.Process:
        """The process in it whose command line holds these words.

        Raises:
            AssertionError: there is none.
        """
        for process in self.processes():
            try:
                if words in " ".join(process.cmdline()):
                    return process
            except psutil.NoSuchProcess:
                continue
        raise AssertionError(f"nothing like {words!r} runs in {self.name}:\n{self.log()}")

    def _first(self) -> psutil.Process:
        (first,) = psutil.Process(self._process.pid).children()
        return first

    def _enter(self) -> list[str]:
        user = str(self.container.user)
        ids = [f"--setuid={user}", f"--setgid={user}"] if self.container.user else []
        into = ["--mount", "--uts", "--net", "--pid", "--root", *ids, "--"]
        where = ["sh", "-c", 'cd "$0" && exec "$@"', self.container.cwd]
        return ["nsenter", f"--target={self._first().pid}", *into, *where]

    def _start(self) -> subprocess.Popen[bytes]:
        text = _SETUP.format(
            steps="\n".join(self._steps()),
            name=self.name,
            cwd=shlex.quote(self.container.cwd),
            command=shlex.join(self._command()),
        )
        own = ["--uts", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "unshare", *own, "bash", "-c", text],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(
            lambda: process.poll() is not None or psutil.Process(process.pid).children(),
            f"{self.name} has a first process",
        )
        return process

    def _steps(self) -> Iterator[str]:
        mounts = {"/etc/hosts": self._network.hosts, **self.container.mounts}
        for path, source in mounts.items():
            if source.is_dir():
                yield f"mkdir -p $root{path}"
            yield f"mount --bind {shlex.quote(str(source))} $root{path}"
        for path, source in self.container.files.items():
            yield f"install -D -m 0755 {shlex.quote(str(source))} $root{path}"
        for path, source in self.container.links.items():
            if str(source) == path:
                continue  # it is there already, as this machine has it
            yield f"mkdir -p $root{os.path.dirname(path)}"  # noqa: PTH120 - text, of another root
            target = str(source.resolve())
            if target != path:  # what stands there on this machine, too, is not linked to itself
                yield f"ln -sfn {shlex.quote(target)} $root{path}"

    def _command(self) -> list[str]:
        clean = ["env", "-i", *(f"{n}={v}" for n, v in self.container.environ.items())]
        user = self.container.user
        who = [f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        return [*(["setpriv", *who] if user else []), *clean, *self.container.command]


class Network:
    """A bridge that pods hang on, and the names that they know each other by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = folder / "hosts"
        self._id = os.getpid()
        self._bridge = f"{_PREFIX}{self._id}"
        # Sessions of several people on one machine must not take each other's addresses.
        self._subnet = f"10.{200 + self._id // 250 % 50}.{self._id % 250}"
        self._last = 1
        self._attached: dict[str, tuple[str, str, str]] = {}  # namespace: pod, address, link
        self._aliases: dict[str, list[str]] = {}
        self._services: dict[str, str] = {}  # DNS name: pod
        self.pods: list[Pod] = []

    def open(self) -> None:
        """Make the bridge."""
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self._subnet}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        self._write_hosts()

    def close(self) -> None:
        """End all pods, and take everything away that was made."""
        with ExitStack() as stack:  # one that fails does not keep the others
            stack.callback(_ip, "link", "del", self._bridge)
            for pod in self.pods:
                stack.callback(pod.kill)

    def pod(self, name: str, container: Container, *names: str) -> Pod:
        """Start a pod.

        Args:
            name: its host name.
            container: what runs in it.
            names: more DNS names of it.
        """
        self._aliases[name] = list(names)
        pod = Pod(self, name, container, self.folder / f"{name}.log")
        self.pods.append(pod)
        return pod

    def service(self, name: str, pod: str) -> None:
        """A DNS name that leads to whatever pod has this host name now."""
        self._services[name] = pod
        self._write_hosts()

    def attach(self, name: str) -> tuple[str, str]:
        """A network namespace with an eth0 and an address that no pod had before."""
        self._last += 1
        namespace = f"{_PREFIX}{self._id}-{self._last}-{name}"
        link = f"{_PREFIX}{self._id % 100000}v{self._last}"
        address = f"{self._subnet}.{self._last}"
        _ip("netns", "add", namespace)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", link, "master", self._bridge, "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")
        self._attached[namespace] = (name, address, link)
        self._write_hosts()
        return namespace, address

    def detach(self, namespace: str) -> None:
        """Take a pod's namespace away; its name leads nowhere then."""
        if namespace in self._attached:
            _, _, link = self._attached.pop(namespace)
            self._write_hosts()
            _ip("link", "del", link)  # the namespace alone takes it away some time later
            _ip("netns", "del", namespace)

    def _write_hosts(self) -> None:
        lines = ["127.0.0.1 localhost"]
        addresses = {name: address for name, address, _ in self._attached.values()}
        for name, address in addresses.items():
            lines.append(" ".join([address, name, *self._aliases.get(name, [])]))
        for name, pod in self._services.items():
            if pod in addresses:
                lines.append(f"{addresses[pod]} {name}")
        text = "\n".join(lines) + "\n"
        # In place: it is mounted into pods, which keep the file that was there.
        mode = "r+" if self.hosts.exists() else "w"
        with self.hosts.open(mode) as file:
            file.write(text)
            file.truncate()


@contextmanager
def running_network(folder: Path) -> Iterator[Network]:
    """A network for the length of a with block. What a killed session left behind goes first."""
    _sweep()
    network = Network(folder)
    network.open()
    try:
        yield network
    finally:
        network.close()


def _sweep() -> None:
    """Remove namespaces and bridges of sessions that are no more."""
    found = _ip("netns", "list").split() + [
        line.split(":")[1].strip().split("@")[0]
        for line in _ip("-o", "link", "show", "type", "bridge").splitlines()
    ]
    for name in found:
        if not name.startswith(_PREFIX):
            continue
        owner = name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _ip(*(("netns", "del", name) if "-" in name else ("link", "del", name)))


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
