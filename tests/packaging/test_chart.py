"""The Helm chart: what `rainbow-agent manifest` writes, with values that the agent can use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rainbow_agent.cli.manifest import FIXED
from rainbow_agent.cli.manifest.chart import values_schema
from rainbow_agent.cli.manifest.minicluster import MiniCluster, manifest
from rainbow_agent.runtime.settings import env_name, setting_fields

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/rainbow"
SMALL: dict[str, Any] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "4", "memory": "8Gi"},
}

#: Values of the one cluster, and the same as `manifest` is asked for it.
VARIANTS = [
    pytest.param({"size": 3}, {"size": 3}, id="plain"),
    pytest.param({"interactive": True}, {"interactive": True}, id="interactive"),
    pytest.param({"ownFlux": True, "image": "a/b:c"}, {"own_flux": True, "image": "a/b:c"}),
    pytest.param({"gpus": 2}, {"gpus": 2}, id="gpus"),
    pytest.param(
        {
            "settings": {"keep_jobs": 1_000_000, "poll_max": 2.5, "grace": 20},
            "state": {"cost_per_node_hour": 3},
            "environment": {"SPACK_ENV": "/opt/x y", "ON": "yes"},
        },
        {
            "environ": {
                "RAINBOW_KEEP_JOBS": "1000000",
                "RAINBOW_POLL_MAX": "2.5",
                "RAINBOW_GRACE": "20",
                "RAINBOW_STATE_cost_per_node_hour": "3",
                "SPACK_ENV": "/opt/x y",
                "ON": "yes",
            }
        },
        id="variables",
    ),
]


def values(cluster: dict[str, Any]) -> dict[str, Any]:
    """The chart's values with one cluster `red`."""
    document: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return {**document, "clusters": {"red": cluster}}


def test_the_schema_is_of_the_agents_settings() -> None:
    """It is written by `python -m rainbow_agent.cli.manifest.chart`, and has every setting."""
    text = (CHART / "values.schema.json").read_text()
    assert text == json.dumps(values_schema(), indent=2) + "\n"
    known = values_schema()["definitions"]["cluster"]["properties"]["settings"]["properties"]
    names = {spec.name for spec in setting_fields() if env_name(spec.name) not in FIXED}
    assert known.keys() == names - {"flux_uri"}


@pytest.mark.parametrize(("cluster", "_made"), VARIANTS)
def test_values_that_can_be_used_are_taken(cluster: dict[str, Any], _made: Any) -> None:
    """The chart's own, and those of the tests below."""
    jsonschema.validate(values(cluster), values_schema())
    jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text()), values_schema())


@pytest.mark.parametrize(
    "cluster",
    [
        {"sise": 3},
        {"size": 0},
        {"settings": {"poll_maxx": 2}},
        {"settings": {"poll_max": -1}},
        {"settings": {"poll_max": "often"}},
        {"settings": {"on_lost": "maybe"}},
        {"settings": {"keep_for": 90}},
        {"settings": {"state_dir": "/x"}},
        {"environment": {"RAINBOW_POLL_MAX": 2}},
        {"requests": {"cpu": "lots"}},
    ],
)
def test_a_typo_is_found_before_anything_is_installed(cluster: dict[str, Any]) -> None:
    """Helm checks the values against this schema."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values(cluster), values_schema())


def test_every_line_of_a_manifest_is_in_the_chart() -> None:
    """Of all kinds: so a change of one is a change of both, also where there is no Helm."""
    template = (CHART / "templates/miniclusters.yaml").read_text().splitlines()
    kinds = [
        MiniCluster(name="red"),
        MiniCluster(name="red", interactive=True, gpus=1),
        MiniCluster(name="red", own_flux=True),
    ]
    for made in kinds:
        (text, *_) = manifest(made).split("---\n")
        particular = (
            " red",
            "RAINBOW_HOST:",
            "image: rainbow-",
            "requests: {",
            "limits: {",
            "size:",
        )
        for line in text.splitlines():
            if not any(word in line for word in particular) and "claimName" not in line:
                assert line in template


def helm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm, with a home of its own."""
    if shutil.which("helm") is None:
        pytest.skip("NO helm: the chart was not rendered")
    return subprocess.run(
        ["helm", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )


def rendered(folder: Path, cluster: dict[str, Any], *arguments: str) -> list[dict[str, Any]]:
    """What Helm makes of the chart."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump({"clusters": {"blue": None, "pink": None, "red": cluster}}))
    done = helm(folder, "template", "rainbow", str(CHART), "--values", str(file), *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def by_name(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name, without what only Helm reads."""
    found = {}
    for each in documents:
        annotations = each["metadata"].get("annotations", {})
        if annotations.pop("helm.sh/resource-policy", None) and not annotations:
            del each["metadata"]["annotations"]
        found[each["kind"], each["metadata"]["name"]] = each
    return found


@pytest.mark.parametrize(("cluster", "made"), VARIANTS)
def test_helm_makes_what_manifest_writes(
    tmp_path: Path, cluster: dict[str, Any], made: dict[str, Any]
) -> None:
    """The same documents, whatever the cluster is."""
    written = manifest(MiniCluster(name="red", **SMALL, **made))
    expected = by_name(list(yaml.safe_load_all(written)))
    found = by_name(rendered(tmp_path, cluster, "--set", "rainbow.install=false"))
    assert found == expected


def test_helm_installs_the_scheduler_of_crd(tmp_path: Path) -> None:
    """From the same files; with a storage class, only its claim is another."""
    files = [CHART / f"scheduler/{name}.yaml" for name in ("volume", "scheduler", "service")]
    expected = by_name([each for f in files for each in yaml.safe_load_all(f.read_text())])
    secret = ["--set", "secret.secret=x", "--set", "secret.token=y"]
    found = by_name(rendered(tmp_path, {}, *secret))
    assert expected.items() <= found.items()
    assert found["Secret", "rainbow"]["stringData"] == {"secret": "x", "token": "y"}
    found = by_name(rendered(tmp_path, {}, *secret, "--set", "volumes.storageClass=nfs"))
    assert not [name for kind, name in found if kind == "PersistentVolume"]
    claims = [each for (kind, _), each in found.items() if kind == "PersistentVolumeClaim"]
    assert {each["spec"]["storageClassName"] for each in claims} == {"nfs"}
    assert len(claims) == 3


def test_helm_finds_no_fault_in_the_chart(tmp_path: Path) -> None:
    """Its own check, with warnings as errors."""
    done = helm(tmp_path, "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_helm_refuses_a_setting_that_is_none(tmp_path: Path) -> None:
    """With its name, before anything is installed."""
    wrong = "clusters.red.settings.poll_maxx=2"
    done = helm(tmp_path, "template", "rainbow", str(CHART), "--set", wrong)
    assert (done.returncode != 0, "poll_maxx" in done.stderr) == (True, True)


def test_a_packed_chart_is_the_same(tmp_path: Path) -> None:
    """`helm package` takes what the link in it leads to."""
    done = helm(tmp_path, "package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (packed,) = tmp_path.glob("rainbow-*.tgz")
    made = [helm(tmp_path, "template", "rainbow", str(each)).stdout for each in (CHART, packed)]
    assert (
        made[0] == made[1],
        "kind: StatefulSet" in made[0] or "kind: Deployment" in made[0],
    ) == (
        True,
        True,
    )
