"""Ranks describe themselves: over `flux exec`, or this machine as a child process.

`flux exec -n -r IDS --label-io` writes `RANK: line` for each line of each rank, on standard output
and on standard error, and `flux-exec: Error: rank N: why` for what it cannot start (flux-exec(1);
the same in 0.62 and 0.88).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rainbow_agent.core.notation import idset
from rainbow_agent.core.ports import StopSignal
from rainbow_agent.inventory import child_process, describe_node
from rainbow_agent.inventory.early_words import SLACK_S, EarlyWords, on_ranks
from rainbow_agent.inventory.survey import NodeAnswer

_RANK_PREFIX: Final = re.compile(r"(\d+): ?(.*)")
_EXEC_ERROR: Final = re.compile(r"flux-exec: .*?rank (\d+): (.*)")
#: Flux's words for a broker that is not there (strerror of EHOSTUNREACH and what it says itself).
_GONE: Final = re.compile(r"no route to host|unreachable|lost contact|connection", re.IGNORECASE)
_LONGEST_REASON: Final = 300  # characters


@dataclass
class _Speech:
    """What one rank said."""

    parts: list[str] = field(default_factory=list)
    size: int = 0
    end: str = ""
    problem: str = ""
    last_words: str = ""  # on standard error
    gone: bool = False

    def out(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == describe_node.PART and self.size <= describe_node.MAX_PACKED_LENGTH:
            self.parts.append(rest)
            self.size += len(rest)
        elif word == describe_node.END:
            self.end = rest
        elif word == describe_node.PROBLEM:
            self.problem = rest

    def answer(self, rank: int, limit: float) -> NodeAnswer:
        """The rank's answer."""
        if self.end:
            try:
                return NodeAnswer(rank, describe_node.unpack(self.parts, self.end))
            except ValueError as exc:
                return NodeAnswer(rank, problem=f"its description is of no use: {exc}")
        problem = (self.problem or self.last_words)[:_LONGEST_REASON]
        if problem:
            return NodeAnswer(rank, problem=problem, silent=self.gone)
        return NodeAnswer(rank, problem=f"no answer within {limit:g} s", silent=True)


class LocalExtractor:
    """This machine is rank 0, the only one."""

    def __init__(
        self, environ: Mapping[str, str], limit: float, early: EarlyWords | None = None
    ) -> None:
        """Describe the child.

        Args:
            environ: its environment: what jobs get.
            limit: seconds that it may take.
            early: a child of the same kind that was begun already.
        """
        self._environ = environ
        self._limit = limit
        self._early = early

    def ask(self, ranks: Sequence[int], stop: StopSignal) -> Iterator[NodeAnswer]:
        """See discovery.Extractor."""
        speech = self._heard(self._early.take()) if self._early else _Speech()
        if not speech.end:
            speech = self._listen(stop)
        for rank in ranks:
            yield speech.answer(rank, self._limit)

    def _listen(self, stop: StopSignal) -> _Speech:
        """What the child says; it ends with its time, or at a stop."""
        try:
            return self._heard(
                child_process.lines(
                    describe_node.command(self._limit),
                    environ=self._environ,
                    seconds=self._limit + SLACK_S,
                    stop=stop,
                )
            )
        except OSError as exc:
            return _Speech(problem=f"cannot start the program that describes it: {exc}")

    @staticmethod
    def _heard(lines: Iterator[tuple[bool, str]]) -> _Speech:
        speech = _Speech()
        for is_error, line in lines:
            if is_error:
                speech.last_words = line
            else:
                speech.out(line)
        return speech

    def stamps(self, ranks: Sequence[int], stop: StopSignal) -> dict[int, str]:
        """See discovery.Extractor; this machine's files are watched directly."""
        del ranks, stop
        return {}


class FluxExtractor:
    """Every broker of a Flux instance, all at once."""

    def __init__(
        self,
        flux: str,
        environ: Mapping[str, str],
        limit: float,
        files: Sequence[Path] = (),
        early: EarlyWords | None = None,
    ) -> None:
        """Describe what is run.

        Args:
            flux: path of the `flux` command.
            environ: the environment of the ranks' processes, with FLUX_URI.
            limit: seconds that a rank may take.
            files: those that change when software is installed on a rank.
            early: all ranks, asked already.
        """
        self._flux = flux
        self._files = [str(file) for file in files]
        self._environ = environ
        self._limit = limit
        self._early = early
        self._began = early.began if early else 0.0

    def ask(self, ranks: Sequence[int], stop: StopSignal) -> Iterator[NodeAnswer]:
        """See discovery.Extractor. Ranks without a broker (made-up resources) have no answer."""
        speeches = {rank: _Speech() for rank in ranks}
        early, self._early = self._early, None
        if early is not None:
            self._hear(early.take(), speeches)
        missing = {rank: _Speech() for rank in ranks if not speeches[rank].end}
        size = self._size(stop) if missing else None
        brokers = {rank: s for rank, s in missing.items() if size is None or rank < size}
        trouble = self._listen(brokers, stop) if brokers else ""
        for rank in ranks:
            speech = brokers.get(rank, speeches[rank])
            if rank in missing and rank not in brokers:
                yield NodeAnswer(rank, problem="made up: no broker runs there", final=True)
                continue
            speech.problem = speech.problem or ("" if speech.end else trouble)
            yield speech.answer(rank, self._limit)

    def stamps(self, ranks: Sequence[int], stop: StopSignal) -> dict[int, str]:
        """See discovery.Extractor: stat(1) of the files. A rank that fails tells nothing new."""
        if not self._files or not ranks:
            return {}
        found = dict.fromkeys(ranks, "")
        stat = ["stat", "-c", "%n %i %s %Y", *self._files]
        for is_error, line in self._run(on_ranks(self._flux, idset(ranks), stat), stop):
            labelled = None if is_error else _RANK_PREFIX.match(line)
            if labelled and int(labelled[1]) in found:
                found[int(labelled[1])] += labelled[2] + self._if_younger(labelled[2])
        return found

    def _if_younger(self, stamp: str) -> str:
        """A mark on what may have changed after the rank was asked early: it differs later on."""
        changed = stamp.rpartition(" ")[2]
        unread = self._early is not None and changed.isdigit()
        return " while asked" if unread and int(changed) >= int(self._began) else ""

    def _size(self, stop: StopSignal) -> int | None:
        """How many brokers the instance has; None when it does not say."""
        found = self._run([self._flux, "getattr", "size"], stop)
        sizes = [int(line) for is_error, line in found if not is_error and line.isdigit()]
        return sizes[0] if sizes else None

    def _listen(self, speeches: Mapping[int, _Speech], stop: StopSignal) -> str:
        """Have the ranks speak; what went wrong with all of them, if anything did."""
        program = describe_node.command(self._limit)
        return self._hear(self._run(on_ranks(self._flux, idset(speeches), program), stop), speeches)

    def _hear(self, lines: Iterator[tuple[bool, str]], speeches: Mapping[int, _Speech]) -> str:
        """Sort lines by rank; see _listen."""
        general = ""
        for is_error, line in lines:
            failed = _EXEC_ERROR.match(line) if is_error else None
            labelled = failed or _RANK_PREFIX.match(line)
            speech = speeches.get(int(labelled[1])) if labelled else None
            if labelled is None or speech is None:
                general = line if is_error and "flux-exec" in line else general
            elif is_error:
                speech.last_words = labelled[2]
                speech.gone = bool(failed and _GONE.search(labelled[2]))
            else:
                speech.out(labelled[2])
        heard = any(s.end or s.problem or s.last_words for s in speeches.values())
        return "" if heard else general

    def _run(self, command: Sequence[str], stop: StopSignal) -> Iterator[tuple[bool, str]]:
        try:
            yield from child_process.lines(
                command, environ=self._environ, seconds=self._limit + SLACK_S, stop=stop
            )
        except OSError as exc:
            yield True, f"flux-exec: {command[0]} cannot be started: {exc}"
