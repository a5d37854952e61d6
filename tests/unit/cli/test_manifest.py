"""`manifest`: what it writes is what was asked for, and the agent understands it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from rainbow_agent.cli import main
from rainbow_agent.cli.manifest.minicluster import MiniCluster, manifest, scalar
from rainbow_agent.runtime import settings

PRINTABLE = st.text(st.characters(exclude_categories=["Cs"]))


def written(*arguments: str) -> list[dict[str, Any]]:
    """The documents."""
    done = CliRunner().invoke(main, ["manifest", "--name", "blue", *arguments])
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.output))


def refused(*arguments: str) -> str:
    """What it says; it has to fail, with status 2, and write nothing."""
    done = CliRunner().invoke(main, ["manifest", "--name", "blue", *arguments])
    assert done.exit_code == 2
    assert done.stdout == ""
    return done.stderr


def container(*arguments: str) -> dict[str, Any]:
    (found,) = written(*arguments)[0]["spec"]["containers"]
    return dict(found)


@given(PRINTABLE)
def test_any_text_is_one_scalar(text: str) -> None:
    """On one line, and the same text in a mapping and inside of braces."""
    made = scalar(text)
    assert "\n" not in made
    assert yaml.safe_load(f"a: {made}\n") == {"a": text}
    assert yaml.safe_load(f"{{a: {made}, b: c}}\n") == {"a": text, "b": "c"}


@example({"ON": "yes", "NO": "no", "Y": "y", "NULL": "null"})
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), PRINTABLE))
def test_variables_arrive_as_they_were_given(environ: dict[str, str]) -> None:
    """Numbers and words that YAML has its own ideas of included."""
    made = MiniCluster(name="blue", environ=environ)
    (found,) = next(iter(yaml.safe_load_all(manifest(made))))["spec"]["containers"]
    assert environ.items() <= found["environment"].items()


def test_the_agent_is_told_where_everything_is() -> None:
    """Name, rainbow and namespace go into its settings, and its settings into the volumes."""
    cluster, *volumes = written("--size", "3", "--namespace", "hpc", "--env", "RAINBOW_POLL_MAX=2")
    (found,) = cluster["spec"]["containers"]
    environ = {n: v for n, v in found["environment"].items() if not n.endswith("_FILE")}
    loaded = settings.load(environ)
    assert loaded.warnings == ()
    assert (loaded.cluster, loaded.poll_max) == ("blue", 2.0)
    assert loaded.host == "rainbow.hpc.svc.cluster.local:8080"
    assert cluster["spec"]["size"] == 3
    assert {each["kind"] for each in volumes} == {"PersistentVolume", "PersistentVolumeClaim"}
    for each in volumes:
        namespace = each["metadata"].get("namespace") or each["spec"]["claimRef"]["namespace"]
        assert namespace == "hpc"
    assert cluster["metadata"]["namespace"] == "hpc"


def test_a_storage_class_needs_no_volumes_of_ours() -> None:
    """Kubernetes makes them."""
    documents = written("--storage-class", "nfs")
    assert [each["kind"] for each in documents] == ["MiniCluster", *["PersistentVolumeClaim"] * 2]
    assert {each["spec"]["storageClassName"] for each in documents[1:]} == {"nfs"}


def test_what_pods_ask_for() -> None:
    """What is not given keeps its default; GPUs are asked for and limited."""
    found = container("--request", "cpu=100m", "--limit", "memory=2Gi", "--gpus", "2")
    assert found["resources"] == {
        "requests": {"cpu": "100m", "memory": "1Gi", "nvidia.com/gpu": "2"},
        "limits": {"cpu": "4", "memory": "2Gi", "nvidia.com/gpu": "2"},
    }


def test_kinds_of_miniclusters() -> None:
    """Interactive: the agent is beside the broker, as the one command; own Flux: no view."""
    plain, interactive = container(), container("--interactive")
    assert (plain["command"], plain["launcher"]) == ("rainbow-pod-start", True)
    assert "brokerPre" not in plain["commands"]
    assert "command" not in interactive
    assert "rainbow-pod-start" in interactive["commands"]["brokerPre"]
    leaving = container("--deregister")
    assert (leaving["command"], leaving["launcher"]) == ("rainbow-agent deregister", True)
    assert leaving["commands"] == {"post": "exit $?"}
    assert leaving["volumes"] == plain["volumes"]
    assert written("--own-flux")[0]["spec"]["flux"]["container"] == {"disable": True}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "RAINBOW_POLL_MAXX=2"], "did you mean RAINBOW_POLL_MAX?"),
        (["--env", "RAINBOW_POLL_MAX=often"], "is not a number of seconds"),
        (["--env", "RAINBOW_SECRET=xyzzy"], "everybody can read a manifest"),
        (["--env", "RAINBOW_STATE_DIR=/x"], "it is where the volume is"),
        (["--env", "X"], "is not NAME=VALUE"),
        (["--env", "a b=c"], "not a name of a variable"),
        (["--request", "cpu=lots"], "not a quantity"),
        (["--name", "Blue Cluster"], "Blue Cluster"),
        (["--rainbow", "http://x"], "http://x"),
        (["--size", "0"], "0"),
        (["--size", "2", "--deregister"], "one node"),
    ],
)
def test_what_cannot_be_used_is_said(arguments: list[str], words: str) -> None:
    """Before anything is written: what is wrong, and what to do."""
    said = refused(*arguments)
    assert words in said
    assert "xyzzy" not in said
