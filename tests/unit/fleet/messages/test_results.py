"""Result files: what an agent hands out, and what a sender takes."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.fleet.messages import answers, fetching, results
from rainbow_agent.fleet.messages.answers import Answers
from rainbow_agent.fleet.messages.fetching import ResultFile, Target, read_listing, within
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock
from support.ledger import REGISTRATION, add_job, checked_ledger
from support.senders import CLUSTER

LIMIT = 10_000


def jobspec(folder: Path, *patterns: str) -> str:
    """One with results."""
    return (
        f"version: 1\nattributes: {{cwd: {folder}, results: {list(patterns)}}}\n"
        "resources: {r: {type: node, count: 1}}\ntasks: [{command: [a], resources: r}]\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a job left."""
    root = tmp_path / "job"
    (root / "out").mkdir(parents=True)
    (root / "out" / "a.csv").write_text("alpha")
    (root / "out" / "b.csv").write_bytes(b"")
    (root / "other").write_text("other")
    (tmp_path / "secret").write_text("secret")
    (root / "out" / "link.csv").symlink_to(tmp_path / "secret")
    (root / "out" / "up").symlink_to(tmp_path)
    return root


def listed(folder: Path, limit: int = LIMIT) -> dict[str, Any]:
    """The answer about all results."""
    return results.answer(jobspec(folder, "out/**"), {"ask": "results"}, limit)


def piece(folder: Path, name: object, offset: object = 0) -> dict[str, Any]:
    """The answer about one piece."""
    asked = {"ask": "file", "name": name, "offset": offset}
    return results.answer(jobspec(folder, "out/**"), asked, LIMIT)


def test_results_are_listed_with_size_and_checksum(folder: Path) -> None:
    """Links are none."""
    files, others = read_listing(listed(folder))
    assert files == [
        ResultFile("out/a.csv", 5, hashlib.sha256(b"alpha").hexdigest()),
        ResultFile("out/b.csv", 0, hashlib.sha256(b"").hexdigest()),
    ]
    assert others == []


def test_what_is_more_than_the_operator_wants_is_named(folder: Path) -> None:
    """Smaller files behind it are handed out; with a limit of 0 nothing is."""
    files, others = read_listing(listed(folder, 4))
    assert ([file.name for file in files], others) == (["out/b.csv"], ["out/a.csv"])
    assert "RAINBOW_RESULTS_MAX" in listed(folder, 0)["error"]
    asked = {"ask": "file", "name": "out/a.csv", "offset": 0}
    assert "none of" in results.answer(jobspec(folder, "out/**"), asked, 4)["error"]


def test_a_piece_is_of_a_result_only(folder: Path) -> None:
    """No other file, however it is called, and no link."""
    assert base64.b64decode(piece(folder, "out/a.csv", 2)["data"]) == b"pha"
    for name in ("other", "../secret", "out/../other", str(folder / "out/a.csv"), "out/up/secret"):
        assert "error" in piece(folder, name), name
    assert "error" in piece(folder, "out/link.csv")
    for odd, offset in ((5, 0), ("out/a.csv", "0"), ("out/a.csv", -1), ("out/a.csv", LIMIT + 1)):
        assert "version" in piece(folder, odd, offset)["error"]


def test_what_cannot_be_read_says_why(folder: Path) -> None:
    """A folder that is gone; a job without results."""
    gone = results.answer(jobspec(folder / "gone", "*"), {"ask": "results"}, LIMIT)
    assert "No such file" in gone["error"]
    none = results.answer("version: 1\ntasks: []", {"ask": "results"}, LIMIT)
    assert "attributes.results" in none["error"]


def test_a_file_system_that_does_not_answer_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, and the next one who asks hears it at once."""
    path, hold = tmp_path / "ledger.sqlite", threading.Event()
    monkeypatch.setattr(answers, "RESULTS_WAIT_S", 0.1)

    def hang(*_: object) -> dict[str, Any]:
        hold.wait(300)
        return {"files": [], "left_out": []}

    monkeypatch.setattr(results, "answer", hang)
    with checked_ledger(path) as ledger:
        ledger.open_registration(REGISTRATION)
        key = add_job(ledger, 1)
        settings = Settings(cluster=CLUSTER, state_dir=tmp_path)
        made = Answers(settings, lambda: SqliteLedger.open(path), FakeClock())
        for _ in range(2):
            assert "does not answer" in made.answer(key, {"ask": "results"})["error"]
        hold.set()
        assert made._reading is not None
        made._reading.join()
        assert made.answer(key, {"ask": "results"}) == {"files": [], "left_out": []}


CONTENT = bytes(range(256)) * 40  # 10,240 bytes
FILE = ResultFile("out/deep/x", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setattr(fetching, "PIECE_BYTES", 4096)
    with closing(Target(tmp_path / "here")) as found:
        yield found


def put(target: Target, file: ResultFile, content: bytes, offsets: list[int]) -> None:
    for offset in offsets:
        target.put(file, offset, content[offset : offset + 4096])


def test_a_file_is_in_its_place_when_all_of_it_is_there(target: Target) -> None:
    """Not before; and an interrupted fetch continues, also from half a piece."""
    assert target.missing(FILE) == [0, 4096, 8192]
    put(target, FILE, CONTENT, [0, 4096])
    (begun,) = (target.path / "out" / "deep").iterdir()
    with begun.open("ab") as file:
        file.write(b"half a piece that was cut off")
    assert target.missing(FILE) == [8192]
    assert not target.has(FILE)
    put(target, FILE, CONTENT, [8192])
    target.finish(FILE)
    assert (target.path / FILE.name).read_bytes() == CONTENT
    assert target.has(FILE)
    assert list((target.path / "out" / "deep").iterdir()) == [target.path / FILE.name]
    empty = ResultFile("e", 0, hashlib.sha256(b"").hexdigest())
    assert target.missing(empty) == []
    target.finish(empty)
    assert (target.path / "e").read_bytes() == b""


def test_two_files_with_the_same_bytes_were_begun(target: Target) -> None:
    """Each goes on from where it was: neither takes the other's beginning."""
    one, two = (replace(FILE, name=name) for name in ("out/one", "out/two"))
    put(target, one, CONTENT, [0])
    assert target.missing(one) == [4096, 8192]
    assert target.missing(two) == [0, 4096, 8192]
    for file in (one, two):
        put(target, file, CONTENT, target.missing(file))
        target.finish(file)
        assert (target.path / file.name).read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_taken(target: Target) -> None:
    """Neither one that became shorter nor one with other bytes, and the old one stays."""
    (target.path / "out" / "deep").mkdir(parents=True)
    (target.path / FILE.name).write_text("old")
    with pytest.raises(RainbowAgentError, match="changed at the cluster"):
        target.put(FILE, 8192, b"short")
    put(target, FILE, CONTENT[::-1], [0, 4096, 8192])
    with pytest.raises(RainbowAgentError, match="not what the cluster listed"):
        target.finish(FILE)
    assert (target.path / FILE.name).read_text() == "old"
    assert target.missing(FILE) == [0, 4096, 8192]


def test_a_cluster_cannot_write_outside_of_the_folder(target: Target, tmp_path: Path) -> None:
    """By a name, or by a link that is there already."""
    digest = FILE.sha256
    for name in ("../x", "/etc/x", "a/../../x", "", "a\0"):
        with pytest.raises(RainbowAgentError, match="nothing is fetched"):
            read_listing({"files": [[name, 1, digest]], "left_out": []})
    for files in ([["a", -1, digest]], [["a", 1, "../x"]], [["a", 1]], 5, [["a", "x", digest]]):
        with pytest.raises(RainbowAgentError, match="cluster lists"):
            read_listing({"files": files, "left_out": []})
    (target.path / "out").symlink_to(tmp_path)
    with pytest.raises(RainbowAgentError, match="cannot be written"):
        target.missing(FILE)
    assert list(tmp_path.iterdir()) == [target.path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """As every file that is in the way."""
    (tmp_path / "file").touch()
    with pytest.raises(RainbowAgentError, match="file"):
        Target(tmp_path / "file")


def test_the_senders_limit_leaves_out_what_is_too_much() -> None:
    """Smaller ones behind it fit."""
    files = [ResultFile(str(size), size, "") for size in (5, 50, 4)]
    assert within(files, 10) == ([files[0], files[2]], [files[1]])
