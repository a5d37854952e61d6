"""The agent's own copy of the cluster's secret."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet import rainbow_config
from rainbow_agent.fleet.credentials import ConfigFileStore
from rainbow_agent.fleet.secret_copy import SecretCopy, expect_config
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import load


def copy(folder: Path, cluster: str = "blue", host: str = "rainbow:8080") -> SecretCopy:
    return SecretCopy(folder, cluster=cluster, host=host)


def test_what_is_saved_is_loaded_and_nobody_elses(tmp_path: Path) -> None:
    """It belongs to one cluster of one rainbow, and only its owner can read it."""
    copy(tmp_path).save(Secret("first"))
    copy(tmp_path).save(Secret("second"))
    assert copy(tmp_path).load() == Secret("second")
    assert copy(tmp_path, cluster="green").load() is None
    assert copy(tmp_path, host="other:8080").load() is None
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    copy(tmp_path).remove()
    assert copy(tmp_path).load() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cluster": "blue", "host": "rainbow:8080"}'])
def test_what_is_not_a_copy_is_not_used(tmp_path: Path, text: str) -> None:
    """A file that is cut off or another program's is as good as none."""
    (tmp_path / "cluster-secret.json").write_text(text)
    assert copy(tmp_path).load() is None


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({}, True),
        ({"RAINBOW_CLUSTER": "blue", "RAINBOW_HOST": "rainbow:8080"}, True),
        ({"RAINBOW_CLUSTER": "green"}, False),  # another cluster, which may register
        ({"RAINBOW_HOST": "other:8080"}, False),
    ],
)
def test_a_config_that_is_not_there_is_not_an_unregistered_cluster(
    tmp_path: Path, more: dict[str, str], *, refused: bool
) -> None:
    """A mistyped RAINBOW_CONFIG is an error of its own, before anything is asked of rainbow."""
    path = tmp_path / "raimbow-config.yaml"
    environ = {"RAINBOW_STATE_DIR": str(tmp_path), "RAINBOW_CONFIG": str(path), **more}
    settings = load(environ, hostname="host-1")
    expect_config(settings)  # nothing is registered yet
    copy(tmp_path).save(Secret("ours"))
    if refused:
        with pytest.raises(UsageError, match=f"no file {path} .*RAINBOW_CONFIG names") as caught:
            expect_config(settings)
        assert (caught.value.exit_code, "ours" in str(caught.value)) == (2, False)
    else:
        expect_config(settings)
    path.touch()
    expect_config(settings)


def test_the_store_puts_the_copy_back_and_keeps_the_rest(tmp_path: Path) -> None:
    """What register.py wrote is replaced; tokens of other clusters stay."""
    path = tmp_path / "rainbow-config.yaml"
    hidden: set[str] = set()
    store = ConfigFileStore(
        path=path,
        cluster="blue",
        host="rainbow:8080",
        registration_secret=Secret("registration"),
        hide=hidden.update,
        copy=copy(tmp_path),
    )
    store.save(Credentials("ours", "token-of-blue"))
    path.write_text(path.read_text().replace("ours", "secret-of-green"))
    assert (store.load(), store.copy()) == (Secret("secret-of-green"), Secret("ours"))
    store.put_back(Secret("ours"))
    config = rainbow_config.load(path)
    assert config is not None
    assert (config.cluster_secret, config.token_of("blue")) == ("ours", "token-of-blue")
    assert "ours" in hidden
    store.forget()
    assert (store.load(), store.copy()) == (None, None)
