"""spack's packages, from databases of every version and in every condition."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import probes
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.host import Host
from rainbow_compspec.probes import spack, spack_config, spack_database
from rainbow_compspec.reading import Confidence, Status
from rainbow_compspec.recorded import RecordedHost
from rainbow_compspec.text import untokens

Recorded = Callable[[str], RecordedHost]
MadeUp = Callable[..., RecordedHost]

INDEX = "/opt/spack/opt/spack/.spack-db/index.json"


def index(packages: int) -> str:
    """A database of version 8 with many packages."""
    compiler = {"name": "gcc", "version": "13.2.0", "arch": {"target": "zen3"}}
    installs: dict[str, Any] = {"gcc": {"spec": compiler, "installed": True}}
    edge = {"name": "gcc", "hash": "gcc", "parameters": {"virtuals": ["c"]}}
    for number in range(packages - 1):
        spec = {
            "name": f"package-{number:03d}",
            "version": f"1.{number}",
            "arch": {"target": {"name": "zen3"}},
            "dependencies": [edge],
        }
        installs[f"{number:032d}"] = {"spec": spec, "installed": True, "explicit": number % 3 == 0}
    return json.dumps({"database": {"version": "8", "installs": installs}})


@pytest.mark.parametrize("version", spack_database.VERSIONS)
def test_every_version(version: str, spack_folder: Path) -> None:
    """Each version gives names, versions, compilers and targets; what is gone is left out."""
    text = (spack_folder / f"index-v{version}.json").read_text(encoding="utf-8")
    database = spack_database.parse(text)
    found = {package.name: package for package in database.packages}
    assert database.version == version
    assert database.troubles == ()
    assert "hdf5" not in found
    assert set(found) - {"gcc"} == {"ior", "openmpi", "zlib"}
    assert found["ior"].explicit
    assert not found["zlib"].explicit
    assert found["zlib"].target == "zen3"
    assert found["ior"].compiler == ("gcc@13.2.0" if version == "8" else "gcc@12.3.0")
    assert len(found["ior"].hash) == 32


def test_a_spec_older_than_its_database_keeps_its_compiler(spack_folder: Path) -> None:
    """Version 8 keeps the compiler of specs from before in their annotations."""
    text = (spack_folder / "index-v8.json").read_text(encoding="utf-8")
    found = {package.name: package for package in spack_database.parse(text).packages}
    assert found["openmpi"].compiler == "gcc@12.3.0"
    assert found["openmpi"].target == "x86_64_v3"
    assert found["gcc"].compiler == ""


def test_the_machine_with_spack(recorded: Recorded) -> None:
    """Found by SPACK_ROOT, read from its default tree, one entry a package."""
    reading = spack.probe(recorded("x86-two-socket"))
    assert reading.values["tree"] == "/opt/spack/opt/spack"
    assert (reading.values["count"], reading.values["explicit"]) == ("3", "1")
    entries = [untokens(entry) for entry in reading.tables["package"].values()]
    assert {
        "name": "ior",
        "version": "3.3.0",
        "compiler": "gcc@12.3.0",
        "target": "zen3",
        "explicit": "yes",
    } in entries


def test_three_hundred_packages(made_up: MadeUp) -> None:
    """A large tree is read whole."""
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/opt/spack"}, files={INDEX: index(300)}))
    assert reading.values["count"] == "300"
    assert len(reading.tables["package"]) == 300


def test_the_active_environment(made_up: MadeUp, spack_folder: Path) -> None:
    """Packages of the environment are marked; what it wants and lacks is counted."""
    host = made_up(
        environ={"SPACK_ROOT": "/opt/spack", "SPACK_ENV": "/env"},
        files={
            INDEX: (spack_folder / "index-v7.json").read_text(encoding="utf-8"),
            "/env/spack.lock": (spack_folder / "spack.lock").read_text(encoding="utf-8"),
        },
    )
    reading = spack.probe(host)
    entries = {e["name"]: e for e in map(untokens, reading.tables["package"].values())}
    assert entries["ior"]["environment"] == "root"
    assert entries["openmpi"]["environment"] == "dependency"
    assert "environment" not in entries["zlib"]
    assert reading.values["environment.count"] == "2"
    assert reading.values["environment.missing"] == "1"


def test_a_truncated_index_is_told_and_the_environment_still_read(
    made_up: MadeUp, spack_folder: Path
) -> None:
    """The reason names the file and the cure."""
    text = (spack_folder / "index-v7.json").read_text(encoding="utf-8")
    host = made_up(
        environ={"SPACK_ROOT": "/opt/spack", "SPACK_ENV": "/env"},
        files={
            INDEX: text[: len(text) // 2],
            "/env/spack.lock": (spack_folder / "spack.lock").read_text(encoding="utf-8"),
        },
    )
    reading = spack.probe(host)
    assert reading.status is Status.FAILED
    assert INDEX in reading.reason
    assert "spack reindex" in reading.reason
    assert reading.values["environment.missing"] == "3"


def test_one_damaged_record_costs_only_itself(spack_folder: Path) -> None:
    """The others are read, and the trouble is reported."""
    document = json.loads((spack_folder / "index-v7.json").read_text(encoding="utf-8"))
    document["database"]["installs"] |= {
        "x": {"installed": True, "spec": {"name": "x"}},
        "y": {"installed": True},
        "z": [],
        "w": {"installed": True, "spec": {}},
    }
    database = spack_database.parse(json.dumps(document))
    assert [package.name for package in database.packages] == ["ior", "openmpi", "zlib"]
    assert len(database.troubles) == 4


def test_a_damaged_record_is_a_warning(made_up: MadeUp) -> None:
    """The probe is well as long as there are packages."""
    document = json.loads(index(3))
    document["database"]["installs"]["x"] = {"installed": True}
    files = {INDEX: json.dumps(document)}
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/opt/spack"}, files=files))
    assert reading.status is Status.OK
    assert "record x" in reading.warnings[0]


def test_a_version_from_the_future(spack_folder: Path) -> None:
    """It is read as the newest that we know, and that is reported."""
    text = (spack_folder / "index-v8.json").read_text(encoding="utf-8")
    database = spack_database.parse(text.replace('"version": "8"', '"version": "9"'))
    assert len(database.packages) == 4
    assert "'9'" in database.troubles[0]


@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["spec", "installed", "arch", "target", "name", "version", "compiler",
                         "dependencies", "annotations"]), inner, max_size=4)
), max_leaves=12))  # fmt: skip
def test_any_record_is_read_or_told(record: object) -> None:
    """Whatever JSON stands where a record should: no crash."""
    text = json.dumps({"database": {"version": "7", "installs": {"hash": record}}})
    database = spack_database.parse(text)
    assert len(database.packages) + len(database.troubles) <= 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"database": []}', '{"database": {}}'])
def test_what_is_no_database(text: str) -> None:
    """Other files are refused with a reason."""
    with pytest.raises(CompspecError, match=r"not JSON|no spack database"):
        spack_database.parse(text)


CONFIG = "config:\n  install_tree:\n    root: {}\n"


@pytest.mark.parametrize(
    ("environ", "files", "tree"),
    [
        ({}, {}, "/s/opt/spack"),
        ({}, {"/s/etc/spack/config.yaml": CONFIG.format("/data/$user")}, "/data/user"),
        ({}, {"/s/etc/spack/config.yaml": "config:\n  install_tree: $spack/tree\n"}, "/s/tree"),
        ({}, {"/s/etc/spack/config.yaml": "config:\n  install_tree::\n    root:: /b\n"}, "/b"),
        ({}, {"/home/user/.spack/config.yaml": CONFIG.format("~/t")}, "/home/user/t"),
        (
            {"SPACK_DISABLE_LOCAL_CONFIG": "1"},
            {"/home/user/.spack/config.yaml": CONFIG.format("~/t")},
            "/s/opt/spack",
        ),
        (
            {"SPACK_ENV": "/e", "WHERE": "here"},
            {"/e/spack.yaml": "spack:\n  config:\n    install_tree:\n      root: /$WHERE\n"},
            "/here",
        ),
        ({}, {"/etc/spack/config.yaml": CONFIG.format("/sys"),
              "/s/etc/spack/site/config.yaml": CONFIG.format("/site")}, "/site"),
        ({}, {"/s/etc/spack/config.yaml": "install_tree: [not yaml"}, "/s/opt/spack"),
        ({}, {"/s/etc/spack/config.yaml": "install_tree: outside of config"}, "/s/opt/spack"),
    ],
)  # fmt: skip
def test_where_the_install_tree_is(
    environ: dict[str, str], files: dict[str, str], tree: str, made_up: MadeUp
) -> None:
    """Spack's scopes, its variables and the environment's lead to one folder."""
    base = {"SPACK_ROOT": "/s", "HOME": "/home/user"}
    found = spack_config.locate(made_up(environ=base | environ, files=files))
    assert [each.path for each in found.trees] == [tree]


def test_a_padded_tree_is_followed(made_up: MadeUp) -> None:
    """With padded_length the database lies below folders that are only there for their length."""
    pad = "/s/opt/spack/__spack_path_placeholder__/__spack_path_place"
    files = {f"{pad}/.spack-db/index.json": index(2)}
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/s"}, files=files))
    assert reading.values["tree"] == pad
    assert reading.values["count"] == "2"


def test_spack_on_the_path_and_trees_without_spack(made_up: MadeUp) -> None:
    """Without SPACK_ROOT, where its program is counts; then the trees of usual images."""
    (found,) = spack_config.locate(made_up(which={"spack": "/x/bin/spack"})).trees
    assert (found.path, found.origin.confidence) == ("/x/opt/spack", Confidence.DERIVED)
    path = "/opt/software/.spack-db/index.json"
    (found,) = spack_config.locate(made_up(files={path: index(1)})).trees
    assert (found.path, found.origin.confidence) == ("/opt/software", Confidence.GUESSED)


def test_a_fresh_spack_has_no_packages(made_up: MadeUp) -> None:
    """Before the first install there is no database, and that is well."""
    files = {"/s/bin/spack": "#!/bin/sh"}
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/s"}, files=files))
    assert reading.status is Status.OK
    assert reading.values["count"] == "0"


def test_a_spack_that_is_not_there_is_no_empty_spack(made_up: MadeUp) -> None:
    """A wrong $SPACK_ROOT must not tell the fleet that nothing is installed."""
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/s"}))
    assert reading.status is Status.FAILED
    assert "$SPACK_ROOT" in reading.reason


def test_a_database_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    """Not being able to look (here: a folder in its place) is not the same as finding nothing."""
    (tmp_path / "opt/spack/.spack-db/index.json").mkdir(parents=True)
    reading = spack.probe(Host(environ={"SPACK_ROOT": str(tmp_path)}))
    assert reading.status is Status.FAILED
    assert "Is a directory" in reading.reason


def test_no_spack_is_a_normal_answer(made_up: MadeUp) -> None:
    """A machine without spack says so."""
    assert spack.probe(made_up()).status is Status.ABSENT


@pytest.mark.parametrize("text", ["{", "[]", '{"roots": [1], "concrete_specs": {}}', "{}"])
def test_a_damaged_lock_file_is_a_warning(text: str, made_up: MadeUp) -> None:
    """The packages of the tree are read all the same."""
    environ = {"SPACK_ROOT": "/opt/spack", "SPACK_ENV": "/env"}
    reading = spack.probe(
        made_up(environ=environ, files={INDEX: index(2), "/env/spack.lock": text})
    )
    assert reading.values["count"] == "2"
    assert "/env/spack.lock" in reading.warnings[0]


def test_the_override_wins(recorded: Recorded) -> None:
    """The operator can change a package's entry."""
    tree = recorded("x86-two-socket")
    key = next(iter(spack.probe(tree).tables["package"]))
    given_values = {"spack": {f"package.{key}": "name=ior version=9"}}
    reading = probes.run(tree, ["spack"], overrides=given_values)["spack"]
    assert untokens(reading.tables["package"][key])["version"] == "9"
