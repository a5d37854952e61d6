"""For tests: the programs that a Kubernetes cluster is made of, and which of them are there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from support.flux import NO_FLUX, flux_command
from support.servers import SchedulerKind

#: Names a folder with programs that are not on PATH.
PROGRAMS_VARIABLE: Final = "KUBERNETES_PROGRAMS"
#: Names the file with the operator's CustomResourceDefinition.
CRD_VARIABLE: Final = "MINICLUSTER_CRD"

ROOT: Final = Path(__file__).parents[2]
#: What is made for these tests, and kept: images.
CACHE: Final = ROOT / "build/kubernetes"

#: The Helm chart.
CHART: Final = ROOT / "charts/rainbow"

#: Where Debian has CNI's plugins.
CNI_FOLDER: Final = Path("/usr/lib/cni")
OPERATOR: Final = "flux-operator-manager"
_SYSTEM: Final = ("ip", "mount", "nsenter", "pivot_root", "unshare")
_CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kubectl")
_NODE: Final = (
    *("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns"),
    *("containerd", "ctr", "runc", "iptables", "conntrack"),
    *("mmdebstrap", "podman"),
)


def program(name: str) -> str:
    """The path of a program.

    Raises:
        FileNotFoundError: it is neither in the folder nor on PATH.
    """
    if found := _find(name):
        return found
    raise FileNotFoundError(f"{name}: neither on PATH nor in the folder {PROGRAMS_VARIABLE}")


def crd() -> Path:
    """The operator's CustomResourceDefinition, in YAML; it may not exist."""
    named = os.environ.get(CRD_VARIABLE)
    return Path(named or ROOT.parent / "shared/data/flux-framework.org_miniclusters.yaml")


def operator_role() -> Path:
    """The operator's own role, in YAML, where its source tree has it beside the definition."""
    return crd().parents[2] / "rbac/role.yaml"


def control_plane_missing() -> str:
    """Why there can be no API server here; "" when there can."""
    return _missing("NO API SERVER", (*_SYSTEM, *_CONTROL_PLANE)) or (
        "" if crd().is_file() else f"NO CRD: name the operator's in {CRD_VARIABLE}"
    )


def node_missing() -> str:
    """Why there can be no node with MiniClusters here; "" when there can."""
    return (
        control_plane_missing()
        or _missing("NO KUBERNETES", (*_NODE, OPERATOR))
        or ("" if CNI_FOLDER.is_dir() else f"NO CNI: {CNI_FOLDER} (containernetworking-plugins)")
        or SchedulerKind.REAL.missing()
        or ("" if flux_command() else NO_FLUX)
    )


def helm_missing() -> str:
    """Why the chart cannot be installed here; "" when it can."""
    return _missing("NO HELM", ("helm",))


def _missing(what: str, names: tuple[str, ...]) -> str:
    if os.geteuid() != 0:
        return f"{what}: namespaces need root"
    lacking = [name for name in names if not _find(name)]
    where = f"on PATH or in the folder that {PROGRAMS_VARIABLE} names"
    return f"{what}: put {', '.join(lacking)} {where}" if lacking else ""


def _find(name: str) -> str | None:
    folders = [os.environ.get(PROGRAMS_VARIABLE, ""), os.environ.get("PATH", ""), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(each for each in folders if each))
