"""NVIDIA's management library, spoken to through its C interface.

Source: NVIDIA's NVML API reference (nvml.h). The library comes with the driver, so nothing has to
be installed, and it sees the GPUs that a container was given, whatever CUDA_VISIBLE_DEVICES says.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from dataclasses import dataclass

from rainbow_compspec.errors import HostError

LIBRARY = "libnvidia-ml.so.1"

_TEXT = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE
_INVALID_ARGUMENT, _NO_PERMISSION, _NOT_FOUND = 2, 4, 6  # NVML_ERROR_*
_REASONS = {
    4: "no permission (NVML_ERROR_NO_PERMISSION)",
    9: "the driver is not loaded (NVML_ERROR_DRIVER_NOT_LOADED)",
    12: "a library is missing (NVML_ERROR_LIBRARY_NOT_FOUND)",
    15: "a GPU has fallen off the bus (NVML_ERROR_GPU_IS_LOST)",
    18: "driver and library differ in version (NVML_ERROR_LIB_RM_VERSION_MISMATCH)",
}


class NvmlError(HostError):
    """NVML answered with an error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class MigSlice:
    """One MIG device."""

    model: str  # NVIDIA A100-SXM4-80GB MIG 3g.40gb
    profile: str  # 3g.40gb
    uuid: str  # MIG-...
    memory: int | None  # bytes


@dataclass(frozen=True)
class NvmlGpu:
    """One GPU, in NVML's order, which is the order on the PCI bus."""

    model: str
    uuid: str
    memory: int | None  # bytes; None where the GPU shares the machine's memory
    pci: str  # 00000000:3B:00.0, as NVML writes it
    driver: str
    mig: bool | None = None  # whether it is in MIG mode; None where NVML cannot say
    refused: bool = False  # whether NVML may not tell its memory: only a part of it was given to us
    slices: tuple[MigSlice, ...] = ()  # its MIG devices that we may use


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


class _Attributes(ctypes.Structure):
    """nvmlDeviceAttributes_t."""

    _fields_ = (
        ("multiprocessors", ctypes.c_uint),
        ("copy_engines", ctypes.c_uint),
        ("decoders", ctypes.c_uint),
        ("encoders", ctypes.c_uint),
        ("jpeg_engines", ctypes.c_uint),
        ("optical_flow_engines", ctypes.c_uint),
        ("gpu_slices", ctypes.c_uint),
        ("compute_slices", ctypes.c_uint),
        ("memory_mib", ctypes.c_ulonglong),
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
            raise NvmlError(f"{LIBRARY}: {name}: {_REASONS.get(code, f'error {code}')}", code)

    def text(self, name: str, *args: object) -> str:
        """Calls a function that fills a buffer with text."""
        buffer = ctypes.create_string_buffer(_TEXT)
        self.call(name, *args, buffer, ctypes.c_uint(_TEXT))
        return buffer.value.decode("utf-8", errors="replace")

    def memory(self, handle: ctypes.c_void_p) -> tuple[int | None, bool]:
        """Returns a GPU's memory in bytes, and whether NVML may not tell it.

        Integrated GPUs have none of their own. A container that was given a slice of a GPU is not
        permitted to see the whole.
        """
        memory = _Memory()
        try:
            self.call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        except NvmlError as exc:
            return None, exc.code == _NO_PERMISSION
        return int(memory.total), False

    def mig_mode(self, handle: ctypes.c_void_p) -> bool | None:
        """Tells whether a GPU is in MIG mode; None if it has none, or the driver is older."""
        now, pending = ctypes.c_uint(), ctypes.c_uint()
        try:
            self.call("nvmlDeviceGetMigMode", handle, ctypes.byref(now), ctypes.byref(pending))
        except HostError:
            return None
        return now.value == 1

    def slices(self, handle: ctypes.c_void_p) -> tuple[MigSlice, ...]:
        """Describes the MIG devices of a GPU that this process may use."""
        most = ctypes.c_uint()
        self.call("nvmlDeviceGetMaxMigDeviceCount", handle, ctypes.byref(most))
        found = []
        for index in range(most.value):
            slice_ = ctypes.c_void_p()
            try:
                self.call(
                    "nvmlDeviceGetMigDeviceHandleByIndex",
                    handle,
                    ctypes.c_uint(index),
                    ctypes.byref(slice_),
                )
            except NvmlError as exc:
                if exc.code in {_NOT_FOUND, _INVALID_ARGUMENT, _NO_PERMISSION}:
                    continue  # there is none of this number, or it is not ours
                raise
            found.append(self.slice(slice_))
        return tuple(found)

    def slice(self, handle: ctypes.c_void_p) -> MigSlice:
        """Describes one MIG device."""
        model = self.text("nvmlDeviceGetName", handle)
        memory, _ = self.memory(handle)
        named = re.search(r"\bMIG (\S+)", model)
        attributes = _Attributes()
        with suppress(HostError):
            self.call("nvmlDeviceGetAttributes_v2", handle, ctypes.byref(attributes))
        if memory is None and attributes.memory_mib:
            memory = int(attributes.memory_mib) << 20
        profile = named[1] if named else _profile(attributes)
        return MigSlice(
            model=model if named else f"{model} MIG {profile}".strip(),
            profile=profile,
            uuid=self.text("nvmlDeviceGetUUID", handle),
            memory=memory,
        )

    def gpu(self, index: int, driver: str) -> NvmlGpu:
        """Describes one GPU."""
        handle = ctypes.c_void_p()
        pci = _Pci()
        self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        self.call("nvmlDeviceGetPciInfo_v3", handle, ctypes.byref(pci))
        memory, refused = self.memory(handle)
        mig = self.mig_mode(handle)
        return NvmlGpu(
            model=self.text("nvmlDeviceGetName", handle),
            uuid=self.text("nvmlDeviceGetUUID", handle),
            memory=memory,
            pci=pci.bus_id.decode("ascii", errors="replace"),
            driver=driver,
            mig=mig,
            refused=refused,
            slices=self.slices(handle) if mig else (),
        )


def _profile(attributes: _Attributes) -> str:
    """Writes a MIG profile as nvidia-smi does: 3g.40gb, 1c.3g.40gb."""
    if not attributes.gpu_slices:
        return ""
    gib = max(1, round(attributes.memory_mib / 1024))
    compute, gpu = attributes.compute_slices, attributes.gpu_slices
    return f"{gpu}g.{gib}gb" if compute == gpu else f"{compute}c.{gpu}g.{gib}gb"


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
