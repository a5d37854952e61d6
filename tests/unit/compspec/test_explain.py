"""`extract --explain`: where each value was read, what else was there, why this one won."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rainbow_compspec import probes
from rainbow_compspec.cli import main
from rainbow_compspec.recorded import RecordedHost


def explained(tree: Path, *args: str, env: dict[str, str] | None = None) -> dict[str, list[str]]:
    """The lines below each value."""
    asked = ["extract", "--explain", "--root", str(tree), *args]
    result = CliRunner().invoke(main, asked, env=env)
    assert result.exit_code == 0, result.output
    found: dict[str, list[str]] = {}
    key = ""
    for line in result.output.splitlines():
        if line.startswith("    "):
            found[key].append(line.strip())
        else:
            key = line.strip()
            found[key] = []
    return found


@pytest.mark.parametrize(
    ("tree", "value", "source", "also", "because"),
    [
        (
            "strix-halo",
            f"0.memory = {110 << 30}",
            "mem_banks (measured)",
            f"mem_info_vram_total: {512 << 20}",
            "ROCm",
        ),
        (
            "power9-v100",
            f"total = {256 << 30}",
            "numa_status",
            f"MemTotal, with the GPUs' memory: {288 << 30}",
            "254, 255 are the memory of GPUs",
        ),
        (
            "gb10",
            "model = Cortex-A725/Cortex-X925",
            "number of the part (derived)",
            "archspec, by features: ",
            "more than one kind of core",
        ),
        (
            "cgroup2-host-namespace",
            f"memory.limit = {4 << 30}",
            "/sys/fs/cgroup/init/memory.max (measured)",
            f"/sys/fs/cgroup/memory.max: {8 << 30}",
            "the smallest limit",
        ),
        (
            "nvidia-pod-without-gpu",
            "count = 0",
            "NVML, KFD, drm",
            "2 GPUs of the host",
            "no device node here",
        ),
        (
            "ethernet-rdma",
            "rdma.i40iw0.port.1.transport = iwarp",
            "/sys/class/infiniband/i40iw0",
            "link_layer: Ethernet",
            "node type decides",
        ),
        (
            "mi300x-cpx",
            "9.model = AMD Instinct MI300X OAM",
            "renderD136/device/product_name",
            "gfx942",
            "product's name",
        ),
        ("multi-plane", "rdma = ibp3s0 ibp4s0", "/sys/class/infiniband", ": smi1", "verbs"),
        ("offline-isolated", "cores = 2", "/topology", "cores: 4", "as hwloc does"),
    ],
)
def test_what_else_was_there(
    tree: str, value: str, source: str, also: str, because: str, hosts_folder: Path
) -> None:
    """A value with a rival names both sources and the reason."""
    lines = explained(hosts_folder / tree)[value]
    assert source in lines[0]
    assert any(line.startswith("also there: ") and also in line for line in lines)
    assert because in lines[-1]


def test_the_operators_word_names_what_it_replaced(hosts_folder: Path) -> None:
    """An override does not hide what was found."""
    lines = explained(
        hosts_folder / "plain-vm",
        "--only",
        "cpu",
        env={"RAINBOW_COMPSPEC_SET_CPU__VENDOR": "ours"},
    )["vendor = ours"]
    assert lines[0] == "read from: override (given)"
    assert lines[1].startswith("also there: measured: /proc/cpuinfo: ")
    assert lines[-1] == "because: the operator said so"


@pytest.mark.parametrize("tree", ["x86-two-socket", "h100-mig", "slingshot", "odd-no-topology"])
def test_every_value_says_where_it_was_read(tree: str, hosts_folder: Path) -> None:
    """No value stands there without a source."""
    lines = explained(hosts_folder / tree)
    readings = probes.run(RecordedHost(hosts_folder / tree)).values()
    for reading in readings:
        for key, value in reading.values.items():
            shown = next(k for k in lines if k.startswith(f"{key} = {value[:100]}"))
            assert lines[shown][0].startswith("read from: "), shown


def test_it_can_be_written_to_a_file(hosts_folder: Path, tmp_path: Path) -> None:
    """--out takes the explanation, too."""
    out = tmp_path / "why.txt"
    args = ["extract", "--explain", "--out", str(out), "--root", str(hosts_folder / "plain-vm")]
    assert CliRunner().invoke(main, args).exit_code == 0
    assert "because: counted and numbered as hwloc does" in out.read_text(encoding="utf-8")
