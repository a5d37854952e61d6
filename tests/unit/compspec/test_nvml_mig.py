"""MIG through NVML's C interface (nvml.h), with a library that a test builds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_compspec import nvml
from rainbow_compspec.host import Host
from rainbow_compspec.probes import gpu
from rainbow_compspec.recorded import RecordedHost

SLICED = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct {
  char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32];
} Pci;
typedef struct {
  unsigned multiprocessors, copies, decoders, encoders, jpegs, flows, gpu_slices, compute_slices;
  unsigned long long mib;
} Attributes;
/* 1: in MIG mode; 2: no MIG, and not ours to see; 11, 12: slices of 1 */
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned n) { strncpy(text, "550.54.15", n); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetName(void *h, char *text, unsigned n) {
  strncpy(text, (long)h == 11 ? "NVIDIA A100 MIG 3g.40gb" : "NVIDIA A100", n); return 0;
}
int nvmlDeviceGetUUID(void *h, char *text, unsigned n) {
  strncpy(text, (long)h > 10 ? "MIG-1" : "GPU-1", n); return 0;
}
int nvmlDeviceGetMemoryInfo(void *h, Memory *m) {
  if ((long)h < 10) return 4;
  if ((long)h == 12) return 3;
  m->total = 42144366592ULL; return 0;
}
int nvmlDeviceGetPciInfo_v3(void *h, Pci *pci) {
  memset(pci, 0, sizeof *pci); strcpy(pci->address, "00000000:07:00.0"); return 0;
}
int nvmlDeviceGetMigMode(void *h, unsigned *now, unsigned *pending) {
  if ((long)h == 2) return 3;
  *now = *pending = 1; return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *count) { *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned i, void **slice) {
  if (i != 0 && i != 3) return i == 1 ? 4 : 6;
  *slice = (void *)(long)(i == 0 ? 11 : 12); return 0;
}
int nvmlDeviceGetAttributes_v2(void *h, Attributes *a) {
  memset(a, 0, sizeof *a);
  a->gpu_slices = 2; a->compute_slices = 1; a->mib = 19968; return 0;
}
"""


class _WithNvml(Host):
    """A machine whose NVIDIA library is another."""

    def __init__(self, root: Path, *gpus: nvml.NvmlGpu) -> None:
        super().__init__(root)
        self._gpus = gpus

    def nvml(self) -> tuple[nvml.NvmlGpu, ...]:
        return self._gpus


@pytest.fixture
def sliced(tmp_path: Path) -> tuple[nvml.NvmlGpu, ...]:
    """What we read from the library."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) on PATH: NVML's C interface is NOT tested here")
    source, library = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    source.write_text(SLICED, encoding="utf-8")
    command = [compiler, "-shared", "-fPIC", "-w", "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    found = nvml.gpus(str(library))
    assert found is not None
    return found


def test_slices_are_read(sliced: tuple[nvml.NvmlGpu, ...]) -> None:
    """Profile and memory of each; numbers without a slice of ours are skipped."""
    assert sliced[0].mig is True
    assert sliced[0].slices == (
        nvml.MigSlice("NVIDIA A100 MIG 3g.40gb", "3g.40gb", "MIG-1", 42144366592),
        nvml.MigSlice("NVIDIA A100 MIG 1c.2g.20gb", "1c.2g.20gb", "MIG-1", 19968 << 20),
    )


def test_memory_that_nvml_may_not_tell(sliced: tuple[nvml.NvmlGpu, ...]) -> None:
    """Not permitted is another answer than none: only a part of the card is ours."""
    assert (sliced[1].mig, sliced[1].memory, sliced[1].refused) == (None, None, True)


def test_what_the_probe_makes_of_it(sliced: tuple[nvml.NvmlGpu, ...], tmp_path: Path) -> None:
    """Two slices, and one of which only the card is known: three devices, one warning for it."""
    reading = gpu.probe(_WithNvml(tmp_path, *sliced))
    assert (reading.values["count"], reading.values["partitioned"]) == ("3", "yes")
    assert reading.values["2.model"] == "NVIDIA A100 MIG"
    assert "2.memory" not in reading.values
    assert sum("only a MIG slice" in warning for warning in reading.warnings) == 1


def test_mig_mode_without_slices_is_no_gpu(
    sliced: tuple[nvml.NvmlGpu, ...], tmp_path: Path
) -> None:
    """A card in MIG mode runs nothing until slices are made: a warning, not a GPU."""
    reading = gpu.probe(_WithNvml(tmp_path, replace(sliced[0], slices=())))
    assert reading.values["count"] == "0"
    assert "no slice" in reading.warnings[0]


def test_nvmls_none_is_final(hosts_folder: Path) -> None:
    """A pod that was given no GPU has none, whatever /proc/driver/nvidia shows of the host."""

    class _None(RecordedHost):
        def nvml(self) -> tuple[nvml.NvmlGpu, ...]:
            return ()

    assert gpu.probe(_None(hosts_folder / "nvidia-h100")).values["count"] == "0"


@pytest.mark.parametrize(
    ("model", "gib"),
    [
        ("NVIDIA A100-SXM4-80GB", "at least 9.3 GiB"),
        ("NVIDIA H200", "not known"),
        ("NVIDIA GH200 480GB", "not known"),
    ],
)
def test_a_slice_of_unknown_size(model: str, gib: str, tmp_path: Path) -> None:
    """The smallest slice of the card, or nothing: never the whole card, never a CPU's memory."""
    card = nvml.NvmlGpu(model, "GPU-1", None, "00000000:07:00.0", "535", refused=True)
    reading = gpu.probe(_WithNvml(tmp_path, card))
    assert gib in reading.warnings[0]


def test_slices_without_nvml(made_up: Callable[..., RecordedHost]) -> None:
    """Without NVML the slices are counted that have a device node here; their size is not known."""
    proc = "/proc/driver/nvidia"
    instances = {f"{proc}/capabilities/gpu0/mig/gi{gi}/ci0/access": 3 * gi for gi in (1, 2, 3)}
    host = made_up(
        files={
            f"{proc}/gpus/0000:07:00.0/information": "Model: \t NVIDIA A100\nDevice Minor: \t 0\n",
            **{path: f"DeviceFileMinor: {node}\n" for path, node in instances.items()},
        },
        names={"/dev": ["nvidia0"], "/dev/nvidia-caps": ["nvidia-cap3", "nvidia-cap9"]},
    )
    values = gpu.probe(host).values
    assert (values["count"], values["cards"], values["partitioned"]) == ("2", "1", "yes")
    assert (values["1.model"], values.get("1.memory")) == ("NVIDIA A100 MIG", None)
