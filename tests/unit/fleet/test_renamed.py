"""A cluster gets another name over the same state folder."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from rainbow_agent.fleet import rainbow_config
from rainbow_agent.fleet.rainbow_config import RainbowConfig, merge
from rainbow_agent.fleet.renamed import keep_other_names, say_renamed
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from support.common import FakeClock


def config_of(cluster: str) -> RainbowConfig:
    """As the agent writes it once it is registered."""
    return merge(
        None, host="127.0.0.1:1", cluster=cluster, secret=f"secret of {cluster}", token="t"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rainbow-config.yaml"
    rainbow_config.save(path, config_of("blue"))
    return path


def secret_in(path: Path, cluster: str) -> str:
    config = rainbow_config.load(path)
    return config.secret_of(cluster) if config else ""


def test_the_old_names_secret_is_kept(path: Path) -> None:
    """In a file of its own that only its owner reads; the new name begins with none."""
    aside = path.with_name("rainbow-config.blue.yaml")
    assert keep_other_names(path, "green") == [aside]
    assert secret_in(aside, "blue") == "secret of blue"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert secret_in(path, "green") == ""
    rainbow_config.save(path, config_of("green"))
    assert keep_other_names(path, "green") == [aside]


def test_a_name_that_comes_back_gets_its_secret_again(path: Path) -> None:
    """And the other one is put aside in its turn."""
    keep_other_names(path, "green")
    rainbow_config.save(path, config_of("green"))
    assert keep_other_names(path, "blue") == [path.with_name("rainbow-config.green.yaml")]
    assert secret_in(path, "blue") == "secret of blue"


def test_the_same_name_and_a_first_start_change_nothing(path: Path, tmp_path: Path) -> None:
    """There is nothing to put aside."""
    before = path.read_bytes()
    assert keep_other_names(path, "blue") == []
    assert path.read_bytes() == before
    assert keep_other_names(tmp_path / "new" / "rainbow-config.yaml", "blue") == []


def test_a_file_without_a_secret_is_not_kept(path: Path) -> None:
    """It was deregistered: rainbow has no jobs for it."""
    rainbow_config.save(path, RainbowConfig(cluster="blue"))
    assert keep_other_names(path, "green") == []


def test_that_jobs_for_the_old_name_wait_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the name, the file, and what to do; no longer when the file was removed."""
    conditions = Conditions(FakeClock())
    say_renamed(path, "green", conditions)
    (found,) = conditions.current()
    assert found.name == ConditionName.CLUSTER_RENAMED
    for words in (found.reason, caplog.records[-1].getMessage()):
        assert "RAINBOW_CLUSTER=blue" in words
        assert "rainbow-config.blue.yaml" in words
    assert caplog.records[-1].levelno == logging.WARNING
    path.with_name("rainbow-config.blue.yaml").unlink()
    rainbow_config.save(path, config_of("green"))
    again = Conditions(FakeClock())
    say_renamed(path, "green", again)
    assert again.current() == []
