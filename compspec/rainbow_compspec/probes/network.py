"""Network interfaces, and RDMA devices: InfiniBand, RoCE, iWARP, EFA, Omni-Path, Slingshot.

Source: Linux's Documentation/ABI/stable/sysfs-class-infiniband, .../testing/sysfs-class-net. The
protocol of a port follows from the device's node type first (an RNIC is iWARP, even if its driver
can do RoCE), then from a driver that can do only one, then from the link layer.
"""

from __future__ import annotations

import posixpath
import re

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Choice, Origin, Reading, known

NET = "/sys/class/net"
RDMA = "/sys/class/infiniband"
VERBS_FOLDER = "/sys/class/infiniband_verbs"
SLINGSHOT = "/sys/class/cxi"

_TYPES = {1: "ethernet", 32: "infiniband", 772: "loopback"}
"""ARPHRD_* of if_arp.h."""

_BY_NODE_TYPE = {"4": "iwarp", "5": "usnic", "6": "usnic"}
"""enum rdma_node_type of ib_verbs.h, those that have one protocol only."""

_OF_SOFTWARE = {"rxe", "Software iWARP stack"}
"""What Linux's rxe and siw call themselves in node_desc (rxe_verbs.c, siw_user.h)."""

_BY_DRIVER = {
    "efa": "efa",
    "cxgb4": "iwarp",
    "i40iw": "iwarp",
    "hfi1": "omnipath",
    "hfi": "omnipath",
}


def probe(host: Host) -> Reading:
    """Reads interfaces and RDMA devices.

    Bridges, tunnels and the like, which have no device below them, are left out, and so are
    devices that only manage others.
    """
    names = [name for name in host.names(NET) if _is_device(host, name)]
    values: dict[str, str] = {}
    for name in names:
        values |= _interface(host, name)
    devices, others = _adapters(host)
    choices: dict[str, Choice] = {}
    for name in devices:
        values |= _rdma(host, name)
        choices |= _disputed(host, name)
    slingshot = host.names(SLINGSHOT)
    for name in slingshot:
        values |= _slingshot(host, name, names)
    values |= known(interfaces=" ".join(names), rdma=" ".join((*devices, *slingshot)))
    if not values:
        return Reading.absent("network", "no interface with a device, no RDMA device")
    origins = {name: Origin(f"{NET}/{name}") for name in names}
    origins |= {f"rdma.{name}": Origin(f"{RDMA}/{name}") for name in devices}
    origins |= {f"rdma.{name}": Origin(f"{SLINGSHOT}/{name}") for name in slingshot}
    origins["rdma"] = Origin(f"{RDMA}, {SLINGSHOT}")
    if others:
        why = "devices without verbs only manage another one, and software is no adapter"
        choices["rdma"] = Choice(why, ((RDMA, " ".join(others)),))
    return Reading("network", values, Origin(NET), origins=origins, choices=choices)


def _is_device(host: Host, name: str) -> bool:
    folder = f"{NET}/{name}"
    # container runtimes give a veth pair's end: no device, but the only way out
    return host.exists(f"{folder}/device") or host.number(f"{folder}/iflink") not in {
        None,
        host.number(f"{folder}/ifindex"),
    }


def _interface(host: Host, name: str) -> dict[str, str]:
    folder = f"{NET}/{name}"
    speed = host.number(f"{folder}/speed")  # Mbit/s; -1 or EINVAL where it is not known
    driver = host.link(f"{folder}/device/driver")
    values = known(
        type=_TYPES.get(host.number(f"{folder}/type") or 0, "other"),
        state=host.text(f"{folder}/operstate"),
        speed=speed if speed and speed > 0 else None,
        mtu=host.number(f"{folder}/mtu"),
        driver=posixpath.basename(driver) if driver else None,
        numa=_numa(host, folder),
    )
    return {f"{name}.{key}": value for key, value in values.items()}


def _numa(host: Host, folder: str) -> int | None:
    numa = host.number(f"{folder}/device/numa_node")
    return numa if numa is not None and numa >= 0 else None


def _adapters(host: Host) -> tuple[list[str], list[str]]:
    """Returns the RDMA devices of the machine, and what stands beside them.

    Software that speaks RoCE or iWARP over any Ethernet (rxe, siw) is as slow as that. An SMI
    device (smi1: subnet management for a part of another device) has no verbs: the kernel lists it
    in none of /sys/class/infiniband_verbs, where it lists all others.
    """
    with_verbs = {
        host.text(f"{VERBS_FOLDER}/{name}/ibdev") for name in host.names(VERBS_FOLDER)
    } - {None}
    devices: list[str] = []
    others: list[str] = []
    for name in host.names(RDMA):
        manages = name not in with_verbs if with_verbs else re.fullmatch(r"smi\d+", name)
        (others if manages or _is_software(host, name) else devices).append(name)
    return devices, others


def _is_software(host: Host, name: str) -> bool:
    """Tells a device of software by its description, or by a place below no bus."""
    place = host.link(f"{RDMA}/{name}") or ""
    return "/virtual/" in place or host.text(f"{RDMA}/{name}/node_desc") in _OF_SOFTWARE


def _rdma(host: Host, name: str) -> dict[str, str]:
    folder = f"{RDMA}/{name}"
    driver = posixpath.basename(host.link(f"{folder}/device/driver") or "")
    kind = host.text(f"{folder}/node_type") or ""  # `4: RNIC`
    values = known(
        model=host.text(f"{folder}/hca_type"),
        firmware=host.text(f"{folder}/fw_ver"),
        driver=driver,
        numa=_numa(host, folder),
    )
    for port in host.numbered(f"{folder}/ports", ""):
        place = f"{folder}/ports/{port}"
        layer = host.text(f"{place}/link_layer") or ""
        values |= {
            f"port.{port}.{key}": value
            for key, value in known(
                transport=_transport(kind, driver, layer),
                rate=host.text(f"{place}/rate"),  # `200 Gb/sec (4X HDR)`
                state=(host.text(f"{place}/state") or "").rpartition(":")[2].strip().lower(),
            ).items()
        }
    return {f"rdma.{name}.{key}": value for key, value in values.items()}


def _transport(kind: str, driver: str, layer: str) -> str:
    """Returns the protocol of an RDMA port."""
    by_type = _BY_NODE_TYPE.get(kind.partition(":")[0])
    if by_type:
        return by_type
    if driver in _BY_DRIVER:
        return _BY_DRIVER[driver]
    if driver == "irdma" and not kind:
        return "iwarp"  # its default on cards that can do both
    return {"infiniband": "infiniband", "ethernet": "roce"}.get(layer.lower(), layer.lower())


def _disputed(host: Host, name: str) -> dict[str, Choice]:
    """Says what a port's protocol was derived from, since one file alone cannot tell all."""
    folder = f"{RDMA}/{name}"
    why = "the node type decides if it has one protocol only, then the driver, then the link layer"
    driver = posixpath.basename(host.link(f"{folder}/device/driver") or "")
    return {
        f"rdma.{name}.port.{port}.transport": Choice(
            why,
            (
                (f"{folder}/node_type", host.text(f"{folder}/node_type") or "not written"),
                (f"{folder}/device/driver", driver or "none"),
                (
                    f"{folder}/ports/{port}/link_layer",
                    host.text(f"{folder}/ports/{port}/link_layer") or "",
                ),
            ),
        )
        for port in host.numbered(f"{folder}/ports", "")
    }


def _slingshot(host: Host, name: str, interfaces: list[str]) -> dict[str, str]:
    """Describes a Cassini NIC; its speed is the port's (BS_200G, CK_400G), or its interface's."""
    folder = f"{SLINGSHOT}/{name}"
    written = re.search(r"(\d+)G\b", host.text(f"{folder}/device/port/speed") or "")
    gbps = int(written[1]) if written else _speed_of_pair(host, folder, interfaces)
    values = known(
        numa=_numa(host, folder),
        port_1_transport="slingshot",
        port_1_rate=f"{gbps} Gb/sec" if gbps else None,
        port_1_state=(host.text(f"{folder}/device/port/link") or "").lower(),
    )
    return {f"rdma.{name}.{key}": value for key, value in values.items()}


def _speed_of_pair(host: Host, folder: str, interfaces: list[str]) -> int | None:
    """Returns the speed in Gbit/s of the interface (hsn0) that is the same PCI device."""
    device = posixpath.basename(host.link(f"{folder}/device") or "")
    for name in interfaces:
        if device and posixpath.basename(host.link(f"{NET}/{name}/device") or "") == device:
            speed = host.number(f"{NET}/{name}/speed")
            return speed // 1000 if speed and speed > 0 else None
    return None
