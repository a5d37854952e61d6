"""The door to the machine: real, recorded, and being recorded."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from rainbow_compspec import node, probes, record
from rainbow_compspec.errors import HostError
from rainbow_compspec.host import FileSystemSize, Host
from rainbow_compspec.probes import PROBES
from rainbow_compspec.recorded import RecordedHost, is_recorded


@pytest.fixture
def machine(tmp_path: Path) -> Host:
    """A file system with a few files, mounted somewhere, and an environment of one variable."""
    folder = tmp_path / "root" / "sys"
    folder.mkdir(parents=True)
    (folder / "speed").write_text(" 25000\n\0", encoding="utf-8")
    (folder / "bytes").write_bytes(b"caf\xe9")
    for number in (10, 2, 1):
        (folder / f"cpu{number}").touch()
    (folder / "driver").symlink_to("../drivers/mlx5_core")
    return Host(tmp_path / "root", {"PATH": os.environ["PATH"], "NAME": "value"})


def test_files_below_the_root(machine: Host) -> None:
    """Every path starts at the root that was given."""
    assert machine.text("/sys/speed") == "25000"
    assert machine.number("/sys/speed") == 25000
    assert machine.text("/sys/none") is None
    assert machine.number("/sys/none") is None
    assert machine.text("/sys/bytes") == "caf\N{REPLACEMENT CHARACTER}"
    assert machine.exists("/sys/driver") is False  # a link that points nowhere
    assert machine.link("/sys/driver") == "../drivers/mlx5_core"
    assert machine.link("/sys/speed") is None


def test_a_needed_file_says_why_it_is_not_there(machine: Host) -> None:
    """The reason is the kernel's, with the path."""
    with pytest.raises(HostError, match="cannot read /sys/none: No such file"):
        machine.need("/sys/none")
    with pytest.raises(HostError, match="cannot read /sys: Is a directory"):
        machine.need("/sys")


def test_folders_are_in_counting_order(machine: Host) -> None:
    """cpu10 follows cpu2; a folder that is not there is empty."""
    assert machine.names("/sys")[1:5] == ("cpu1", "cpu2", "cpu10", "driver")
    assert machine.numbered("/sys", "cpu") == (1, 2, 10)
    assert machine.names("/none") == ()


def test_environment_and_programs(machine: Host) -> None:
    """The environment is the one that was given; what is not set is empty."""
    assert machine.env("NAME") == "value"
    assert machine.env("HOME") == ""
    assert machine.which("sh")
    assert machine.which("no-such-program") is None


def test_a_program_says_both_its_outputs(machine: Host) -> None:
    """Stdout and stderr come together, with the exit code."""
    found = machine.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert found is not None
    assert (found.returncode, found.output) == (3, "out\nerr\n")
    assert machine.run(["no-such-program"]) is None


def test_a_program_that_hangs_is_ended_with_its_children(machine: Host) -> None:
    """A launcher's child that keeps the pipe open does not keep us."""
    script = f"{sys.executable} -c 'import signal; signal.pause()' & wait"
    assert machine.run(["sh", "-c", script], limit=0.3) is None


def test_this_machine_answers(machine: Host) -> None:
    """Affinity, file systems and uname are the kernel's."""
    assert machine.affinity() == os.sched_getaffinity(0)
    assert machine.uname().machine == os.uname().machine
    space = machine.space("/sys")
    assert space is not None
    assert 0 <= space.free <= space.total
    assert machine.space("/none") is None


def test_a_recorded_tree_as_an_archive(hosts_folder: Path, tmp_path: Path) -> None:
    """A .tar.gz of a tree says the same as the tree."""
    tree = hosts_folder / "x86-two-socket"
    archive = tmp_path / "tree.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tree, arcname=".")
    assert is_recorded(archive)
    assert is_recorded(tree)
    assert not is_recorded(tmp_path)
    assert probes.run(RecordedHost(archive)) == probes.run(RecordedHost(tree))


def test_a_recorded_tree_answers_as_recorded(hosts_folder: Path) -> None:
    """What was not recorded is not there."""
    host = RecordedHost(hosts_folder / "x86-two-socket")
    assert host.env("SPACK_ROOT") == "/opt/spack"
    assert host.names("/opt/modulefiles") == ("Core", "Linux")
    assert host.exists("/opt/modulefiles/Core")
    assert host.space("/scratch") == FileSystemSize(1919850381312, 1500000000000)
    assert host.run(["mpirun", "--help"]) is None
    assert host.which("srun") is None
    assert host.nvml() is None
    with pytest.raises(HostError, match="not in the recorded tree"):
        host.need("/etc/shadow")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [(None, "it has no host.json"), ("{", "not JSON"), ("[]", "must be an object")],
)
def test_what_is_no_recorded_tree(manifest: str | None, message: str, tmp_path: Path) -> None:
    """A folder without a sound host.json is refused with its name."""
    if manifest is not None:
        (tmp_path / "host.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(HostError, match=message):
        RecordedHost(tmp_path)


def test_what_is_no_archive(tmp_path: Path) -> None:
    """A file that is no archive is refused with its name."""
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    with pytest.raises(HostError, match="not a recorded tree"):
        RecordedHost(tmp_path / "x.tar.gz")


@pytest.mark.parametrize("name", ["tree", "tree.tar.gz"])
def test_recording_replays(name: str, tmp_path: Path) -> None:
    """What was recorded here gives the same description as this machine, but for its name."""
    assert record.main([str(tmp_path / name)]) == 0
    replayed = probes.run(RecordedHost(tmp_path / name))
    real = probes.run(Host(), skip=["storage"])  # free space moves while we look
    assert replayed.keys() == PROBES.keys()
    for probe in ("cpu", "memory", "gpu", "network", "modules"):
        assert replayed[probe].values == real[probe].values, probe
        assert replayed[probe].tables == real[probe].tables, probe
    assert replayed["os"].values["hostname"] == "node0"
    assert node.to_facts(node.document(replayed, "node0")).cores


def test_recording_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments and places that cannot be written to end in a code and a sentence."""
    assert record.main([]) == 2
    (tmp_path / "file").touch()
    assert record.main([str(tmp_path / "file" / "tree")]) == 1
    assert "cannot record" in capsys.readouterr().err


def test_scrubbing() -> None:
    """Names, addresses and ids go; the same one becomes the same stand-in everywhere."""
    scrub = record.Scrubber({"login7": "node0", "/home/jane": "/home/user", "jane": "user"})
    text = json.dumps(
        scrub.deep(
            {
                "login7.site.org": "b8:ce:f6:00:11:22 and b8:ce:f6:00:11:22",
                "home": "/home/jane/x janet",
                "id": ["GPU-1b2c3d4e-1111-2222-3333-444455556666", "unique_id 123456789"],
                "cgroup": "/kubepods/pod" + "ab" * 32,
                "mounts": "36 35 0:3 / /home rw - nfs4 nas7.site.org:/export rw,addr=10.0.0.7",
                "count": 3,
            }
        )
    )
    for secret in (
        "login7",
        "b8:ce",
        "/home/jane",
        "1b2c3d4e",
        "123456789",
        "abab",
        "nas7",
        "10.0",
    ):
        assert secret not in text
    assert text.count("02:00:00:00:00:01") == 2
    assert "janet" in text
