"""The runner: all probes side by side, none costs another; and the operator's overrides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rainbow_compspec import overrides, probes
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.host import Uname
from rainbow_compspec.reading import Status
from rainbow_compspec.recorded import RecordedHost

Recorded = Callable[[str], RecordedHost]
MadeUp = Callable[..., RecordedHost]


class HangingHost(RecordedHost):
    """A machine on which asking for the size of a file system never comes back."""

    def __init__(self, tree: Path, release: threading.Event) -> None:
        super().__init__(tree)
        self._release = release

    def space(self, path: str) -> None:
        """Waits as a dead file server makes one wait."""
        del path
        self._release.wait()


class BrokenHost(RecordedHost):
    """A machine that surprises us in a way that no probe thought of."""

    def uname(self) -> Uname:
        """Fails as nothing should."""
        raise ZeroDivisionError("surprise")


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets go what hangs, at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_every_probe_answers(recorded: Recorded) -> None:
    """Each probe has a reading, in the order of the registry."""
    readings = probes.run(recorded("x86-two-socket"))
    assert list(readings) == list(probes.PROBES)
    assert all(name == reading.probe for name, reading in readings.items())
    assert not [reading for reading in readings.values() if reading.status is Status.FAILED]


def test_an_empty_machine_stops_no_probe(made_up: MadeUp) -> None:
    """Where nothing can be read, each probe says so for itself."""
    readings = probes.run(made_up())
    assert readings.keys() == probes.PROBES.keys()
    assert readings["cpu"].reason == "cannot read /proc/cpuinfo: not in the recorded tree"
    assert readings["gpu"].status is Status.ABSENT


def test_a_probe_that_hangs_is_left_behind(hosts_folder: Path, release: threading.Event) -> None:
    """It says that it hangs; the others answer."""
    host = HangingHost(hosts_folder / "x86-two-socket", release)
    readings = probes.run(host, limit=3.0)
    assert readings["storage"].status is Status.FAILED
    assert "no answer in 3 s" in readings["storage"].reason
    assert readings["cpu"].status is Status.OK


def test_a_probe_with_a_bug_stops_no_other(hosts_folder: Path) -> None:
    """What no probe thought of is reported with its type."""
    readings = probes.run(BrokenHost(hosts_folder / "x86-two-socket"))
    assert "ZeroDivisionError: surprise" in readings["cpu"].reason
    assert readings["memory"].status is Status.OK


def test_only_and_skip(recorded: Recorded) -> None:
    """`only` chooses, `skip` takes away."""
    host = recorded("plain-vm")
    assert list(probes.run(host, only=["memory", "cpu", "os"], skip=["os"])) == ["cpu", "memory"]


@pytest.mark.parametrize(
    ("only", "skip", "given"), [(["cpus"], [], {}), ([], ["cpus"], {}), ([], [], {"cpus": {}})]
)
def test_an_unknown_probe_is_named(
    only: list[str], skip: list[str], given: dict[str, dict[str, str]], recorded: Recorded
) -> None:
    """A slip of the pen is no silent nothing."""
    with pytest.raises(CompspecError, match=r"'cpus'.*there are .*memory"):
        probes.run(recorded("plain-vm"), only, skip, given)


def test_overrides_from_the_environment() -> None:
    """Two underscores part probe and key, further ones are dots; case does not count."""
    environ = {
        "RAINBOW_COMPSPEC_SET_CPU__MODEL": "Our CPU",
        "RAINBOW_COMPSPEC_SET_gpu__0__model": "H100",
        "RAINBOW_COMPSPEC_DIR": "/code",
    }
    assert overrides.from_environ(environ) == {
        "cpu": {"model": "Our CPU"},
        "gpu": {"0.model": "H100"},
    }


@pytest.mark.parametrize("name", ["CPU", "CPU__", "__MODEL", ""])
def test_an_override_without_a_key_is_refused(name: str) -> None:
    """The message shows how one is written."""
    with pytest.raises(CompspecError, match="cpu__model"):
        overrides.from_environ({overrides.PREFIX + name: "x"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "gpu:\n  count: 2\n  0: {model: H100}\ncpu: {smt: false}\n"),
        ("a.json", '{"gpu": {"count": 2, "0": {"model": "H100"}}, "cpu": {"smt": false}}'),
    ],
)
def test_overrides_from_a_file(name: str, text: str, tmp_path: Path) -> None:
    """YAML and JSON, nested or dotted; every value becomes a string."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert overrides.from_file(tmp_path / name) == {
        "gpu": {"count": "2", "0.model": "H100"},
        "cpu": {"smt": "no"},
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"[1]", "must map probes"),
        ("a.yaml", b"cpu: 3", "cpu: must map keys"),
        ("a.yaml", b"cpu: {model: [1]}", r"cpu\.model: must be one value"),
        ("a.yaml", b"cpu: {model: {a: [1]}}", r"cpu\.model\.a: must be one value"),
        ("a.yaml", b"cpu: {", "not YAML"),
        ("a.json", b"{", "not JSON"),
        ("a.yaml", b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_override(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    """The message names the file and the key."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CompspecError, match=message):
        overrides.from_file(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file and says why."""
    with pytest.raises(CompspecError, match=r"none\.yaml: cannot be read"):
        overrides.from_file(tmp_path / "none.yaml")


def test_the_later_layer_wins() -> None:
    """Key by key, not probe by probe."""
    found = overrides.merged({"cpu": {"a": "1", "b": "1"}}, {"cpu": {"b": "2"}, "os": {"c": "3"}})
    assert found == {"cpu": {"a": "1", "b": "2"}, "os": {"c": "3"}}
