"""Memory, and what cgroups leave of the machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rainbow_compspec import probes
from rainbow_compspec.probes import cgroup, memory
from rainbow_compspec.reading import Status
from rainbow_compspec.recorded import RecordedHost

Recorded = Callable[[str], RecordedHost]
MadeUp = Callable[..., RecordedHost]


def test_memory_of_a_server(recorded: Recorded) -> None:
    """In all, by NUMA domain, and the huge pages of each size, in bytes."""
    values = memory.probe(recorded("x86-two-socket")).values
    expected = {
        "total": str(256 << 30),
        "usable": str(256 << 30),
        "numa.0.total": str(128 << 30),
        "numa.1.total": str(128 << 30),
        "hugepages.2097152.count": "512",
        "hugepages.1073741824.count": "4",
        "swap": "0",
    }
    assert {key: values[key] for key in expected} == expected
    assert "limit" not in values


@pytest.mark.parametrize("name", ["container-cgroup-v1", "container-cgroup-v2"])
def test_a_container_has_its_limits(name: str, recorded: Recorded) -> None:
    """Both versions of cgroups tell CPUs, CPU time and memory; the machine's total stays known."""
    host = recorded(name)
    found = memory.probe(host)
    assert found.values["total"] == str(64 << 30)
    assert found.values["usable"] == found.values["limit"] == str(8 << 30)
    limits = cgroup.probe(host).values
    assert limits["cpu.quota"] == "3.5"
    assert limits["cpuset"] == limits["affinity"] == "4-7"
    assert limits["affinity.count"] == "4"
    assert limits["memory.limit"] == str(8 << 30)
    assert limits["version"] == name[-1]


def test_the_tightest_cgroup_above_counts(made_up: MadeUp) -> None:
    """A limit of a parent slice holds for us too."""
    mount = "/sys/fs/cgroup"
    host = made_up(
        files={
            "/proc/self/cgroup": "0::/batch.slice/job.scope",
            "/proc/self/mountinfo": f"30 22 0:26 / {mount} rw - cgroup2 cgroup2 rw",
            f"{mount}/batch.slice/job.scope/memory.max": "max",
            f"{mount}/batch.slice/memory.max": "4096",
            f"{mount}/batch.slice/job.scope/cpu.max": "200000 100000",
            f"{mount}/batch.slice/cpu.max": "max 100000",
        }
    )
    values = cgroup.probe(host).values
    assert (values["memory.limit"], values["cpu.quota"]) == ("4096", "2")
    assert cgroup.memory_limit(host) == (4096, f"{mount}/batch.slice/memory.max")


def test_no_limit_is_no_value(recorded: Recorded) -> None:
    """Version 1 writes a huge number for "no limit"; it is not shown as one."""
    values = cgroup.probe(recorded("plain-vm")).values
    assert "memory.limit" not in values
    assert "cpu.quota" not in values


def test_strange_lines_do_not_matter(recorded: Recorded) -> None:
    """Lines that no manual page knows are passed over in /proc/meminfo and the cgroup files."""
    host = recorded("odd-no-topology")
    assert memory.probe(host).values["total"] == str(2 << 30)
    assert cgroup.probe(host).status is Status.OK


@pytest.mark.parametrize("path", ["", "//", "/../..", "relative/path", "/a//b/../c"])
def test_any_cgroup_path_ends_at_the_mount(path: str, made_up: MadeUp) -> None:
    """A path from another namespace, or none at all, is walked to its end."""
    host = made_up(
        files={
            "/proc/self/cgroup": f"0::{path}",
            "/proc/self/mountinfo": "30 22 0:26 / /cg rw - cgroup2 cgroup2 rw",
            "/cg/memory.max": "12345",
        }
    )
    assert cgroup.memory_limit(host) == (12345, "/cg/memory.max")


@pytest.mark.parametrize("text", ["", "MemTotal: many\n", "MemFree: 5 kB\n"])
def test_a_meminfo_without_a_total_is_a_failed_reading(text: str, made_up: MadeUp) -> None:
    """What cannot be right is a failure with its reason, not a guess."""
    reading = probes.run(made_up(files={"/proc/meminfo": text}), ["memory"])["memory"]
    assert reading.status is Status.FAILED
    assert "MemTotal" in reading.reason


def test_the_overrides_win(recorded: Recorded) -> None:
    """The operator's limits stand in place of what was found."""
    given = {"memory": {"usable": "1024"}, "cgroup": {"cpu.quota": "1"}}
    readings = probes.run(recorded("plain-vm"), ["memory", "cgroup"], overrides=given)
    assert readings["memory"].values["usable"] == "1024"
    assert readings["cgroup"].values["cpu.quota"] == "1"
