"""The GPU probe: NVIDIA, AMD, Intel, none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rainbow_compspec import nvml, probes
from rainbow_compspec.errors import HostError
from rainbow_compspec.probes import gpu, gpu_amd
from rainbow_compspec.probes.gpu_finding import pci_address
from rainbow_compspec.reading import Status
from rainbow_compspec.recorded import RecordedHost

Recorded = Callable[[str], RecordedHost]
MadeUp = Callable[..., RecordedHost]


def test_nvidia_through_nvml(recorded: Recorded) -> None:
    """NVML has model, memory, UUID and driver; sysfs the NUMA domain of the same device."""
    reading = gpu.probe(recorded("nvidia-h100"))
    expected = {
        "count": "4",
        "vendor": "nvidia",
        "2.index": "2",
        "2.model": "NVIDIA H100 80GB HBM3",
        "2.memory": "85520809984",
        "2.uuid": "GPU-00000000-0000-0000-0000-000000000003",
        "2.driver": "550.54.15",
        "2.numa": "1",
        "2.pci": "0000:9d:00.0",
    }
    assert {key: reading.values[key] for key in expected} == expected
    assert str(reading.origin) == "measured: NVML"


def test_nvidia_without_its_library(made_up: MadeUp, recorded: Recorded) -> None:
    """A broken NVML is a warning; /proc/driver/nvidia still names the GPUs, without memory."""
    tree = recorded("nvidia-h100")
    paths = [f"/proc/driver/nvidia/gpus/0000:{bus}:00.0/information" for bus in ("1b", "43")]
    files = {path: tree.need(path) for path in [*paths, "/proc/driver/nvidia/version"]}
    reading = gpu.probe(
        made_up(
            files=files,
            names={"/dev": ["nvidia0", "nvidia1"]},
            nvml="libnvidia-ml.so.1: the driver is not loaded",
        )
    )
    assert reading.values["count"] == "2"
    assert reading.values["1.model"] == "NVIDIA H100 80GB HBM3"
    assert reading.values["0.driver"] == "550.54.15"
    assert "0.memory" not in reading.values
    assert reading.warnings == ("libnvidia-ml.so.1: the driver is not loaded",)


def test_amd_through_kfd(recorded: Recorded) -> None:
    """CPU nodes of KFD are no GPUs; what the driver does not name is named by its architecture."""
    values = gpu.probe(recorded("amd-mi250x")).values
    expected = {
        "count": "4",
        "vendor": "amd",
        "0.model": "AMD Instinct MI250X",
        "0.memory": "68702699520",
        "0.pci": "0000:c1:00.0",
        "0.driver": "6.3.6",
        "3.model": "gfx90a",
        "3.memory": "68702699520",
        "3.numa": "3",
        "3.uuid": "GPU-0000000000000004",
    }
    assert {key: values[key] for key in expected} == expected


def test_amd_gpus_of_another_container_are_not_ours(made_up: MadeUp) -> None:
    """KFD lists a node whose properties the device cgroup does not let us read."""
    nodes = "/sys/class/kfd/kfd/topology/nodes"
    host = made_up(
        files={f"{nodes}/1/properties": "simd_count 440\ngfx_target_version 90402\n"},
        names={nodes: ["0", "1", "2"]},
    )
    values = gpu.probe(host).values
    assert (values["count"], values["0.model"]) == ("1", "gfx942")


@pytest.mark.parametrize(
    ("version", "name"), [(90402, "gfx942"), (90010, "gfx90a"), (110000, "gfx1100"), (0, "")]
)
def test_amd_architectures(version: int, name: str) -> None:
    """KFD's number is LLVM's name, the stepping in hexadecimal."""
    assert gpu_amd.architecture({"gfx_target_version": version}) == name


def test_intel_counts_only_gpus_of_their_own(recorded: Recorded) -> None:
    """The CPU's own graphics are a warning, not a GPU."""
    reading = gpu.probe(recorded("intel-max"))
    expected = {
        "count": "2",
        "vendor": "intel",
        "1.model": "Data Center GPU Max 1550",
        "1.memory": str(128 << 30),
        "1.driver": "i915",
        "1.numa": "1",
        "1.pci": "0000:9a:00.0",
    }
    assert {key: reading.values[key] for key in expected} == expected
    assert "card0" in reading.warnings[0]


def test_intel_xe_sums_its_tiles(made_up: MadeUp) -> None:
    """The xe driver writes the memory of each tile."""
    card = "/sys/class/drm/card0/device"
    files = {f"{card}/vendor": "0x8086", f"{card}/class": "0x038000", f"{card}/device": "0x1234"}
    files |= {f"{card}/tile{tile}/physical_vram_size_bytes": "0x1000" for tile in (0, 1)}
    values = gpu.probe(made_up(files=files)).values
    assert (values["0.memory"], values["0.model"]) == ("8192", "device 0x1234")


def test_none_is_a_normal_answer(recorded: Recorded) -> None:
    """A machine without GPUs says so; that is no failure."""
    reading = gpu.probe(recorded("x86-two-socket"))
    assert reading.status is Status.ABSENT
    assert reading.values == {"count": "0"}


def test_the_override_wins(recorded: Recorded) -> None:
    """An operator can hide GPUs, or name them as users ask for them."""
    given = {"gpu": {"count": "2", "0.model": "H100"}}
    reading = probes.run(recorded("nvidia-h100"), ["gpu"], overrides=given)["gpu"]
    assert (reading.values["count"], reading.values["0.model"]) == ("2", "H100")


@pytest.mark.parametrize(
    ("written", "address"),
    [("00000000:3B:00.0", "0000:3b:00.0"), ("00010000:01:00.0", "10000:01:00.0"), ("", "")],
)
def test_pci_addresses(written: str, address: str) -> None:
    """NVML's addresses are written as the kernel's are."""
    assert pci_address(written) == address


FAKE_NVML = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct {
  char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32];
} Pci;
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned n) { strncpy(text, "550.54.15", n); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetName(void *h, char *text, unsigned n) { strncpy(text, "H100", n); return 0; }
int nvmlDeviceGetUUID(void *h, char *text, unsigned n) { strncpy(text, "GPU-1", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, Memory *m) {
  if ((long)h == 2) return 3;
  m->total = 85520809984ULL; m->free = 1; m->used = 2; return 0;
}
int nvmlDeviceGetPciInfo_v3(void *h, Pci *pci) {
  memset(pci, 0, sizeof *pci); strcpy(pci->address, "00000000:3B:00.0"); return 0;
}
"""


@pytest.fixture
def fake_nvml(tmp_path: Path) -> Callable[[int], str]:
    """Builds a library with NVML's C interface; its argument is what nvmlInit answers."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) on PATH: NVML's C interface is NOT tested here")

    def build(init: int) -> str:
        source, library = tmp_path / "nvml.c", tmp_path / f"libnvml{init}.so"
        source.write_text(FAKE_NVML, encoding="utf-8")
        command = [
            compiler,
            "-shared",
            "-fPIC",
            f"-DINIT={init}",
            "-w",
            "-o",
            str(library),
            str(source),
        ]
        subprocess.run(command, check=True, timeout=60)
        return str(library)

    return build


def test_nvml_speaks_the_librarys_interface(fake_nvml: Callable[[int], str]) -> None:
    """Structures and calls are those of nvml.h; a GPU without memory of its own is no error."""
    found = nvml.gpus(fake_nvml(0))
    assert found is not None
    assert found[0] == nvml.NvmlGpu("H100", "GPU-1", 85520809984, "00000000:3B:00.0", "550.54.15")
    assert found[1].memory is None


def test_nvml_says_why_it_cannot_answer(fake_nvml: Callable[[int], str]) -> None:
    """An error code of the library becomes a sentence."""
    with pytest.raises(HostError, match="driver and library differ in version"):
        nvml.gpus(fake_nvml(18))


def test_nvml_of_an_old_driver() -> None:
    """A library without the calls that we need is an error, not a crash."""
    with pytest.raises(HostError, match="too old"):
        nvml.gpus("libc.so.6")


def test_no_nvml_is_none() -> None:
    """Without the library there is nothing to ask."""
    assert nvml.gpus("libno-such-library.so.1") is None


@pytest.mark.parametrize(
    ("address", "kind", "device", "count"),
    [
        ("0000:00:02.0", "0x030000", "0x9a49", "0"),  # the graphics of a CPU
        ("0000:00:02.0", "0x038000", "0x9a49", "0"),  # the same beside a VGA card
        ("0000:00:02.1", "0x038000", "0x9a49", "0"),  # a virtual function of it
        ("0000:03:00.0", "0x030000", "0x1234", "1"),  # a card of its own of an unknown model
        ("0000:00:05.0", "0x038000", "0x0bd5", "1"),  # passed through to a virtual machine
        ("0000:00:02.0", "0x038000", "0x56c0", "1"),  # the same, where graphics usually are
        ("0000:00:05.0", "0x030000", "0x1234", "0"),  # a display without memory of its own
    ],
)
def test_intel_graphics_and_gpus(
    address: str, kind: str, device: str, count: str, made_up: MadeUp
) -> None:
    """Its place decides, then its memory and its model, and its class last."""
    card = "/sys/class/drm/card0/device"
    files = {f"{card}/vendor": "0x8086", f"{card}/class": kind, f"{card}/device": device}
    reading = gpu.probe(made_up(files=files, links={card: f"../../../{address}"}))
    assert reading.values["count"] == count
    assert len(reading.warnings) == (count == "0")


def test_amd_memory_without_banks_is_divided(made_up: MadeUp) -> None:
    """Where KFD lists no banks a partition has its share of the card."""
    nodes, files = "/sys/class/kfd/kfd/topology/nodes", {}
    for part in (0, 1):
        files[f"{nodes}/{part + 1}/properties"] = (
            f"simd_count 304\nlocation_id {0x500 | part}\ndrm_render_minor {128 + part}\n"
        )
    files["/sys/class/drm/renderD128/device/mem_info_vram_total"] = str(192 << 30)
    values = gpu.probe(made_up(files=files)).values
    assert (values["0.memory"], values.get("1.memory")) == (str(96 << 30), str(96 << 30))


def test_an_amd_function_that_there_is_is_no_partition(made_up: MadeUp) -> None:
    """A virtual function is a PCI function of its own."""
    nodes = "/sys/class/kfd/kfd/topology/nodes"
    host = made_up(
        files={f"{nodes}/1/properties": "simd_count 304\nlocation_id 1282\n"},
        names={"/sys/bus/pci/devices": ["0000:05:00.2"]},
    )
    values = gpu.probe(host).values
    assert (values["0.pci"], values["partitioned"]) == ("0000:05:00.2", "no")


def test_gpus_of_two_vendors_have_numbers_of_their_own(made_up: MadeUp) -> None:
    """A node counts its GPUs through: two number noughts would hide each other in the graph."""
    card = "/sys/class/drm/card1/device"
    host = made_up(
        files={
            "/sys/class/kfd/kfd/topology/nodes/1/properties": "simd_count 304\nlocation_id 1280\n",
            f"{card}/vendor": "0x8086",
            f"{card}/device": "0x56a1",
        }
    )
    values = gpu.probe(host).values
    assert (values["0.vendor"], values["1.vendor"], values["1.index"]) == ("amd", "intel", "1")
