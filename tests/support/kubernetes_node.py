"""For tests: a machine inside this one, for Kubernetes: namespaces with a root of their own.

What runs in it sees this machine's files through an overlay: what it writes is gone with it, except
below its folder. It has no network but its own. Its first process ends when the tests do, however
they end, and the kernel ends all others with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from support.common import eventually
from support.kubernetes_programs import CACHE, ROOT

#: Of the node, in a network that only it has.
ADDRESS: Final = "10.250.0.2"
#: Read and written by a kubelet and not of a namespace: it gets a file instead.
_KERNEL: Final = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
#: Of all pods together, in either version of the kernel's cgroups: as much as eight processes, and
#: not as one, so that they are not the last where a machine has something else to do, too.
_WEIGHTS: Final = {"cpu.shares": "8192", "cpu.weight": "800"}
_CGROUPS: Final = Path("/sys/fs/cgroup")
#: How long the kernel takes to end what is left, in seconds.
_END_S: Final = 60.0

# The loop at the end waits for the end of the tests, and bash buries what lost its parent.
_SETUP: Final = """\
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 node /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay node -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
root=/mnt/root
mount -t proc proc $root/proc
mount --rbind /sys $root/sys
mount --rbind /dev $root/dev
mount -t tmpfs -o mode=0755 run $root/run
mkdir -p $root/.old $root{folder} $root/var/local $root/var/log/containers
mount --bind {folder} $root{folder}
mount --bind {folder}/local $root/var/local
{kernel}
hostname node
cd $root
pivot_root . .old
umount -l /.old
mount --make-rshared /
ip link set lo up
ip link add eth0 type veth peer name nowhere
ip link set nowhere up
ip addr add {address}/24 dev eth0
ip link set eth0 up
ip route add default dev eth0
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables || true
touch {folder}/up
while read -r _; do :; done
"""


class Node:
    """The namespaces, and what is started in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cgroup = f"rainbow-{folder.name}"
        self.logs = folder / "logs"
        self._first: psutil.Process
        self._unshare: subprocess.Popen[bytes] | None = None
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def open(self) -> None:
        """Make the namespaces."""
        for name in ("local", "logs", "kernel"):
            (self.folder / name).mkdir(parents=True)
        for controller in self._cgroups():
            controller.mkdir(exist_ok=True)
            for name, weight in _WEIGHTS.items():
                if (controller / name).exists():
                    (controller / name).write_text(weight)
        own = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL"]
        with (self.logs / "node.log").open("ab") as log:
            process = self._unshare = subprocess.Popen(
                ["unshare", *own, "bash", "-c", self._setup()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(
            lambda: (self.folder / "up").exists() or process.poll() is not None, "the node is up"
        )
        if process.poll() is not None:
            raise AssertionError(self.log("node"))
        (self._first,) = psutil.Process(process.pid).children()

    def close(self) -> None:
        """End everything in it, and remove its folder."""
        if self._unshare and self._unshare.stdin:
            self._unshare.stdin.close()
            self._unshare.wait(_END_S)
            for process in self._started.values():
                process.wait(_END_S)
        for controller in self._cgroups():
            _remove_cgroup(controller)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str, *command: str, **environ: str) -> None:
        """Start a program that runs until the end; its log is in the folder."""
        with (self.logs / f"{name}.log").open("ab") as log:
            self._started[name] = subprocess.Popen(
                [*self._enter(), *command],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, name: str) -> None:
        """End a program, and wait until it has ended."""
        process = self._started.pop(name)
        for child in psutil.Process(process.pid).children():  # nsenter passes no signal on
            child.terminate()
        process.wait(_END_S)

    def ended(self) -> list[str]:
        """Which of the programs are no more."""
        return [name for name, process in self._started.items() if process.poll() is not None]

    def run(
        self,
        *command: str,
        text: str | None = None,
        seconds: float = 300.0,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it; what came of it.

        Args:
            command: the program and its arguments.
            text: its standard input.
            seconds: how long it may take.
            environ: variables that it gets over those of the tests.
        """
        return subprocess.run(
            [*self._enter(), *command],
            env={**os.environ, **(environ or {})},
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def log(self, name: str, last: int = 4000) -> str:
        """The last characters of what a program wrote."""
        path = self.logs / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace")[-last:] if path.exists() else ""

    def _setup(self) -> str:
        lines = []
        for number, (name, value) in enumerate(_KERNEL.items()):
            path = self.folder / "kernel" / str(number)
            path.write_text(value + "\n")
            lines.append(f"mount --bind {shlex.quote(str(path))} $root/proc/sys/{name}")
        folder = shlex.quote(str(self.folder))
        return _SETUP.format(folder=folder, kernel="\n".join(lines), address=ADDRESS)

    def _enter(self) -> list[str]:
        into = ["--mount", "--net", "--pid", "--uts", "--ipc", "--root", f"--wdns={ROOT}"]
        return ["nsenter", f"--target={self._first.pid}", *into, "--"]

    def _cgroups(self) -> Iterator[Path]:
        if (_CGROUPS / "cgroup.controllers").exists():
            yield _CGROUPS / self.cgroup
        else:
            for controller in _CGROUPS.iterdir():
                if (controller / "cgroup.procs").exists() and not controller.is_symlink():
                    yield controller / self.cgroup


@contextmanager
def running_node() -> Iterator[Node]:
    """A node for the length of a with block. What a killed session left behind goes first."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for left in CACHE.glob("node-*"):
        if not psutil.pid_exists(int(left.name.partition("-")[2])):
            Node(left).close()
    node = Node(CACHE / f"node-{os.getpid()}")
    try:
        node.open()
        yield node
    finally:
        node.close()


def _remove_cgroup(path: Path) -> None:
    """It is empty soon after its last process ended."""
    deadline = time.monotonic() + _END_S
    for folder in [*sorted(path.rglob("*/"), key=lambda each: -len(each.parts)), path]:
        while folder.exists() and folder.is_dir():
            with suppress(OSError):
                folder.rmdir()
                break
            if time.monotonic() > deadline:
                break
