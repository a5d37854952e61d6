"""The manifest of a MiniCluster whose agent joins rainbow by itself, as text.

Every line is one that the agent needs, with the reason beside it where it is not plain. The files
in crd/ and the chart have no copies of it: they are written from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

#: What the agent's state folder and its HTTP side are set to.
STATE_DIR: Final = "/var/lib/rainbow-agent"
HTTP_PORT: Final = 8788
#: The largest that fits: Kubernetes counts every restart of every pod, and when the count is used
#: up it deletes all pods with their logs, and the MiniCluster says nothing.
BACKOFF_LIMIT: Final = 2**31 - 1
DEADLINE_SECONDS: Final = 2**31 - 1
#: A word that YAML takes for text without quotes, in either of its versions.
_PLAIN: Final = re.compile(r"[A-Za-z/][\w./:+-]*")
_NOT_TEXT: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})

_NVIDIA: Final = """\
    runtimeClassName: nvidia
    nodeSelector: {nvidia.com/gpu.present: "true"}
    tolerations:
    - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
"""


@dataclass(frozen=True, kw_only=True)
class MiniCluster:
    """What is particular to one MiniCluster."""

    name: str
    size: int = 1
    image: str = "rainbow-minicluster:latest"
    namespace: str = "default"
    rainbow: str = ""  # host:port; "": the Service of crd/rainbow in the namespace
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0  # in each pod
    interactive: bool = False  # the lead broker runs no program, and the agent is beside it
    deregister: bool = False  # take the cluster out of rainbow, once, instead of joining it
    own_flux: bool = False  # Flux is in the image, and not in the operator's view
    environ: Mapping[str, str] = field(default_factory=dict)  # over what is set here
    storage_class: str = ""  # of both volumes; "": folders of the nodes
    host_path: str = "/var/local/rainbow"

    def settings(self) -> dict[str, str]:
        """The environment of its container, its own values last."""
        made = {
            "RAINBOW_HOST": self.rainbow or f"rainbow.{self.namespace}.svc.cluster.local:8080",
            "RAINBOW_CLUSTER": self.name,
            "RAINBOW_STATE_DIR": STATE_DIR,
            "RAINBOW_SECRET_FILE": "/run/secrets/rainbow/secret",
            "RAINBOW_TOKEN_FILE": "/run/secrets/rainbow/token",
            "RAINBOW_HTTP": f"0.0.0.0:{HTTP_PORT}",
            "RAINBOW_GRACE": "25",
            "RAINBOW_LOG_FORMAT": "json",
        }
        if self.gpus:
            made["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
        return {**made, **self.environ}


def manifest(made: MiniCluster) -> str:
    """The documents: the MiniCluster, and its volumes."""
    return "---\n".join([_minicluster(made), *_volumes(made)])


def _minicluster(made: MiniCluster) -> str:
    interactive = "  interactive: true\n" if made.interactive else ""
    return (
        f"apiVersion: flux-framework.org/v1alpha2\nkind: MiniCluster\n{_metadata(made, made.name)}"
        f"spec:\n  size: {made.size}\n{_SPEC}{interactive}  containers:\n"
        f"{_container(made)}{_flux(made)}{_pod(made)}"
    )


_SPEC: Final = f"""\
  # The agent starts as soon as the lead broker is up; the others join as they arrive.
  minSize: 1
  # Kubernetes counts the restarts of all pods. At the operator's default of 100 it deletes the
  # pods, with their logs, for good; and it ends a MiniCluster after a year.
  backoffLimit: {BACKOFF_LIMIT}
  deadlineSeconds: {DEADLINE_SECONDS}
  # Without it the operator's script prints the brokers' private key into the pod's log.
  logging: {{quiet: true}}
"""


def _metadata(made: MiniCluster, name: str, *, namespaced: bool = True) -> str:
    namespace = f"  namespace: {made.namespace}\n"
    return f"metadata:\n  name: {name}\n" + (
        namespace if namespaced and made.namespace != "default" else ""
    )


def _container(made: MiniCluster) -> str:
    command, post = "" if made.interactive else _COMMAND, _POST
    if made.deregister:
        command, post = _DEREGISTER, _POST_ONCE
    return (
        f"  - image: {scalar(made.image)}\n{_RUN_FLUX}{command}    workingDir: /code\n"
        f"    environment:\n{''.join(_environment(made))}"
        f"    resources:\n      requests: {_quantities(made, made.requests)}\n"
        f"      limits: {_quantities(made, made.limits)}\n{_STOP}    volumes:\n"
        f"      state: {{claimName: {made.name}-state, path: {STATE_DIR}}}\n"
        f"      spack: {{claimName: {made.name}-spack, path: /opt/spack-store}}\n"
        "      rainbow: {secretName: rainbow, path: /run/secrets/rainbow, readOnly: true}\n"
        f"    commands:\n{_BESIDE if made.interactive else ''}{post}"
    )


_RUN_FLUX: Final = f"""\
    # For `ports`: without it the operator takes the container for a sidecar, and asks Kubernetes
    # again and again for a Service without a name.
    runFlux: true
    ports: [{HTTP_PORT}]
"""
_COMMAND: Final = """\
    # Flux starts this on the lead broker only, with FLUX_URI set. It runs `rainbow-agent start`,
    # and starts it again when it crashes, so that the instance and its jobs survive.
    launcher: true
    command: rainbow-pod-start
"""
_DEREGISTER: Final = """\
    # Done once; that the cluster is not registered any more is no error.
    launcher: true
    command: rainbow-agent deregister
"""
_STOP: Final = """\
    # A single word: the operator executes it without a shell.
    lifeCycle: {preStopExec: /usr/local/bin/rainbow-pod-stop}
"""
_SOCKET: Final = "local:///mnt/flux/config/run/flux/local"
_BESIDE: Final = f"""\
      # Starts before the broker, in the background, and waits for its socket. FLUX_URI is set for
      # the agent alone: a broker would try to join the instance that it names.
      brokerPre: FLUX_URI={_SOCKET} rainbow-pod-start >/proc/1/fd/1 2>&1 &
"""
_POST_ONCE: Final = """\
      # The status of the command: done, the pod stays with its log; failed, it is tried again.
      post: exit $?
"""
_POST: Final = """\
      # Kubernetes takes exit code 0 for "done" and never starts the pod again. With this line the
      # container restarts whenever Flux ends here, until the MiniCluster is deleted.
      post: exit 1
"""


def _environment(made: MiniCluster) -> Iterator[str]:
    reasons = {
        "RAINBOW_GRACE": "Kubernetes gives a pod 30 s to stop, preStopExec included.",
        "NVIDIA_DRIVER_CAPABILITIES": (
            "The runtime gives the pod NVIDIA's libraries and tools, which the agent uses to find"
            " GPUs."
        ),
    }
    for name, value in made.settings().items():
        if name in reasons and name not in made.environ:
            yield f"      # {reasons[name]}\n"
        yield f"      {scalar(name)}: {scalar(value)}\n"


def _quantities(made: MiniCluster, quantities: Mapping[str, str]) -> str:
    gpus = {"nvidia.com/gpu": str(made.gpus)} if made.gpus else {}
    inside = ", ".join(f"{n}: {scalar(q)}" for n, q in {**quantities, **gpus}.items())
    return f"{{{inside}}}"


def _flux(made: MiniCluster) -> str:
    if made.own_flux:
        return "  flux:\n    container: {disable: true}\n"
    return (
        "  flux:\n    container:\n"
        "      # It has the same Python (3.11) as the image above, so the agent can load Flux's"
        " bindings.\n"
        "      image: ghcr.io/converged-computing/flux-view-ubuntu:tag-jammy\n"
    )


def _pod(made: MiniCluster) -> str:
    return (
        "  pod:\n    # rainbow's network policy admits pods with this label.\n"
        '    labels: {rainbow-member: "true"}\n    annotations:\n'
        f'      prometheus.io/scrape: "true"\n      prometheus.io/port: "{HTTP_PORT}"\n'
    ) + (_NVIDIA if made.gpus else "")


def _volumes(made: MiniCluster) -> Iterator[str]:
    for part, size in (("state", "1Gi"), ("spack", "50Gi")):
        name = f"{made.name}-{part}"
        if not made.storage_class:
            yield (
                f"apiVersion: v1\nkind: PersistentVolume\n"
                f"{_metadata(made, name, namespaced=False)}spec:\n"
                f"  capacity: {{storage: {size}}}\n  accessModes: [ReadWriteMany]\n"
                '  persistentVolumeReclaimPolicy: Retain\n  storageClassName: ""\n'
                f"  claimRef: {{namespace: {made.namespace}, name: {name}}}\n"
                f"  hostPath: {{path: {made.host_path}/{name}, type: DirectoryOrCreate}}\n"
            )
        where = f'  storageClassName: ""\n  volumeName: {name}\n'
        if made.storage_class:
            where = f"  storageClassName: {scalar(made.storage_class)}\n"
        yield (
            f"apiVersion: v1\nkind: PersistentVolumeClaim\n{_metadata(made, name)}spec:\n"
            f"  accessModes: [ReadWriteMany]\n{where}"
            f"  resources: {{requests: {{storage: {size}}}}}\n"
        )


def scalar(text: str) -> str:
    """A text as a YAML scalar, on one line, also inside of braces."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT and not text.endswith(":"):
        return text
    if re.fullmatch(r"\d+[A-Za-z]+", text) or re.fullmatch(r"\d+(\.\d+){3}:\d+", text):
        return text  # 8Gi, 0.0.0.0:8788
    quoted: str = yaml.safe_dump(
        text, default_style='"', width=float("inf"), allow_unicode=True
    ).strip()
    return quoted
