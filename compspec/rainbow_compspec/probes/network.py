"""Network interfaces, and RDMA devices: InfiniBand, RoCE, iWARP, EFA, Slingshot."""

from __future__ import annotations

import posixpath

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Origin, Reading, known

NET = "/sys/class/net"
RDMA = "/sys/class/infiniband"
SLINGSHOT = "/sys/class/cxi"

_TYPES = {1: "ethernet", 32: "infiniband", 772: "loopback"}
"""ARPHRD_* of if_arp.h."""


def probe(host: Host) -> Reading:
    """Reads interfaces (Linux: Documentation/ABI/testing/sysfs-class-net) and RDMA devices.

    Bridges, tunnels and the like, which have no device below them, are left out.
    """
    names = [name for name in host.names(NET) if _is_device(host, name)]
    values: dict[str, str] = {}
    for name in names:
        values |= _interface(host, name)
    devices = host.names(RDMA)
    for name in devices:
        values |= _rdma(host, name)
    values |= known(interfaces=" ".join(names), rdma=" ".join((*devices, *host.names(SLINGSHOT))))
    if not values:
        return Reading.absent("network", "no interface with a device, no RDMA device")
    return Reading("network", values, Origin(f"{NET}, {RDMA}"))


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
    numa = host.number(f"{folder}/device/numa_node")
    driver = host.link(f"{folder}/device/driver")
    values = known(
        type=_TYPES.get(host.number(f"{folder}/type") or 0, "other"),
        state=host.text(f"{folder}/operstate"),
        speed=speed if speed and speed > 0 else None,
        mtu=host.number(f"{folder}/mtu"),
        driver=posixpath.basename(driver) if driver else None,
        numa=numa if numa is not None and numa >= 0 else None,
    )
    return {f"{name}.{key}": value for key, value in values.items()}


def _rdma(host: Host, name: str) -> dict[str, str]:
    folder = f"{RDMA}/{name}"
    numa = host.number(f"{folder}/device/numa_node")
    driver = posixpath.basename(host.link(f"{folder}/device/driver") or "")
    values = known(
        model=host.text(f"{folder}/hca_type"),
        firmware=host.text(f"{folder}/fw_ver"),
        driver=driver,
        numa=numa if numa is not None and numa >= 0 else None,
    )
    for port in host.numbered(f"{folder}/ports", ""):
        place = f"{folder}/ports/{port}"
        layer = host.text(f"{place}/link_layer") or ""
        values |= {
            f"port.{port}.{key}": value
            for key, value in known(
                transport=_transport(layer, driver),
                rate=host.text(f"{place}/rate"),  # `200 Gb/sec (4X HDR)`
                state=(host.text(f"{place}/state") or "").rpartition(":")[2].strip().lower(),
            ).items()
        }
    return {f"rdma.{name}.{key}": value for key, value in values.items()}


def _transport(layer: str, driver: str) -> str:
    """Returns which kind of RDMA a port speaks; the link layer alone cannot tell all of them."""
    known_drivers = {"efa": "efa", "irdma": "iwarp", "cxgb4": "iwarp", "hfi1": "omnipath"}
    if driver in known_drivers:
        return known_drivers[driver]
    return {"infiniband": "infiniband", "ethernet": "roce"}.get(layer.lower(), layer.lower())
