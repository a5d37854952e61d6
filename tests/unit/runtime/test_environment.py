"""What jobs see of the host's environment, and what PYTHONPATH may do to the agent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.runtime.environment import demote_python_path, job_environment


def test_the_operators_environment_is_handed_on() -> None:
    """PYTHONPATH, PATH and an activated virtual environment are part of it."""
    host = {
        "PATH": "/opt/venv/bin:/usr/bin",
        "PYTHONPATH": ":/mnt/flux/view/lib/python3.11/site-packages",
        "VIRTUAL_ENV": "/opt/venv",
        "FLUX_MODULE_PATH": "/usr/lib/flux/lib/flux/modules",
        "CLUSTER_NAME": "blue",
    }
    assert job_environment(host) == host


@pytest.mark.parametrize(
    "name",
    [
        "RAINBOW_SECRET",
        "RAINBOW_STATE_cost",
        "FLUX_URI",
        "FLUX_KVS_NAMESPACE",
        "FLUX_PROXY_REMOTE",
        "FLUX_JOB_ID",
        "FLUX_TASK_RANK",
        "PMI_RANK",
        "PMIX_NAMESPACE",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
        "SYSTEMD_EXEC_PID",
        "MEMORY_PRESSURE_WATCH",
    ],
)
def test_what_is_the_agents_own_is_not(name: str) -> None:
    """Its settings, its instance's variables, its supervisor's messages."""
    assert job_environment({name: "value", "HOME": "/root"}) == {"HOME": "/root"}


def test_a_secret_is_not_handed_on_under_another_name() -> None:
    """Neither as a whole value nor inside one."""
    host = {
        "MY_COPY": "correct horse",
        "CONNECTION": "rainbow://correct horse@host",
        "HOME": "/root",
    }
    assert job_environment(host, ["correct horse"]) == {"HOME": "/root"}


def test_a_short_secret_hides_only_values_that_equal_it() -> None:
    """A secret like `1` must not empty the environment."""
    host = {"COPY": "1", "LEVEL": "11", "HOME": "/root"}
    assert job_environment(host, ["1", ""]) == {"LEVEL": "11", "HOME": "/root"}


def test_a_value_that_no_jobspec_can_hold_is_left_out() -> None:
    """Bytes that are no UTF-8 would make Flux refuse every job."""
    assert job_environment({"LATIN": "caf\udce9", "HOME": "/root"}) == {"HOME": "/root"}


def test_a_virtual_environment_of_the_agents_own_leaves_no_trace() -> None:
    """A wrapper that activates one for the agent does so for the agent alone."""
    host = {"VIRTUAL_ENV": "/agent", "VIRTUAL_ENV_PROMPT": "agent", "PATH": "/agent/bin:/usr/bin"}
    assert job_environment(host, venv="/agent") == {"PATH": "/usr/bin"}
    assert job_environment(host, venv="/other") == host


@given(
    st.dictionaries(st.text(max_size=12), st.text(max_size=30)),
    st.lists(st.text(min_size=8, max_size=12), max_size=3),
)
def test_no_secret_is_ever_handed_on(host: dict[str, str], secrets: list[str]) -> None:
    """Whatever the host's environment looks like."""
    host = {**host, "LEAK": "".join(secrets)}
    values = job_environment(host, secrets).values()
    assert not any(secret in value for secret in secrets for value in values)


def test_a_flux_view_on_pythonpath_comes_last() -> None:
    """The agent's own packages are found before those of another Python."""
    path = ["/venv/bin", "/work", "/mnt/view", "/usr/lib/python3.11", "/venv/site-packages"]
    demote_python_path(path, ":/mnt/view", cwd="/work")
    assert path == ["/venv/bin", "/usr/lib/python3.11", "/venv/site-packages", "/mnt/view"]


def test_a_search_path_without_pythonpath_stays() -> None:
    """Also the current folder, where Python put it for another reason."""
    path = ["/work", "/usr/lib/python3.11"]
    demote_python_path(path, "", cwd="/work")
    assert path == ["/work", "/usr/lib/python3.11"]
