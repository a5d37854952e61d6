"""Which state folder a verb is about: a wrong one is an error, and never an empty cluster."""

from __future__ import annotations

import errno
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rainbow_agent.cli import main
from rainbow_agent.storage import agent_lock, drain_file, runtime_file

#: Verbs that look, and verbs that write.
LOOKING = (["status"], ["jobs"], ["jobs", "1"], ["explain", "1"], ["logs", "1"])
WRITING = (["drain"], ["resume"], ["cancel", "1"], ["log-level", "debug"])

Verb = Callable[..., Result]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Verb:
    """Runs a verb; the default state folder is below the test's own folder."""
    for name in [name for name in os.environ if name.startswith("RAINBOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))  # root's is /var/lib's else
    monkeypatch.setattr("rainbow_agent.runtime.service._BOOTED", tmp_path / "no systemd")

    def run(*words: str, folder: Path | None = None) -> Result:
        given = ["--state-dir", str(folder)] if folder else []
        return CliRunner().invoke(main, [*words, *given], prog_name="rainbow-agent")

    return run


@pytest.mark.parametrize("words", [*LOOKING, *WRITING], ids=" ".join)
def test_a_folder_that_is_given_and_is_none_is_an_error(
    verb: Verb, words: list[str], tmp_path: Path
) -> None:
    """A file, or nothing at all: wrong usage, with the name of it."""
    file = tmp_path / "file"
    file.touch()
    found = verb(*words, folder=file)
    assert (found.exit_code, found.stdout) == (2, "")
    assert f"{file} (from flag --state-dir) is not a folder" in found.stderr
    nowhere = tmp_path / "nowhere"
    found = verb(*words, folder=nowhere)
    assert (found.exit_code, found.stdout) == (2, "")
    assert f"there is no state folder {nowhere}" in found.stderr
    assert not nowhere.exists()


@pytest.mark.parametrize("words", [*LOOKING, *WRITING], ids=" ".join)
def test_every_verb_names_the_folder_that_it_looked_at(
    verb: Verb, words: list[str], tmp_path: Path
) -> None:
    """Where nothing has happened yet, it may be the wrong one."""
    found = verb(*words, folder=tmp_path)
    assert str(tmp_path) in found.output
    assert (found.exit_code == 0) == (words == ["jobs"])


@pytest.mark.parametrize("words", [["drain"], ["resume"]], ids=" ".join)
def test_drain_and_resume_are_for_a_daemon_that_runs(
    verb: Verb, words: list[str], tmp_path: Path
) -> None:
    """Elsewhere it would go unnoticed: only with --offline."""
    found = verb(*words, folder=tmp_path)
    assert found.exit_code == 2
    assert f"no daemon is using {tmp_path}" in found.stderr
    assert f"rainbow-agent {words[0]} --state-dir {tmp_path} --offline`" in found.stderr
    assert drain_file.read_drain(tmp_path) is None
    assert verb(*words, "--offline", folder=tmp_path).exit_code == 0
    assert (drain_file.read_drain(tmp_path) is not None) == (words == ["drain"])


def test_a_drain_before_the_first_start_makes_the_default_folder(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Private, as the daemon would make it; one that was named and is not there is mistyped."""
    folder = tmp_path / "state"
    monkeypatch.setattr(
        "rainbow_agent.runtime.setting_defaults.default_state_dir", lambda _: folder
    )
    found = verb("drain", "--offline")
    assert found.exit_code == 0
    assert f"From its next start on, the daemon of {folder} takes no new jobs" in found.stdout
    assert folder.stat().st_mode & 0o777 == 0o700
    assert verb("resume", "--offline").exit_code == 0
    assert drain_file.read_drain(folder) is None
    mistyped = tmp_path / "stat"
    found = verb("drain", "--offline", folder=mistyped)
    assert (found.exit_code, mistyped.exists()) == (2, False)
    assert f"there is no state folder {mistyped}" in found.stderr


@pytest.mark.parametrize(
    "words",
    [["jobs"], ["history", "export"], ["jobs", "1"], ["explain", "1"], ["logs", "1"]],
    ids=" ".join,
)
def test_without_a_ledger_it_is_not_only_empty(
    verb: Verb, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That there is none is said, with where it was looked for and what to name."""
    folder = tmp_path / "nowhere"
    monkeypatch.setattr(
        "rainbow_agent.runtime.setting_defaults.default_state_dir", lambda _: folder
    )
    found = verb(*words)
    assert f"there is no ledger in {folder} (from default)" in found.stderr
    assert "RAINBOW_STATE_DIR" in found.stderr
    assert (found.exit_code == 0) == (words[-1] != "1")


def test_drain_names_the_cluster_of_the_daemon(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the shell."""
    runtime_file.write_runtime(tmp_path, {"settings": {"cluster": "teal"}})
    monkeypatch.setenv("RAINBOW_CLUSTER", "xyz")
    lock = agent_lock.Lock.take(tmp_path, agent_lock.Holder(1, 1.0))
    found = verb("drain", folder=tmp_path)
    lock.release()
    assert "Cluster teal takes no new jobs" in found.stdout


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with a ledger and a configuration that this user may not open."""
    (tmp_path / "ledger.sqlite").write_text("not to be opened")
    (tmp_path / "rainbow-config.yaml").write_text("{}")
    really = os.access

    def access(path: str | Path, mode: int, **kwargs: bool) -> bool:
        mine = not str(path).startswith(str(tmp_path))
        return mine and really(path, mode, **kwargs)

    def read_text(path: Path, *args: str, **kwargs: str) -> str:
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_read(path, *args, **kwargs)

    really_read = Path.read_text
    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(Path, "read_text", read_text)
    return tmp_path


ME = pwd.getpwuid(os.geteuid()).pw_name
WHOSE = f"belongs to {ME}: run `" + (f"sudo -u {ME} " if os.geteuid() else f"runuser -u {ME} -- ")


@pytest.mark.parametrize(
    "words",
    [["jobs"], ["status"], ["explain", "1"], ["logs", "1"], ["cancel", "1"], ["drain"]],
)
def test_another_users_folder_has_one_answer(verb: Verb, words: list[str], closed: Path) -> None:
    """Whose it is, and the command that works."""
    found = verb(*words, folder=closed)
    assert found.exit_code == 2
    assert f"error: state folder {closed} {WHOSE}" in found.stderr
    assert f"rainbow-agent {' '.join(words)} --state-dir {closed}`" in found.stderr


def test_doctor_looks_at_the_rest_where_the_folder_is_another_users(
    verb: Verb, closed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It advises to repair nothing, skips what is in there, and writes its bundle."""
    bundle = tmp_path_factory.mktemp("bundle") / "b.tar.gz"
    found = verb("doctor", "--bundle", str(bundle), "-o", "json", folder=closed)
    lines = {line["check"]: line for line in json.loads(found.stdout)}
    assert lines["state"]["fault"] == "state-other-user"
    assert WHOSE in lines["state"]["text"]
    assert {lines[check]["level"] for check in ("flux", "job", "ledger", "daemon")} == {"skip"}
    assert f"rainbow-agent doctor --bundle {bundle} -o json" in lines["state"]["text"]
    assert lines["secrets"]["level"] == "skip"
    assert "epair" not in found.stdout
    assert bundle.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_root_writes_nothing_into_another_users_folder(
    verb: Verb, words: list[str], tmp_path: Path
) -> None:
    """The daemon could not read it; the error says how to run the verb."""
    os.chown(tmp_path, 4321, 4321)
    found = verb(*words, folder=tmp_path)
    assert found.exit_code == 2
    assert f"state folder {tmp_path} belongs to user 4321" in found.stderr
    assert "sudo -u '#4321'" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_need_not_be_there(verb: Verb) -> None:
    """Before the first start, nothing has run, and that is said."""
    found = verb("jobs")
    assert found.exit_code == 0
    assert "No jobs in " in found.stdout
    found = verb("status")
    assert found.exit_code == 1
    assert found.stdout.startswith("stopped  no daemon has run on ")
