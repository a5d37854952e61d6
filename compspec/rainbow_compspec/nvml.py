"""NVIDIA's management library, spoken to through its C interface.

Source: NVIDIA's NVML API reference (nvml.h). The library comes with the driver, so nothing has to
be installed, and it sees the GPUs that a container was given, whatever CUDA_VISIBLE_DEVICES says.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from rainbow_compspec.errors import HostError

LIBRARY = "libnvidia-ml.so.1"

_TEXT = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE
_REASONS = {
    4: "no permission (NVML_ERROR_NO_PERMISSION)",
    9: "the driver is not loaded (NVML_ERROR_DRIVER_NOT_LOADED)",
    12: "a library is missing (NVML_ERROR_LIBRARY_NOT_FOUND)",
    15: "a GPU has fallen off the bus (NVML_ERROR_GPU_IS_LOST)",
    18: "driver and library differ in version (NVML_ERROR_LIB_RM_VERSION_MISMATCH)",
}


@dataclass(frozen=True)
class NvmlGpu:
    """One GPU, in NVML's order, which is the order on the PCI bus."""

    model: str
    uuid: str
    memory: int | None  # bytes; None where the GPU shares the machine's memory
    pci: str  # 00000000:3B:00.0, as NVML writes it
    driver: str


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class _Pci(ctypes.Structure):
    """nvmlPciInfo_t, version 3."""

    _fields_ = (
        ("bus_id_legacy", ctypes.c_char * 16),
        ("domain", ctypes.c_uint),
        ("bus", ctypes.c_uint),
        ("device", ctypes.c_uint),
        ("device_id", ctypes.c_uint),
        ("subsystem_id", ctypes.c_uint),
        ("bus_id", ctypes.c_char * 32),
    )


class _Library:
    """The calls that we need; every one raises HostError with NVML's reason."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def call(self, name: str, *args: object) -> None:
        """Calls one function of the library.

        Raises:
            HostError: it answered with an error, or this library is too old to have it.
        """
        try:
            code = getattr(self._library, name)(*args)
        except AttributeError as exc:
            raise HostError(f"{LIBRARY} has no {name}: the driver is too old") from exc
        if code != 0:
            raise HostError(f"{LIBRARY}: {name}: {_REASONS.get(code, f'error {code}')}")

    def text(self, name: str, *args: object) -> str:
        """Calls a function that fills a buffer with text."""
        buffer = ctypes.create_string_buffer(_TEXT)
        self.call(name, *args, buffer, ctypes.c_uint(_TEXT))
        return buffer.value.decode("utf-8", errors="replace")

    def memory(self, handle: ctypes.c_void_p) -> int | None:
        """Returns a GPU's memory in bytes, or None where NVML cannot say (integrated GPUs)."""
        memory = _Memory()
        try:
            self.call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        except HostError:
            return None
        return int(memory.total)

    def gpu(self, index: int, driver: str) -> NvmlGpu:
        """Describes one GPU."""
        handle = ctypes.c_void_p()
        pci = _Pci()
        self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        self.call("nvmlDeviceGetPciInfo_v3", handle, ctypes.byref(pci))
        return NvmlGpu(
            model=self.text("nvmlDeviceGetName", handle),
            uuid=self.text("nvmlDeviceGetUUID", handle),
            memory=self.memory(handle),
            pci=pci.bus_id.decode("ascii", errors="replace"),
            driver=driver,
        )


def gpus(path: str = LIBRARY) -> tuple[NvmlGpu, ...] | None:
    """Returns the GPUs that the library sees, or None if there is no library.

    Raises:
        HostError: the library is there but cannot answer.
    """
    try:
        library = _Library(ctypes.CDLL(path))
    except OSError:
        return None
    library.call("nvmlInit_v2")
    try:
        driver = library.text("nvmlSystemGetDriverVersion")
        count = ctypes.c_uint()
        library.call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        return tuple(library.gpu(index, driver) for index in range(count.value))
    finally:
        library.call("nvmlShutdown")
