"""Operating system, network, storage, MPI and environment modules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rainbow_compspec import probes
from rainbow_compspec.probes import modules, mpi, network, storage, system
from rainbow_compspec.reading import Confidence, Status
from rainbow_compspec.recorded import RecordedHost

Recorded = Callable[[str], RecordedHost]
MadeUp = Callable[..., RecordedHost]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "x86-two-socket",
            {
                "name": "Rocky Linux 9.3 (Blue Onyx)",
                "version": "9.3",
                "release": "9.3",
                "vendor": "rocky",
                "kernel": "5.14.0-362.24.1.el9_3.x86_64",
                "hostname": "node0",
            },
        ),
        ("nvidia-h100", {"version": "22.04", "release": "22.04.4", "vendor": "ubuntu"}),
        ("container-cgroup-v2", {"version": "12", "release": "12.5", "vendor": "debian"}),
        ("arm64-server", {"version": "2023", "release": "2023", "vendor": "amzn"}),
    ],
)
def test_operating_systems(name: str, expected: dict[str, str], recorded: Recorded) -> None:
    """Name, version, point release, vendor and kernel of common systems."""
    values = system.probe(recorded(name)).values
    assert {key: values[key] for key in expected} == expected


def test_os_release_is_read_as_a_shell_would(made_up: MadeUp) -> None:
    """Comments, quotes of both kinds and escapes follow os-release(5)."""
    text = '# a comment\nID=\'odd\'\nPRETTY_NAME="An \\"Odd\\" System"\nbroken\nVERSION_ID=1\n'
    values = system.probe(made_up(files={"/usr/lib/os-release": text})).values
    assert values["name"] == 'An "Odd" System'
    assert (values["vendor"], values["version"]) == ("odd", "1")


@pytest.mark.parametrize(
    ("pretty", "version", "vendor", "release"),
    [
        ("SUSE Linux Enterprise Server 15 SP5", "15.5", "sles", "15.5"),
        ("Alpine Linux v3.20", "3.20.3", "alpine", "3.20.3"),
        ("Ubuntu 22.04.4 LTS", "22.04", "ubuntu", "22.04.4"),
        ("Rocky Linux 9.3 (Blue Onyx)", "9.3", "rocky", "9.3"),
        ("Amazon Linux 2023", "2023", "amzn", "2023"),
        ("openSUSE Tumbleweed", "20240517", "opensuse-tumbleweed", "20240517"),
        ("Arch Linux", "", "arch", None),
        ("Kylin V10 (2021)", "V10", "kylin", "V10"),
    ],
)
def test_the_point_release_never_says_less_than_the_version(
    pretty: str, version: str, vendor: str, release: str | None, made_up: MadeUp
) -> None:
    """Service packs and versions of three parts: VERSION_ID, unless the name says more."""
    text = f'PRETTY_NAME="{pretty}"\nVERSION_ID="{version}"\nID="{vendor}"\n'
    values = system.probe(made_up(files={"/etc/os-release": text})).values
    assert values.get("release") == release


def test_a_system_without_a_name(recorded: Recorded) -> None:
    """The kernel is known even where /etc/os-release is not."""
    reading = system.probe(recorded("odd-no-topology"))
    assert reading.values["kernel"] == "4.4.0"
    assert "os-release" in reading.warnings[0]


def test_network_and_infiniband(recorded: Recorded) -> None:
    """Interfaces with a device, their speed in Mbit/s, and InfiniBand with rate and state."""
    values = network.probe(recorded("x86-two-socket")).values
    expected = {
        "interfaces": "eno1 ib0",
        "eno1.speed": "25000",
        "eno1.driver": "bnxt_en",
        "ib0.type": "infiniband",
        "ib0.numa": "1",
        "rdma": "mlx5_0",
        "rdma.mlx5_0.model": "MT4123",
        "rdma.mlx5_0.port.1.transport": "infiniband",
        "rdma.mlx5_0.port.1.rate": "200 Gb/sec (4X HDR)",
        "rdma.mlx5_0.port.1.state": "active",
    }
    assert {key: values[key] for key in expected} == expected


def test_other_fabrics(recorded: Recorded) -> None:
    """EFA is known by its driver, Slingshot by its class; an unknown speed is no value."""
    values = network.probe(recorded("arm64-server")).values
    assert values["rdma.rdmap0s6.port.1.transport"] == "efa"
    assert "ens5.speed" not in values
    assert network.probe(recorded("amd-mi250x")).values["rdma"] == "cxi0 cxi1"


def test_a_containers_veth_is_an_interface(recorded: Recorded) -> None:
    """It has no device, but it is the way out; the loopback is not."""
    assert network.probe(recorded("container-cgroup-v2")).values["interfaces"] == "eth0"
    assert network.probe(recorded("plain-vm")).values["interfaces"] == "eth0"


def test_storage(recorded: Recorded) -> None:
    """Whole disks, and the space of the scratch folders with the kind of file system."""
    values = storage.probe(recorded("x86-two-socket")).values
    expected = {
        "disks": "nvme0n1",
        "nvme0n1.size": str(1788 << 30),
        "nvme0n1.kind": "nvme",
        "nvme0n1.model": "SAMSUNG MZQL21T9HCJR-00A07",
        "/scratch.free": "1500000000000",
        "/scratch.type": "xfs",
        "/tmp.total": "107374182400",
    }
    assert {key: values[key] for key in expected} == expected


def test_own_scratch_folder(made_up: MadeUp) -> None:
    """TMPDIR is asked too, under its name."""
    host = made_up(
        environ={"TMPDIR": "/mnt/job/"},
        names={"/mnt/job": []},
        space={"/mnt/job": {"total": 10, "free": 4}},
        files={"/proc/self/mountinfo": "1 0 0:1 / / rw - xfs a rw\n2 1 0:2 / /mnt rw - nfs b rw\n"},
    )
    values = storage.probe(host).values
    assert (values["TMPDIR.free"], values["TMPDIR.type"]) == ("4", "nfs")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("mpirun (Open MPI) 4.1.6\n\nReport bugs", ("OpenMPI", "4.1.6")),
        ("mpirun (Open MPI) 5.0.0rc12", ("OpenMPI", "5.0.0rc12")),
        (
            "Intel(R) MPI Library for Linux* OS, Version 2021.8 Build 20221129 (id: 339ec755a1)",
            ("intel-mpi", "2021.8"),
        ),
        (
            "HYDRA build details:\n    Version:                                 4.1.1\n",
            ("mpich", "4.1.1"),
        ),
        ("MPICH Version:      4.2.0\nMPICH Release date: Fri", ("mpich", "4.2.0")),
        ("MVAPICH2 2.3.7 Wed March 02 22:00:00 EST 2022 ch3:mrail", ("mvapich2", "2.3.7")),
    ],
)
def test_launchers_tell_their_version(output: str, expected: tuple[str, str]) -> None:
    """The implementations are named as compspec-go names them."""
    assert mpi.identify(output) == expected


def test_mpi_on_the_path(recorded: Recorded) -> None:
    """What the first launcher on PATH says, and where it stands."""
    reading = mpi.probe(recorded("x86-two-socket"))
    assert reading.values == {
        "implementation": "OpenMPI",
        "version": "4.1.6",
        "launcher": "/opt/openmpi/bin/mpirun",
    }
    assert reading.source == "`mpirun --version`"


def test_mpi_from_crays_environment(recorded: Recorded) -> None:
    """Cray's MPICH has no launcher of its own."""
    reading = mpi.probe(recorded("amd-mi250x"))
    assert reading.values == {"implementation": "cray-mpich", "version": "8.1.27"}
    assert reading.confidence is Confidence.DERIVED


def test_a_launcher_that_says_nothing(made_up: MadeUp) -> None:
    """A launcher that hangs or speaks in tongues is a failure with its path in it."""
    reading = mpi.probe(made_up(which={"mpiexec": "/usr/bin/mpiexec"}))
    assert reading.status is Status.FAILED
    assert "/usr/bin/mpiexec" in reading.reason


def test_no_mpi_is_a_normal_answer(made_up: MadeUp) -> None:
    """A machine without MPI says so."""
    assert mpi.probe(made_up()).status is Status.ABSENT


def test_modules(recorded: Recorded) -> None:
    """Module files below MODULEPATH by name, and what is loaded."""
    reading = modules.probe(recorded("x86-two-socket"))
    assert reading.tables["module"] == {"gcc": "12.3.0 13.1.0", "cmake": ""}
    assert reading.values["system"] == "lmod"
    assert reading.values["version"] == "8.7.37"
    assert reading.values["loaded"] == "gcc/12.3.0 openmpi/4.1.6"


def test_no_modules_is_a_normal_answer(made_up: MadeUp) -> None:
    """A machine without environment modules says so."""
    assert modules.probe(made_up()).status is Status.ABSENT


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("os", "vendor"),
        ("network", "eth0.type"),
        ("storage", "sda.kind"),
        ("mpi", "version"),
        ("modules", "system"),
    ],
)
def test_the_override_wins(name: str, key: str, recorded: Recorded) -> None:
    """Every probe's values can be overridden, also where it found nothing."""
    reading = probes.run(recorded("odd-no-topology"), [name], overrides={name: {key: "v"}})[name]
    assert reading.values[key] == "v"
    assert reading.origins[key].confidence is Confidence.GIVEN
