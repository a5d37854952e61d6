"""Upstream's rainbow-config.yaml: read, changed, written so that it is never half there."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet import rainbow_config
from rainbow_agent.fleet.rainbow_config import ClusterAccess, RainbowConfig

#: As upstream's documentation has it.
EXAMPLE = """
scheduler:
  {name: rainbow, secret: peanutbutta,
   algorithms: {selection: {name: random}, match: {name: match}}}
cluster: {name: blue, secret: 468b2c1c}
graphdatabase: {name: memory, options: {host: "127.0.0.1:8080"}}
clusters: [{name: blue, token: jellaytime}]
"""

#: What upstream's schema allows where (rainbow/schema.py, rainbow_config_v1): other keys make its
#: client refuse the file.
ALLOWED = {
    "scheduler": {"name", "secret", "algorithms", "user"},
    "graphdatabase": {"host", "name", "options"},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "rainbow-config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(path: Path) -> RainbowConfig:
    config = rainbow_config.load(path)
    assert config is not None
    return config


def test_upstreams_example_is_read(tmp_path: Path) -> None:
    """Every value of the documented file has its field."""
    config = loaded(write(tmp_path, EXAMPLE))
    assert config.host == "127.0.0.1:8080"
    assert (config.scheduler_name, config.scheduler_secret) == ("rainbow", "peanutbutta")
    assert (config.selection, config.matching) == ("random", "match")
    assert (config.cluster, config.cluster_secret) == ("blue", "468b2c1c")
    assert config.clusters == (ClusterAccess("blue", "jellaytime"),)
    assert config.token_of("blue") == "jellaytime"
    assert config.token_of("green") == ""
    assert config.secret_of("blue") == "468b2c1c"
    assert config.secret_of("green") == ""


def test_no_file_is_no_configuration(tmp_path: Path) -> None:
    """A file that is not there is None, not an error."""
    assert rainbow_config.load(tmp_path / "absent.yaml") is None


def test_the_go_clients_place_of_the_host_is_read(tmp_path: Path) -> None:
    """`graphdatabase.host` counts where the options have none."""
    config = loaded(write(tmp_path, "graphdatabase: {host: 'a:1'}"))
    assert config.host == "a:1"
    config = loaded(write(tmp_path, "graphdatabase: {host: 'a:1', options: {host: 'b:2'}}"))
    assert config.host == "b:2"


def test_a_new_file_is_what_upstream_takes(tmp_path: Path) -> None:
    """Required keys are there, and no key that upstream's schema forbids."""
    path = tmp_path / "new.yaml"
    config = rainbow_config.merge(
        None, host="h:1", cluster="blue", secret="s3", token="t0", scheduler_secret="reg"
    )
    rainbow_config.save(path, config)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document == {
        "scheduler": {
            "name": "rainbow",
            "secret": "reg",
            "algorithms": {"selection": {"name": "random"}, "match": {"name": "match"}},
        },
        "cluster": {"name": "blue", "secret": "s3"},
        "graphdatabase": {"name": "memory", "options": {"host": "h:1"}},
        "clusters": [{"name": "blue", "token": "t0"}],
    }
    for section, allowed in ALLOWED.items():
        assert set(document[section]) <= allowed


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Unknown keys, other clusters and the order of the file survive a registration."""
    path = write(
        tmp_path,
        "extra: [1, {a: b}]\n"
        "scheduler: {name: lab, user: {x: 1},"
        " algorithms: {selection: {name: constraint, options: {priorities: '- priority: 1'}}}}\n"
        "cluster: {name: old, secret: gone, colour: red}\n"
        "graphdatabase: {name: memory, host: 'a:1'}\n"
        "clusters: [{name: green, token: g}, {name: blue, token: before}]\n",
    )
    config = rainbow_config.merge(
        loaded(path), host="b:2", cluster="blue", secret="s", token="after"
    )
    rainbow_config.save(path, config)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(document) == ["extra", "scheduler", "cluster", "graphdatabase", "clusters"]
    assert document["extra"] == [1, {"a": "b"}]
    assert document["scheduler"]["user"] == {"x": 1}
    assert document["scheduler"]["name"] == "lab"
    assert document["scheduler"]["algorithms"]["selection"] == {
        "name": "constraint",
        "options": {"priorities": "- priority: 1"},
    }
    assert document["cluster"] == {"name": "blue", "secret": "s", "colour": "red"}
    assert document["graphdatabase"]["host"] == "b:2"
    assert document["graphdatabase"]["options"]["host"] == "b:2"
    assert document["clusters"] == [
        {"name": "green", "token": "g"},
        {"name": "blue", "token": "after"},
    ]
    assert "secret" not in document["scheduler"]


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"))


@settings(deadline=None)  # it waits for the disk
@given(st.lists(TEXTS.filter(bool), min_size=4, max_size=4))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    """Any values come back as they were, and writing them again changes nothing."""
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    host, cluster, secret, token = texts
    config = rainbow_config.merge(None, host=host, cluster=cluster, secret=secret, token=token)
    rainbow_config.save(path, config)
    again = loaded(path)
    assert replace(again, document={}) == config
    text = path.read_text(encoding="utf-8")
    rainbow_config.save(path, again)
    assert path.read_text(encoding="utf-8") == text


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """Mode 0600, also where the old file was open to all; and no other file is left."""
    path = write(tmp_path, EXAMPLE)
    path.chmod(0o644)
    rainbow_config.save(path, loaded(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """The secret goes where it was configured to go, not where somebody made a link to."""
    target = tmp_path / "theirs.yaml"
    target.write_text("untouched", encoding="utf-8")
    link = tmp_path / "rainbow-config.yaml"
    link.symlink_to(target)
    rainbow_config.save(link, RainbowConfig(cluster_secret="s3"))
    assert target.read_text(encoding="utf-8") == "untouched"
    assert not link.is_symlink()
    assert loaded(link).cluster_secret == "s3"


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs nothing: the old file is whole, no part of the new one stays."""
    path = write(tmp_path, EXAMPLE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        rainbow_config.save(path, RainbowConfig(cluster_secret="s3"))
    assert path.read_text(encoding="utf-8") == EXAMPLE
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error has the path and what to do."""
    with pytest.raises(UsageError, match="RAINBOW_CONFIG"):
        rainbow_config.save(tmp_path / "absent" / "c.yaml", RainbowConfig())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[1]", "mapping"),
        ("", "mapping"),
        ("scheduler: 5", "scheduler"),
        ("scheduler: {secret: 12345678}", "scheduler.secret"),
        ("scheduler: {algorithms: {selection: [s3cret]}}", "scheduler.algorithms.selection"),
        ("cluster: [s3cret]", "cluster"),
        ("cluster: {name: blue, secret: [s3cret]}", "cluster.secret"),
        ("graphdatabase: {options: s3cret}", "graphdatabase.options"),
        ("clusters: {blue: s3cret}", "clusters"),
        ("clusters: [s3cret]", r"clusters\[0\]"),
        ("clusters: [{name: a, token: t}, {name: b, token: 12345678}]", r"clusters\[1\].token"),
        ("clusters: [{token: s3cret}]", r"clusters\[0\].name"),
        ("cluster: {secret: s3cret", "line"),
        ('a: "s3cret', "line"),
        ("a: s3cret\n\tb: c", "line 2"),
        ("\x01s3cret", "YAML"),
    ],
)
def test_a_damaged_file_is_named_with_its_key(tmp_path: Path, text: str, named: str) -> None:
    """The error has path and key, or the line, and never a value: it may be a secret."""
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=named) as caught:
        rainbow_config.load(path)
    assert str(path) in str(caught.value)
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "s3cret" not in shown
    assert "12345678" not in shown


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    """A binary file, and a folder, are errors of ours with the path."""
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    for wrong in (path, tmp_path):
        with pytest.raises(UsageError, match=str(wrong)):
            rainbow_config.load(wrong)


def test_secrets_do_not_show(tmp_path: Path) -> None:
    """A configuration in a log or a traceback holds no secret and no token."""
    shown: Any = repr(loaded(write(tmp_path, EXAMPLE)))
    for secret in ("peanutbutta", "468b2c1c", "jellaytime"):
        assert secret not in shown
