"""compspec-go itself loads our node JSON.

Build it with `go build ./cmd/compspec` in its repository, and put it on PATH.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from rainbow_compspec import node, probes
from rainbow_compspec.recorded import RecordedHost

HOSTS = Path(__file__).parents[1] / "fixtures" / "hosts"


@pytest.fixture(scope="module")
def compspec_go() -> str:
    """The path of compspec-go; PyPI has a program of the same name, which is not meant."""
    program = shutil.which("compspec")
    if program is not None:
        said = subprocess.run(
            [program, "version"], check=False, capture_output=True, text=True, timeout=30
        )
        if "compspec version" in said.stdout:
            return program
    pytest.skip("no compspec-go (`compspec`) on PATH: NOT tested that it can load our node JSON")


def test_create_nodes_loads_ours(compspec_go: str, tmp_path: Path) -> None:
    """Its cluster graph has every node, socket and physical core of ours."""
    folder, out = tmp_path / "nodes", tmp_path / "cluster.json"
    folder.mkdir()
    expected: Counter[str] = Counter(cluster=1, rack=1)
    for tree in sorted(path.parent for path in HOSTS.glob("*/host.json")):
        doc = node.document(probes.run(RecordedHost(tree)), tree.name)
        (folder / f"{tree.name}.json").write_text(node.dumps(doc), encoding="utf-8")
        facts = node.to_facts(doc)
        expected += Counter(node=1, socket=len(facts.sockets), core=len(facts.cores))
    command = f"{compspec_go} create nodes --cluster-name blue --node-dir {folder}"
    subprocess.run(
        [*command.split(), "--nodes-output", str(out)],
        check=True,
        timeout=60,
        capture_output=True,
    )
    nodes = json.loads(out.read_text(encoding="utf-8"))["graph"]["nodes"].values()
    assert Counter(vertex["metadata"]["type"] for vertex in nodes) == expected
