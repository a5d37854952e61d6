"""What can go wrong between a machine and its description."""

from __future__ import annotations


class CompspecError(ValueError):
    """A file, a value or an option is not usable; the message names it and says why."""


class HostError(CompspecError):
    """The machine, or a recorded tree of one, could not be read."""


class ProbeFailed(CompspecError):
    """A probe found the machine in a state that it cannot describe; the message is its reason."""
