"""For tests: what Kubernetes' programs read: certificates, a kubeconfig, settings, arguments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme
import yaml

from support.kubernetes_node import ADDRESS
from support.kubernetes_programs import CNI_FOLDER
from support.tls import write_pair

#: Of the one node.
NODE_NAME: Final = "node1"
#: Of the container that holds a pod's namespaces, and does nothing.
PAUSE_IMAGE: Final = "localhost/pause:latest"
_ETCD: Final = "http://127.0.0.1:2379"
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_PODS: Final = "10.244.0.0/24"
_SERVICES: Final = "10.96.0.0/16"
_FIRST_SERVICE: Final = "10.96.0.1"


@dataclass(frozen=True)
class Files:
    """Where everything is, below one folder."""

    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator, whom all programs and tests are."""
        return self.folder / "kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate that all others are signed with."""
        return self.folder / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """Its key."""
        return self.folder / "ca.key"

    @property
    def accounts_key(self) -> Path:
        """Signs the tokens of service accounts."""
        return self.folder / "accounts.key"

    @property
    def socket(self) -> Path:
        """Of containerd."""
        return self.folder / "containerd.sock"

    def pair(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key: `server` or `admin`."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def write_files(folder: Path, cgroup: str) -> Files:
    """Write all of them.

    Args:
        folder: exists.
        cgroup: below which the kubelet puts all pods.
    """
    files = Files(folder)
    authority = trustme.CA()
    files.authority.write_bytes(authority.cert_pem.bytes())
    files.authority_key.write_bytes(authority.private_key_pem.bytes())
    service = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    server = authority.issue_cert(ADDRESS, _FIRST_SERVICE, "127.0.0.1", "localhost", *service)
    write_pair(server, folder, "server")
    admin = authority.issue_cert(
        "admin.test", common_name="admin", organization_name="system:masters"
    )
    write_pair(admin, folder, "admin")
    files.accounts_key.write_bytes(trustme.CA().private_key_pem.bytes())
    certificate, key = files.pair("admin")
    administrator = {"client-certificate": str(certificate), "client-key": str(key)}
    files.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(files, administrator)))
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(files, cgroup)))
    (folder / "resolv.conf").write_text("# The cluster's DNS is all there is.\n")
    (folder / "containerd.toml").write_text(_containerd(files))
    (folder / "Corefile").write_text(_corefile(files))
    (folder / "cni").mkdir()
    (folder / "cni/10-bridge.conflist").write_text(json.dumps(_cni()))
    return files


def etcd_arguments(folder: Path) -> list[str]:
    """Of etcd; its data is not worth a sync."""
    peers = "http://127.0.0.1:2380"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={peers}",
        "--unsafe-no-fsync",
    ]


def apiserver_arguments(files: Files) -> list[str]:
    """Of kube-apiserver."""
    (certificate, key), (client, client_key) = files.pair("server"), files.pair("admin")
    return [
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={ADDRESS}",
        f"--bind-address={ADDRESS}",
        "--secure-port=6443",
        f"--client-ca-file={files.authority}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--service-cluster-ip-range={_SERVICES}",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={files.accounts_key}",
        f"--service-account-signing-key-file={files.accounts_key}",
        f"--kubelet-client-certificate={client}",
        f"--kubelet-client-key={client_key}",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=master-count",
    ]


def controller_manager_arguments(files: Files) -> list[str]:
    """Of kube-controller-manager."""
    return [
        f"--kubeconfig={files.kubeconfig}",
        f"--service-account-private-key-file={files.accounts_key}",
        f"--root-ca-file={files.authority}",
        f"--cluster-signing-cert-file={files.authority}",
        f"--cluster-signing-key-file={files.authority_key}",
        "--leader-elect=false",
        # A volume that came after its claim is bound at the next look, by default after 15 s.
        "--pvclaimbinder-sync-period=2s",
        "--bind-address=127.0.0.1",
    ]


def scheduler_arguments(files: Files) -> list[str]:
    """Of kube-scheduler."""
    return [f"--kubeconfig={files.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1"]


def kubelet_arguments(files: Files) -> list[str]:
    """Of the kubelet."""
    return [
        f"--config={files.folder / 'kubelet.yaml'}",
        f"--kubeconfig={files.kubeconfig}",
        f"--root-dir={files.folder / 'kubelet'}",
        f"--cert-dir={files.folder / 'kubelet-certificates'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={ADDRESS}",
    ]


def proxy_arguments(files: Files) -> list[str]:
    """Of kube-proxy; conntrack's limits are the machine's."""
    return [
        f"--kubeconfig={files.kubeconfig}",
        f"--hostname-override={NODE_NAME}",
        f"--cluster-cidr={_PODS}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def service_account(name: str, role: dict[str, Any]) -> list[dict[str, Any]]:
    """Objects: an account in the default namespace that has a ClusterRole, and the role."""
    authorization = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    reference = {"apiGroup": authorization, "kind": "ClusterRole", "name": role["metadata"]["name"]}
    binding = {
        "apiVersion": f"{authorization}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": reference,
        "subjects": [subject],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    return [role, account, binding]


def write_kubeconfig(files: Files, name: str, token: str) -> Path:
    """Of a service account, with its token."""
    path = files.folder / f"{name}.kubeconfig"
    path.write_text(yaml.safe_dump(_kubeconfig(files, {"token": token})))
    return path


def _kubeconfig(files: Files, user: dict[str, str]) -> dict[str, Any]:
    server = {
        "server": f"https://{ADDRESS}:6443",
        "certificate-authority": str(files.authority),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": server}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
        "current-context": "tests",
    }


def _kubelet(files: Files, cgroup: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{files.socket}",
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(files.folder / "resolv.conf"),
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "enforceNodeAllocatable": [],
        # Room for MiniClusters on a disk that others fill, too.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "2%"},
        # Pressure is over as soon as it is; by default it lasts five minutes.
        "evictionPressureTransitionPeriod": "5s",
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "rotateCertificates": False,
        "podLogsDir": str(files.folder / "pods"),
        "maxPods": 60,
    }


def _containerd(files: Files) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{files.folder / "containerd"}"
state = "/run/containerd"
[grpc]
  address = "{files.socket}"
[{cri}]
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE_IMAGE}"
  [{cri}.containerd]
    snapshotter = "overlayfs"
  [{cri}.cni]
    bin_dir = "{CNI_FOLDER}"
    conf_dir = "{files.folder / "cni"}"
"""


def _corefile(files: Files) -> str:
    return f"""\
.:53 {{
  errors
  kubernetes cluster.local {{
    kubeconfig {files.kubeconfig}
    ttl 5
  }}
}}
"""


def _cni() -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": _PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "tests", "plugins": [bridge, portmap]}
