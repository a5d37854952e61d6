"""Operating system and kernel."""

from __future__ import annotations

import re

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Origin, Reading, known

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
"""os-release(5): the first that is there counts."""

_RELEASE_FILES = {
    "debian": "/etc/debian_version",
    "centos": "/etc/centos-release",
    "rocky": "/etc/rocky-release",
    "rhel": "/etc/redhat-release",
}
"""Where the point release stands that VERSION_ID leaves out, by ID."""


def probe(host: Host) -> Reading:
    """Reads name, version, release and vendor of the system, and its kernel.

    The keys and their meaning are compspec-go's: `name` is the pretty one, `vendor` the ID.
    """
    path, fields = _os_release(host)
    uname = host.uname()
    vendor, name = fields.get("ID", ""), fields.get("PRETTY_NAME", "") or fields.get("NAME", "")
    version = fields.get("VERSION_ID", "")
    values = known(
        name=name,
        version=version,
        release=_release(host, vendor, name, version),
        vendor=vendor,
        codename=fields.get("VERSION_CODENAME"),
        kernel=uname.release,
        kernel_version=uname.version,
        hostname=uname.nodename,
    )
    kernel = Origin("uname(2)")
    return Reading(
        "os",
        values,
        Origin(path or "nothing"),
        origins={key: kernel for key in ("kernel", "kernel.version", "hostname") if key in values},
        warnings=() if path else (f"no {' or '.join(OS_RELEASE)}: the system has no name",),
    )


def os_release(host: Host) -> dict[str, str]:
    """Returns the fields of os-release(5); none if there is no such file."""
    return _os_release(host)[1]


def _os_release(host: Host) -> tuple[str, dict[str, str]]:
    for path in OS_RELEASE:
        text = host.text(path)
        if text is not None:
            return path, dict(_assignments(text))
    return "", {}


def _assignments(text: str) -> list[tuple[str, str]]:
    """Reads shell-like `NAME="value"` lines, as os-release(5) restricts them."""
    found = []
    for line in text.splitlines():
        key, mark, value = line.strip().partition("=")
        if not mark or key.startswith("#"):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.append((key, value))
    return found


def _release(host: Host, vendor: str, name: str, version: str) -> str:
    """Returns the point release: 22.04.3 for Ubuntu 22.04, 12.11 for Debian 12, 15.5 for SLES.

    What says less than VERSION_ID, or another version ("15 SP5"), is not it.
    """
    text = host.text(_RELEASE_FILES[vendor]) if vendor in _RELEASE_FILES else None
    found = re.search(r"\d+(?:\.\d+)*", text if text is not None else name)
    if not found or not version:
        return version or (found[0] if found else "")
    return found[0] if f"{found[0]}.".startswith(f"{version}.") else version
