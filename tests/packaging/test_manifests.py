"""The manifests in crd/: valid, consistent with each other, and with what the agent understands."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from rainbow_agent.cli import main
from rainbow_agent.runtime import settings

ROOT = Path(__file__).parents[2]
CRD = ROOT / "crd"
MINICLUSTERS = sorted(CRD.rglob("minicluster-*.yaml"))
MANIFESTS = sorted(CRD.rglob("*.yaml"))
#: Where the operator's own schema is, when it is at hand.
SCHEMA = Path(
    os.environ.get("MINICLUSTER_CRD")
    or ROOT.parent / "shared/data/flux-framework.org_miniclusters.yaml"
)
KUBERNETES = "1.31"


def relative(path: Path) -> str:
    """As a test's id."""
    return str(path.relative_to(CRD))


def documents(path: Path) -> list[dict[str, Any]]:
    """What stands in a file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def minicluster(path: Path) -> dict[str, Any]:
    """The one MiniCluster of a file."""
    (found,) = [each for each in documents(path) if each["kind"] == "MiniCluster"]
    return found


def container(path: Path) -> dict[str, Any]:
    """Its one container."""
    (found,) = minicluster(path)["spec"]["containers"]
    return dict(found)


@cache
def schema() -> dict[str, Any]:
    """The operator's schema of a MiniCluster, strict: unknown fields are errors."""
    (version,) = yaml.safe_load(SCHEMA.read_text())["spec"]["versions"]
    return strict(version["schema"]["openAPIV3Schema"])


def strict(part: dict[str, Any]) -> dict[str, Any]:
    """The API server drops fields that a schema does not name; a typo would be one."""
    made = dict(part)
    if "properties" in made:
        made["properties"] = {name: strict(each) for name, each in made["properties"].items()}
        if not (made.get("type") == "object" and not made["properties"]):
            made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = strict(made[key])
    return made


def test_all_are_there() -> None:
    """Blue, pink, interactive, GPU and spack, rainbow's parts, kind's file and kustomizations."""
    kinds = {path.stem.removeprefix("minicluster-") for path in CRD.glob("minicluster-*.yaml")}
    assert kinds == {"blue", "pink", "interactive", "gpu", "spack"}
    assert {path.name for path in (CRD / "small").iterdir()} == {
        "kustomization.yaml",
        "minicluster-blue.yaml",
        "minicluster-pink.yaml",
    }
    assert {path.name for path in (CRD / "rainbow").iterdir()} == {
        "ingress.yaml",
        "kustomization.yaml",
        "network-policy.yaml",
        "scheduler.yaml",
        "secret.yaml",
        "service.yaml",
        "volume.yaml",
    }


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_each_minicluster_is_what_its_command_writes(path: Path) -> None:
    """The command at its top writes all that follows: nothing in it is kept by hand."""
    text = path.read_text()
    top = text.split("apiVersion")[0]
    words = re.sub(r"\\\n#", " ", top).partition("rainbow-agent manifest")[2]
    done = CliRunner().invoke(main, ["manifest", *shlex.split(words)])
    assert done.exit_code == 0, done.output
    assert text == top + done.output


@pytest.mark.parametrize("path", MANIFESTS, ids=relative)
def test_each_says_what_it_is_and_what_to_change(path: Path) -> None:
    """The top of every file has a sentence, the command, and what to change."""
    top = path.read_text().split("apiVersion")[0]
    assert top.startswith("# ")
    assert "Change:" in top


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_a_minicluster_fits_the_operators_schema(path: Path) -> None:
    """Every field is one that the operator's CRD knows, with a value of its type."""
    if SCHEMA.exists():
        jsonschema.validate(minicluster(path), schema())
        return
    if importlib.util.find_spec("fluxoperator") is None:
        pytest.skip("NO SCHEMA: set MINICLUSTER_CRD to the operator's CRD, or install fluxoperator")
    check_with_sdk(path)


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_a_minicluster_fits_the_operators_sdk(path: Path) -> None:
    """The operator's Python SDK (older than its CRD) takes the manifest for a MiniCluster."""
    if importlib.util.find_spec("fluxoperator") is None:
        pytest.skip("NO SDK: install fluxoperator to hold the manifests against it")
    check_with_sdk(path)


def check_with_sdk(path: Path) -> None:
    """Every key of the spec is an attribute of the SDK's models, down to the container's own."""
    # The models are read as text: importing the SDK needs a Kubernetes client.
    spec = importlib.util.find_spec("fluxoperator")
    assert spec is not None
    assert spec.origin is not None
    models = Path(spec.origin).parent / "models"
    spec_of_crd = {k: v for k, v in minicluster(path)["spec"].items() if k != "backoffLimit"}
    for name, part in (
        ("mini_cluster_spec", spec_of_crd),
        ("mini_cluster_container", container(path)),
    ):
        known = (models / f"{name}.py").read_text()
        for key in part:
            assert f"'{key}'" in known or f'"{key}"' in known, (name, key)


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_a_typo_in_a_minicluster_would_be_found(path: Path) -> None:
    """The check above is strict: one letter too many is an error."""
    if not SCHEMA.exists():
        pytest.skip("NO SCHEMA: set MINICLUSTER_CRD to the operator's CRD")
    wrong = minicluster(path)
    wrong["spec"]["containers"][0]["lunacher"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


KUBERNETES_DOCUMENTS = [
    pytest.param(document, id=f"{relative(path)}-{document['kind']}-{document['metadata']['name']}")
    for path in MANIFESTS
    if path.name not in ("kind-config.yaml", "kustomization.yaml")
    for document in documents(path)
    if document["kind"] != "MiniCluster"
]


@pytest.mark.parametrize("document", KUBERNETES_DOCUMENTS)
def test_the_others_are_valid_kubernetes(document: dict[str, Any]) -> None:
    """kubernetes-validate, strict, finds nothing wrong."""
    validate = pytest.importorskip("kubernetes_validate")
    validate.validate(document, KUBERNETES, strict=True)


def test_the_kustomization_has_everything(tmp_path: Path) -> None:
    """`kubectl kustomize` makes one stream of the whole: rainbow and both MiniClusters."""
    if shutil.which("kubectl") is None:
        pytest.skip("NO kubectl: nothing was put together")
    done = subprocess.run(
        ["kubectl", "kustomize", str(CRD)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    made = {(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(done.stdout)}
    assert {
        ("MiniCluster", "blue"),
        ("MiniCluster", "pink"),
        ("Deployment", "scheduler"),
        ("Service", "rainbow"),
        ("Ingress", "rainbow"),
        ("Secret", "rainbow"),
        ("NetworkPolicy", "rainbow"),
        ("PersistentVolumeClaim", "rainbow-database"),
    } <= made


def cores(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


@pytest.mark.parametrize(("folder", "limit"), [("small", 2.0), (".", 6.1)])
def test_what_all_pods_ask_for(tmp_path: Path, folder: str, limit: float) -> None:
    """The small overlay leaves two cores something for Kubernetes itself; it changes no more."""
    if shutil.which("kubectl") is None:
        pytest.skip("NO kubectl: nothing was put together")
    done = subprocess.run(
        ["kubectl", "kustomize", str(CRD / folder)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    asked = 0.0
    for made in yaml.safe_load_all(done.stdout):
        if made["kind"] == "MiniCluster":
            requests = made["spec"]["containers"][0]["resources"]["requests"]
            asked += made["spec"]["size"] * cores(requests["cpu"])
            if SCHEMA.exists():
                jsonschema.validate(made, schema())
        elif made["kind"] == "Deployment":
            (container,) = made["spec"]["template"]["spec"]["containers"]
            asked += cores(container["resources"]["requests"]["cpu"])
    assert asked == pytest.approx(limit) if folder == "." else asked < limit / 2


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_a_minicluster_outlives_any_number_of_restarts(path: Path) -> None:
    """The operator's defaults delete it, with its logs, after 100 restarts or a year."""
    spec = minicluster(path)["spec"]
    assert spec["backoffLimit"] == spec["deadlineSeconds"] == 2**31 - 1


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_ports_go_with_run_flux(path: Path) -> None:
    """Without it the operator asks for a Service without a name, for 34 s, again and again."""
    assert container(path)["runFlux"] is True
    assert container(path)["ports"]


def test_kustomizations_name_files_that_are_there() -> None:
    """Every resource of a kustomization exists, and rainbow's has every file beside it."""
    for path in CRD.rglob("kustomization.yaml"):
        (document,) = documents(path)
        assert all((path.parent / name).exists() for name in document["resources"])
    (rainbow,) = documents(CRD / "rainbow/kustomization.yaml")
    beside = {path.name for path in (CRD / "rainbow").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(rainbow["resources"]) == beside


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_the_agent_understands_every_setting(path: Path) -> None:
    """The environment loads as settings without a word about names that are none."""
    environ = {
        name: value
        for name, value in container(path)["environment"].items()
        if not name.endswith("_FILE")  # the files are in the pod
    }
    loaded = settings.load(environ)
    assert loaded.warnings == ()
    assert loaded.cluster == minicluster(path)["metadata"]["name"]


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_where_the_agents_things_are(path: Path) -> None:
    """State is on a claim of its own, secrets come by reference, the port is the HTTP side's."""
    made = container(path)
    environ, volumes = made["environment"], made["volumes"]
    name = minicluster(path)["metadata"]["name"]
    claims = {
        each["metadata"]["name"]
        for each in documents(path)
        if each["kind"] == "PersistentVolumeClaim"
    }
    state = {v["path"]: v["claimName"] for v in volumes.values() if "claimName" in v}
    assert state[environ["RAINBOW_STATE_DIR"]] == f"{name}-state"
    assert set(state.values()) == claims
    (secret,) = [v for v in volumes.values() if "secretName" in v]
    (rainbow,) = documents(CRD / "rainbow/secret.yaml")
    assert secret["secretName"] == rainbow["metadata"]["name"]
    for variable, key in (("RAINBOW_SECRET_FILE", "secret"), ("RAINBOW_TOKEN_FILE", "token")):
        assert environ[variable] == f"{secret['path']}/{key}"
        assert key in rainbow["stringData"]
    assert not set(rainbow["stringData"].values()) & set(environ.values())
    assert made["ports"] == [int(environ["RAINBOW_HTTP"].rpartition(":")[2])]


@pytest.mark.parametrize("path", MINICLUSTERS, ids=relative)
def test_a_stop_fits_the_time_that_kubernetes_gives(path: Path) -> None:
    """The hook is one word, which the operator executes; a stop takes less than 30 s."""
    made = container(path)
    assert made["lifeCycle"]["preStopExec"] == "/usr/local/bin/rainbow-pod-stop"
    assert float(made["environment"]["RAINBOW_GRACE"]) < 30
    assert made["commands"]["post"] == "exit 1"


def test_who_may_reach_rainbow() -> None:
    """MiniClusters have the label that rainbow's network policy lets in, and find its Service."""
    (policy,) = documents(CRD / "rainbow/network-policy.yaml")
    (service,) = documents(CRD / "rainbow/service.yaml")
    label = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    (port,) = service["spec"]["ports"]
    host = f"{service['metadata']['name']}.default.svc.cluster.local:{port['port']}"
    for path in MINICLUSTERS:
        assert label.items() <= minicluster(path)["spec"]["pod"]["labels"].items()
        assert container(path)["environment"]["RAINBOW_HOST"] == host


NAME = re.compile(r"\bRAINBOW_[A-Z][A-Za-z_]*[A-Za-z]\b")
PLACES = [
    *MANIFESTS,
    *(path for path in (ROOT / "docker").rglob("*") if path.is_file()),
    *(path for path in (ROOT / "systemd").rglob("*") if path.is_file()),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "README.md",
]


@pytest.mark.parametrize("path", PLACES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_name_is_a_setting(path: Path) -> None:
    """Each RAINBOW_* name in manifests, images, units and docs is one that the agent knows."""
    names = set(NAME.findall(path.read_text()))
    # What docs say of names that are no settings: examples of such, and rainbow-compspec's.
    names -= {"RAINBOW_SERVICE_HOST", "RAINBOW_AGENT_TEST", "RAINBOW_LOADED", "RAINBOW_NEST_DIR"}
    names = {name for name in names if not name.startswith(("RAINBOW_COMPSPEC", "RAINBOW_TEST"))}
    assert settings.unknown_names(dict.fromkeys(names - {"RAINBOW_STATE"}, "x")) == []
