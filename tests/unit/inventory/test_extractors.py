"""Ranks describe themselves: what they say is read, what goes wrong is distinguished."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.notation import idset
from rainbow_agent.inventory import describe_node, extractors
from rainbow_agent.inventory.early_words import EarlyWords, child_environment
from rainbow_agent.inventory.extractors import FluxExtractor, LocalExtractor
from rainbow_agent.inventory.survey import NodeAnswer
from rainbow_agent.runtime.stop import Stop
from rainbow_compspec import node
from support.nodes import node_json


def echoed(line: str) -> str:
    """The shell's command that says a line; on standard error after "! "."""
    return f"echo {shlex.quote(line.removeprefix('! '))}{' >&2' if line[:2] == '! ' else ''}"


class Flux:
    """A `flux` command that says what a test wants, and remembers how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = "4"
        self.lines: list[str] = []
        self.after = ""

    @property
    def path(self) -> str:
        """Of the command."""
        return str(self.folder / "flux")

    def ask(
        self,
        *ranks: int,
        limit: float = 5.0,
        stop: Stop | None = None,
        early: EarlyWords | None = None,
    ) -> list[NodeAnswer]:
        """What ranks answer."""
        self.write()
        extractor = FluxExtractor(self.path, dict(os.environ), limit, early=early)
        return list(extractor.ask(ranks, stop or Stop()))

    def write(self) -> None:
        """Write the command that says it."""
        text = "\n".join(map(echoed, self.lines))
        path = Path(self.path)
        path.write_text(
            f"#!/bin/sh\nif [ $1 = getattr ]; then echo {self.size}; exit; fi\n"
            f'printf "%s\\n" "$@" > {self.folder}/called\n{text}\n{self.after}\n'
        )
        path.chmod(0o755)

    def called(self) -> list[str]:
        """The arguments of `flux exec`."""
        return (self.folder / "called").read_text().splitlines()


@pytest.fixture
def flux(tmp_path: Path) -> Flux:
    return Flux(tmp_path)


def spoken(rank: int, text: str) -> list[str]:
    """The lines of a rank that says this."""
    return [f"{rank}: {line}" for line in describe_node.pack(text)]


def said(*lines: str) -> EarlyWords:
    """An early command that says this; "! " before what goes to standard error."""
    return EarlyWords(["sh", "-c", "; ".join(map(echoed, lines))], dict(os.environ), 60.0, Stop())


@given(st.text(max_size=50_000))
def test_every_text_arrives_as_it_was(text: str) -> None:
    """Whatever is in it, in lines that a label can be put before."""
    *parts, end = describe_node.pack(text)
    words = [part.split(" ", 1) for part in [*parts, end]]
    assert all(len(part) < 9000 and part.isascii() for part in parts)
    assert describe_node.unpack([rest for _, rest in words[:-1]], words[-1][1]) == text


@pytest.mark.parametrize("damage", ["cut", "changed", "longer", "no base64"])
def test_a_damaged_text_is_told(damage: str) -> None:
    """Never half a node."""
    part = next(describe_node.pack(node_json("blue-0"))).split(" ", 1)[1]
    length = str(len(part))
    broken = {
        "cut": part[:-4],
        "changed": ("B" if part[40] == "A" else "A").join((part[:40], part[41:])),
        "longer": part + "AAAA",
        "no base64": "*" * len(part),
    }[damage]
    with pytest.raises(ValueError, match=r"came"):
        describe_node.unpack([broken], length)


def test_a_text_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes can be packed gigabytes."""
    monkeypatch.setattr(describe_node, "_MAX_TEXT_BYTES", 1000)
    *parts, end = (line.split(" ", 1)[1] for line in describe_node.pack("x" * 100_000))
    with pytest.raises(ValueError, match="longer than 1000"):
        describe_node.unpack(parts, end)


def test_ranks_are_read_however_their_lines_come_mixed(flux: Flux) -> None:
    """Each by its label; all are asked with one command."""
    texts = [node_json(f"blue-{rank}") for rank in range(3)]
    spoken_by = [spoken(rank, text) for rank, text in enumerate(texts)]
    flux.lines = [line for step in zip(*spoken_by, strict=True) for line in step]
    assert flux.ask(0, 1, 2) == [NodeAnswer(rank, text) for rank, text in enumerate(texts)]
    assert flux.called()[:5] == ["exec", "-n", "-r", "0-2", "--label-io"]


def test_what_else_a_rank_prints_is_not_its_answer(flux: Flux) -> None:
    """A library that greets, a warning of Python's."""
    text = node_json("blue-0")
    flux.lines = ["0: hello", "! 0: a warning", *spoken(0, text), "7: who are you?", "no label"]
    assert flux.ask(0) == [NodeAnswer(0, text)]


def test_a_rank_that_cannot_be_described_says_why(flux: Flux) -> None:
    """It answered: no agent there, a program that failed, a wrong override."""
    flux.lines = [
        "! flux-exec: Error: rank 0: /opt/python: error launching process: No such file",
        "! 1: ModuleNotFoundError: No module named 'rainbow_agent'",
        f"2: {describe_node.PROBLEM} override for 'gpuu': no such probe",
        f"3: {describe_node.END} 17",
    ]
    answers = flux.ask(0, 1, 2, 3)
    assert not any(answer.silent or answer.text for answer in answers)
    for answer, words in zip(
        answers, ("No such file", "ModuleNot", "gpuu", "17 came"), strict=True
    ):
        assert words in answer.problem


def test_a_rank_that_says_nothing_is_silent(flux: Flux) -> None:
    """Also one that Flux cannot reach any more."""
    flux.lines = [*spoken(0, node_json("blue-0")), "! flux-exec: Error: rank 2: No route to host"]
    first, second, third = flux.ask(0, 1, 2)
    assert first.text
    assert (second.silent, second.problem) == (True, "no answer within 5 s")
    assert (third.silent, third.problem) == (True, "No route to host")


def test_one_that_hangs_costs_only_itself(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' answers count when the time is up."""
    monkeypatch.setattr(extractors, "SLACK_S", 0.1)
    flux.lines, flux.after = spoken(0, node_json("blue-0")), "exec sleep 1000"
    first, second = flux.ask(0, 1, limit=0.5)
    assert first.text
    assert second.silent


def test_a_stop_ends_the_command(flux: Flux) -> None:
    """At once, and with it what it started."""
    stop = Stop()
    stop.set("the test stops it")
    flux.after = "exec sleep 1000"
    assert [answer.silent for answer in flux.ask(0, limit=500, stop=stop)] == [True]


def test_made_up_ranks_have_no_broker_to_ask(flux: Flux) -> None:
    """They answer nothing and are no mystery."""
    flux.size = "1"
    flux.lines = spoken(0, node_json("blue-0"))
    first, second = flux.ask(0, 999)
    assert first.text
    assert (second.silent, second.problem) == (False, "made up: no broker runs there")
    assert "0" in flux.called()


def test_a_flux_command_that_fails_costs_no_node(flux: Flux, tmp_path: Path) -> None:
    """The ranks run jobs all the same; the reason is shown at each."""
    flux.lines = ["! flux-exec: ERROR: flux_open: no such socket"]
    assert [(a.silent, "no such socket" in a.problem) for a in flux.ask(0, 1)] == [
        (False, True)
    ] * 2
    gone = FluxExtractor(str(tmp_path / "gone"), {}, 1.0)
    (answer,) = gone.ask([0], Stop())
    assert "cannot be started" in answer.problem
    assert not answer.silent


def test_a_rank_that_never_ends_talking_is_bounded(
    flux: Flux, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long is dropped, and so is a line without an end."""
    monkeypatch.setattr(describe_node, "MAX_PACKED_LENGTH", 1000)
    flux.lines = [f"0: {describe_node.PART} {'A' * 600}"] * 10 + ["0: " + "x" * 100_000]
    flux.lines.append(f"0: {describe_node.END} 6000")
    (answer,) = flux.ask(0)
    assert "1200 characters of 6000 came" in answer.problem


def test_this_machine_describes_itself() -> None:
    """As rank 0, in a process of its own that nothing from here leaks into."""
    environ = child_environment({**os.environ, "PYTHONPATH": "/nowhere"}, frozenset())
    (answer,) = LocalExtractor(environ, 30.0).ask([0], Stop())
    facts = node.to_facts(node.loads(answer.text))
    assert facts.cores
    assert facts.name


def test_what_was_begun_early_is_the_first_answer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start does two things at once; later answers are as fresh as any."""
    environ = child_environment(os.environ, frozenset())
    early = EarlyWords(describe_node.command(30.0), environ, 30.0, Stop())
    local = LocalExtractor(environ, 30.0, early)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    first = list(local.ask([0], Stop()))
    assert node.to_facts(node.loads(first[0].text)).cores
    (second,) = local.ask([0], Stop())
    assert "cannot start" in second.problem


def test_ranks_that_had_nothing_to_say_early_are_asked_again(flux: Flux) -> None:
    """Broker 1 came up meanwhile; broker 0 is not asked twice."""
    early = said("! flux-exec: Error: rank 1: No route to host", *spoken(0, node_json("blue-0")))
    flux.lines = spoken(1, node_json("blue-1"))
    assert flux.ask(0, 1, early=early) == [
        NodeAnswer(0, node_json("blue-0")),
        NodeAnswer(1, node_json("blue-1")),
    ]
    assert flux.called()[:4] == ["exec", "-n", "-r", "1"]


def test_an_early_command_that_fails_is_not_the_answer(flux: Flux) -> None:
    """Neither one that cannot be started nor one that hears nothing of Flux."""
    gone = EarlyWords(["/nowhere/flux"], {}, 5.0, Stop())
    flux.lines = spoken(0, node_json("blue-0"))
    for early in (gone, said("! flux-exec: ERROR: flux_open: no such socket")):
        assert flux.ask(0, early=early) == [NodeAnswer(0, node_json("blue-0"))]


def test_an_early_command_ends_when_it_is_not_needed() -> None:
    """Another daemon holds the state folder, or a stop came."""
    early = EarlyWords(["sleep", "1000"], dict(os.environ), 1000.0, Stop())
    early.close()
    assert list(early.take()) == []


def test_software_that_came_while_a_rank_was_asked_early_is_a_change(flux: Flux) -> None:
    """Its stamp is another one as soon as the early answer was read."""
    early = said(*spoken(0, node_json("blue-0")))
    flux.lines = ["0: /a 17 3 99", f"1: /a 17 3 {int(early.began)}"]
    flux.write()
    extractor = FluxExtractor(flux.path, dict(os.environ), 5.0, [Path("/a")], early)
    before = extractor.stamps([0, 1], Stop())
    list(extractor.ask([0], Stop()))
    after = extractor.stamps([0, 1], Stop())
    assert [rank for rank in (0, 1) if before[rank] != after[rank]] == [1]


def test_a_broken_python_path_breaks_nothing(tmp_path: Path) -> None:
    """A yaml or click of a flux view must not be what the ranks import."""
    (tmp_path / "click.py").write_text("raise SystemError('the wrong click')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    (answer,) = LocalExtractor(environ, 30.0).ask([0], Stop())
    assert answer.problem == ""


def test_an_override_reaches_the_description_and_a_wrong_one_is_told() -> None:
    """RAINBOW_COMPSPEC_SET_... is the operator's last word."""
    given_ = {**os.environ, "RAINBOW_COMPSPEC_SET_CPU__MODEL": "Abacus", "RAINBOW_SECRET": "hush"}
    environ = child_environment(given_, frozenset({"hush"}))
    assert "RAINBOW_SECRET" not in environ
    (answer,) = LocalExtractor(environ, 30.0).ask([0], Stop())
    assert node.to_facts(node.loads(answer.text)).model == "Abacus"
    (answer,) = LocalExtractor({**os.environ, "RAINBOW_COMPSPEC_SET_NO__X": "1"}, 30.0).ask(
        [0], Stop()
    )
    assert "no such probe" in answer.problem


def test_a_program_that_cannot_be_started_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is registered without description."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    (answer,) = LocalExtractor({}, 1.0).ask([0], Stop())
    assert "cannot start" in answer.problem
    assert not answer.silent


def test_no_secret_is_in_the_environment_of_a_rank() -> None:
    """Nor the agent's settings, nor what would change its Python."""
    environ = child_environment(
        {
            "PATH": "/bin",
            "RAINBOW_SECRET": "chocolate-cookies",
            "SOME_COPY": "--secret=chocolate-cookies",
            "RAINBOW_HOST": "x:1",
            "RAINBOW_COMPSPEC_SET_GPU__COUNT": "2",
            "PYTHONHOME": "/x",
            "SPACK_ROOT": "/opt/spack",
        },
        frozenset({"chocolate-cookies"}),
    )
    assert environ == {
        "PATH": "/bin",
        "RAINBOW_COMPSPEC_SET_GPU__COUNT": "2",
        "SPACK_ROOT": "/opt/spack",
    }


def test_stamps_tell_one_state_of_the_files_from_another(flux: Flux) -> None:
    """By stat(1) on each rank; a file that is not there is the empty stamp."""
    flux.lines = ["0: /a 17 3 99", "! 1: stat: cannot statx '/a'", "0: /b 18 3 99", "9: /a 1 1 1"]
    flux.write()
    extractor = FluxExtractor(flux.path, dict(os.environ), 5.0, [Path("/a")])
    assert extractor.stamps([0, 1], Stop()) == {0: "/a 17 3 99/b 18 3 99", 1: ""}
    assert flux.called()[-4:] == ["stat", "-c", "%n %i %s %Y", "/a"]
    assert FluxExtractor("flux", {}, 5.0).stamps([0], Stop()) == {}


@given(st.sets(st.integers(0, 300)))
def test_idsets_are_fluxs_notation(ids: set[int]) -> None:
    """Read back, it is the same ranks; runs are written short."""
    text = idset(ids)
    found: set[int] = set()
    for part in text.split(",") if text else []:
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    assert found == ids
    assert json.dumps(text).isascii()
    assert idset([3, 1, 2, 7]) == "1-3,7"
