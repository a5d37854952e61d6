"""How the scheduler says no."""

from __future__ import annotations


class Failure(Exception):
    """A request is refused; the text goes to the client with gRPC code UNKNOWN.

    The Go server returns plain errors, to which gRPC gives that code; clients know the texts.
    """


def denied() -> Failure:
    """The one answer to a wrong secret, a wrong token and an unknown cluster."""
    return Failure("request denied")
