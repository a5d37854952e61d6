"""The Python API: its examples run, what it promises is there, and it loads no gRPC and no Flux."""

from __future__ import annotations

import doctest
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent import api
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.fleet import rainbow_config
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.scheduler_server.server import serve
from support.ledger import REGISTRATION, checked_ledger, news, offer, planned
from support.program import Program
from support.servers import make_graph

ROOT = Path(__file__).parents[2]
MODULES = ("rainbow_agent.api", "rainbow_compspec.api")
#: Loaded by calls that speak with rainbow or Flux, or read the ledger; never by an import.
LATER = ("grpc", "google.protobuf", "flux", "_flux", "stamina", "cryptography", "archspec")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the page has it: a ledger with two jobs, a scheduler with the cluster blue."""
    (tmp_path / "state").mkdir()
    with checked_ledger(tmp_path / "state/ledger.sqlite") as ledger:
        ledger.open_registration(REGISTRATION)
        for number, exit_code in ((1, 0), (2, 3)):
            ledger.record_offers(REGISTRATION.id, [offer(number, "ior")], 1001.0)
            key = JobKey(REGISTRATION.id, number)
            ledger.record_plans([planned(key, "main")], [], 1001.0)
            for state in (TaskState.SUBMITTING, TaskState.SUBMITTED, TaskState.RUNNING):
                ledger.apply([news(key, "main", state, flux_id=number)])
            ledger.mark_accepted(REGISTRATION.id, [number], 1002.0)
            end = TaskState.FAILED if exit_code else TaskState.COMPLETED
            reason = f"exit code {exit_code}" if exit_code else None
            ledger.apply([news(key, "main", end, exit_code=exit_code, reason=reason)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    scheduler = serve("127.0.0.1:0", "secret", "", tmp_path / "rainbow.db")
    host = f"127.0.0.1:{scheduler.port}"
    with closing(RainbowScheduler(host)) as client:
        given = client.register("blue", "secret", make_graph())
    merged = rainbow_config.merge(
        None, host=host, cluster="blue", secret=given.secret, token=given.token
    )
    rainbow_config.save(tmp_path / "rainbow-config.yaml", merged)
    yield tmp_path
    scheduler.stop(0)


@pytest.mark.usefixtures("world")
def test_the_examples_of_the_page_are_true() -> None:
    """docs/python.md shows what is really printed."""
    failed, tried = doctest.testfile(
        str(ROOT / "docs/python.md"), module_relative=False, encoding="utf-8"
    )
    assert (failed, tried > 20) == (0, True)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    """Those in its docstrings."""
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("name", MODULES)
def test_importing_it_loads_nothing_heavy(name: str) -> None:
    """gRPC, Flux and probes are loaded by what needs them."""
    code = f"import sys, json, {name}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert set(LATER) & set(json.loads(done.stdout)) == set()


@pytest.mark.parametrize("name", MODULES)
def test_what_it_promises_is_there(name: str) -> None:
    """Each name of `__all__`, and it has a docstring."""
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__)
    for each in module.__all__:
        assert getattr(module, each).__doc__, each


def test_it_says_what_the_commands_say(world: Path, tmp_path: Path) -> None:
    """The same objects as their JSON."""
    program = Program(tmp_path)
    agent = api.Agent(world / "state")
    assert agent.jobs() == program.show("jobs")
    assert agent.explain("r1/2")["timeline"] == program.show("explain", "2")["timeline"]
    assert agent.status().keys() == program.show("status").keys()


def test_what_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    """A folder, a ledger, a job, a state."""
    with pytest.raises(RainbowAgentError, match=r"no state folder .*/nowhere"):
        api.Agent(tmp_path / "nowhere").status()
    assert api.Agent(tmp_path).jobs() == []
    with pytest.raises(RainbowAgentError, match="there is no ledger"):
        api.Agent(tmp_path).explain(1)
    with pytest.raises(RainbowAgentError, match=r"no state 'done'.*completed"):
        api.Agent(tmp_path).jobs(states=["done"])
    (tmp_path / "wrong.yaml").write_text("[]")
    with pytest.raises(RainbowAgentError, match="mapping"):
        api.Client(tmp_path / "wrong.yaml")
