"""Asks the real hwloc how it numbers the cores of a machine that stands in a folder.

hwloc reads HWLOC_FSROOT once per process, so each machine is asked for in a process of its own:
`python hwloc.py FOLDER` prints the CPUs of each core, in order, as JSON.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_TYPE_CORE = 2  # HWLOC_OBJ_CORE
_KEEP_STRUCTURE = 2  # HWLOC_TYPE_FILTER_KEEP_STRUCTURE, as Flux sets it for caches
_KEEP_IMPORTANT = 3  # HWLOC_TYPE_FILTER_KEEP_IMPORTANT, as Flux sets it for devices
_LISTS = {
    "thread_siblings_list": "thread_siblings",
    "core_siblings_list": "core_siblings",
    "die_cpus_list": "die_cpus",
    "cluster_cpus_list": "cluster_cpus",
    "book_siblings_list": "book_siblings",
    "shared_cpu_list": "shared_cpu_map",
    "cpulist": "cpumap",
}
"""The kernel's lists of CPUs, and the masks that stand beside them, which hwloc reads."""


class _Object(ctypes.Structure):
    """The head of struct hwloc_obj of hwloc 2, up to the CPUs."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("subtype", ctypes.c_char_p),
        ("os_index", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("total_memory", ctypes.c_uint64),
        ("attr", ctypes.c_void_p),
        ("depth", ctypes.c_int),
        ("logical_index", ctypes.c_uint),
        ("next_cousin", ctypes.c_void_p),
        ("prev_cousin", ctypes.c_void_p),
        ("parent", ctypes.c_void_p),
        ("sibling_rank", ctypes.c_uint),
        ("next_sibling", ctypes.c_void_p),
        ("prev_sibling", ctypes.c_void_p),
        ("arity", ctypes.c_uint),
        ("children", ctypes.c_void_p),
        ("first_child", ctypes.c_void_p),
        ("last_child", ctypes.c_void_p),
        ("symmetric_subtree", ctypes.c_int),
        ("memory_arity", ctypes.c_uint),
        ("memory_first_child", ctypes.c_void_p),
        ("io_arity", ctypes.c_uint),
        ("io_first_child", ctypes.c_void_p),
        ("misc_arity", ctypes.c_uint),
        ("misc_first_child", ctypes.c_void_p),
        ("cpuset", ctypes.c_void_p),
    )


def missing() -> str:
    """Why hwloc cannot be asked here; "" when it can."""
    return "" if ctypes.util.find_library("hwloc") else "libhwloc is not installed"


def write(folder: Path, files: Mapping[str, str], machine: str) -> None:
    """Lays a machine's files out in a folder, with the masks that hwloc reads beside the lists.

    Args:
        folder: an empty one.
        files: path -> text.
        machine: uname's word for the CPU.
    """
    # what hwloc's own recorder writes of that which is no file
    files = {**files, "/proc/hwloc-nofile-info": f"OSName: Linux\nArchitecture: {machine}"}
    for path, text in files.items():
        name = path.rpartition("/")[2]
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n", encoding="utf-8")
        if name in _LISTS:
            target.with_name(_LISTS[name]).write_text(_mask(text) + "\n", encoding="utf-8")


def _mask(text: str) -> str:
    bits = sum(1 << int(cpu) for cpu in text.split(",") if cpu)
    words = [f"{bits >> shift & 0xFFFFFFFF:08x}" for shift in (96, 64, 32, 0)]
    return ",".join(words)


def cores(folder: Path) -> list[list[int]]:
    """The CPUs of each core of the machine in a folder, in the order of hwloc's numbers."""
    asked = subprocess.run(
        [sys.executable, __file__, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HWLOC_FSROOT": str(folder), "HWLOC_COMPONENTS": "linux,stop"},
    )
    found: list[list[int]] = json.loads(asked.stdout)
    return found


def _loaded() -> list[list[int]]:
    library = ctypes.CDLL(ctypes.util.find_library("hwloc"))
    library.hwloc_get_obj_by_depth.restype = ctypes.c_void_p
    topology = ctypes.c_void_p()
    library.hwloc_topology_init(ctypes.byref(topology))
    library.hwloc_topology_set_io_types_filter(topology, _KEEP_IMPORTANT)
    library.hwloc_topology_set_cache_types_filter(topology, _KEEP_STRUCTURE)
    library.hwloc_topology_set_icache_types_filter(topology, _KEEP_STRUCTURE)
    if library.hwloc_topology_load(topology) != 0:
        raise SystemExit("hwloc cannot read this machine")
    depth = library.hwloc_get_type_depth(topology, _TYPE_CORE)
    count = library.hwloc_get_nbobjs_by_depth(topology, depth)
    return [
        _cpus(library, library.hwloc_get_obj_by_depth(topology, depth, number))
        for number in range(count)
    ]


def _cpus(library: ctypes.CDLL, address: int) -> list[int]:
    cpuset = ctypes.c_void_p(_Object.from_address(address).cpuset)
    found: list[int] = []
    cpu = library.hwloc_bitmap_next(cpuset, -1)
    while cpu >= 0:
        found.append(cpu)
        cpu = library.hwloc_bitmap_next(cpuset, cpu)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_loaded()))
