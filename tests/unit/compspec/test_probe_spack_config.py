"""Where spack's packages are: upstreams, variables in paths, included configuration."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from rainbow_compspec.probes import spack, spack_config
from rainbow_compspec.reading import Reading, Status
from rainbow_compspec.recorded import RecordedHost
from rainbow_compspec.text import untokens

MadeUp = Callable[..., RecordedHost]

CONFIG = "config:\n  install_tree:\n    root: {}\n"
UPSTREAMS = "upstreams:\n  site:\n    install_tree: {}\n"


def named(name: str, version: str, key: str) -> str:
    """A database with one package."""
    record = {"spec": {"name": name, "version": version}, "installed": True}
    return json.dumps({"database": {"version": "8", "installs": {key: record}}})


def packages(reading: Reading) -> set[tuple[str, str]]:
    """Name and version of all that it found."""
    found = [untokens(entry) for entry in reading.tables["package"].values()]
    return {(entry["name"], entry["version"]) for entry in found}


def test_what_an_upstream_installed_is_there(made_up: MadeUp) -> None:
    """Chained installations: each tree's packages, an older version beside a newer one."""
    files = {
        "/s/etc/spack/upstreams.yaml": UPSTREAMS.format("/site"),
        "/home/user/.spack/upstreams.yaml": UPSTREAMS.format("$SITE/tree").replace("site", "more"),
        "/s/opt/spack/.spack-db/index.json": named("ior", "4.0.0", "a"),
        "/site/.spack-db/index.json": named("ior", "3.3.0", "b"),
        "/more/tree/.spack-db/index.json": named("lammps", "2024", "c"),
    }
    environ = {"SPACK_ROOT": "/s", "HOME": "/home/user", "SITE": "/more"}
    reading = spack.probe(made_up(environ=environ, files=files))
    assert packages(reading) == {("ior", "4.0.0"), ("ior", "3.3.0"), ("lammps", "2024")}
    assert reading.values["upstreams"] == "/site /more/tree"
    assert reading.warnings == ()


def test_an_upstream_that_is_not_there_is_told(made_up: MadeUp) -> None:
    """The user's own packages are found all the same."""
    files = {
        "/s/etc/spack/upstreams.yaml": UPSTREAMS.format("/gone"),
        "/s/opt/spack/.spack-db/index.json": named("ior", "4.0.0", "a"),
    }
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/s"}, files=files))
    assert packages(reading) == {("ior", "4.0.0")}
    assert "/gone" in reading.warnings[0]


OS_RELEASE = 'ID="rocky"\nVERSION_ID="9.4"\n'
PASSWD = "root:x:0:0::/root:/bin/sh\nann:x:7:7::/home/ann:/bin/sh\n"


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ("$user_cache_path/install", "/home/user/.spack/install"),
        ("${USER_CACHE_PATH}/x", "/home/user/.spack/x"),
        ("/sw/$operating_system/$target/spack", "/sw/rocky9/zen3/spack"),
        ("/sw/$architecture/spack", "/sw/linux-rocky9-zen3/spack"),
        ("/sw/$platform/spack", "/sw/linux/spack"),
        ("~/sw", "/home/user/sw"),
        ("~ann/sw", "/home/ann/sw"),
    ],
)
def test_variables_of_spack_lead_to_the_tree(written: str, tree: str, made_up: MadeUp) -> None:
    """What only spack could compute is looked for on the disk."""
    files = {
        "/etc/os-release": OS_RELEASE,
        "/etc/passwd": PASSWD,
        "/s/etc/spack/config.yaml": CONFIG.format(f'"{written}"'),
        f"{tree}/.spack-db/index.json": named("ior", "4.0.0", "a"),
    }
    environ = {"SPACK_ROOT": "/s", "HOME": "/home/user"}
    reading = spack.probe(made_up(environ=environ, files=files))
    assert reading.values["tree"] == tree
    assert packages(reading) == {("ior", "4.0.0")}


@pytest.mark.parametrize("written", ["/sw/$nosuch", "/sw/$target", "~nobody-here/sw", "/a/$date"])
def test_a_path_that_is_not_understood_is_a_failure(written: str, made_up: MadeUp) -> None:
    """Never: all is well, and nothing is installed."""
    files = {"/s/etc/spack/config.yaml": CONFIG.format(f'"{written}"'), "/s/bin/spack": "x"}
    reading = spack.probe(made_up(environ={"SPACK_ROOT": "/s", "HOME": "/h"}, files=files))
    assert reading.status is Status.FAILED
    assert "is not understood" in reading.reason
    assert "/s/etc/spack/config.yaml" in reading.reason


@pytest.mark.parametrize(
    "files",
    [
        {
            "/e/spack.yaml": "spack:\n  specs: [ior]\n  include:\n  - site/config.yaml\n",
            "/e/site/config.yaml": CONFIG.format("/t"),
        },
        {
            "/e/spack.yaml": "spack:\n  include:\n  - path: /scope\n",
            "/scope/config.yaml": CONFIG.format("/t"),
        },
        {
            "/s/etc/spack/include.yaml": "include:\n- path: $SITE/scope\n  optional: true\n",
            "/site/scope/include.yaml": "include: [deeper.yaml]\n",
            "/site/scope/deeper.yaml": f"{CONFIG.format('/t')}include: [deeper.yaml, ../scope]\n",
        },
        {"/home/user/.spack/linux/config.yaml": CONFIG.format("/t")},
    ],
    ids=["environment", "scope", "spack-1.0", "platform"],
)
def test_included_configuration_counts(files: dict[str, str], made_up: MadeUp) -> None:
    """Of environments and of scopes; a circle of includes has an end."""
    environ = {"SPACK_ROOT": "/s", "HOME": "/home/user", "SPACK_ENV": "/e", "SITE": "/site"}
    found = spack_config.locate(made_up(environ=environ, files=files))
    assert [tree.path for tree in found.trees] == ["/t"]
    assert found.problems == ()


@pytest.mark.parametrize(
    "entry", ["https://site/config.yaml", "{path: /x, when: 'os == \"rocky9\"'}", "$nosuch/x", "7"]
)
def test_an_include_that_is_not_followed_is_told(entry: str, made_up: MadeUp) -> None:
    """The packages of the tree that is known are read all the same."""
    files = {
        "/e/spack.yaml": f"spack:\n  include:\n  - {entry}\n",
        "/s/opt/spack/.spack-db/index.json": named("ior", "4.0.0", "a"),
    }
    environ = {"SPACK_ROOT": "/s", "HOME": "/h", "SPACK_ENV": "/e"}
    reading = spack.probe(made_up(environ=environ, files=files))
    assert reading.values["count"] == "1"
    assert any("`include`" in warning for warning in reading.warnings)
