"""ports.Scheduler: every text of a jobspec arrives as it was."""

from __future__ import annotations

import pytest

from rainbow_agent.core.errors import Rejected
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.jobspec import wire
from support.servers import NODES_FREE, Join

#: Each breaks something: SQL in double quotes, SQL text, YAML 1.1, YAML 1.2, JSON, a terminal.
NASTY = [
    'he said "hi"',
    "it's",
    "'; DROP TABLE jobs; --",
    '"; DROP TABLE jobs; --',
    '") , ("x", "y", "z"); --',
    "two\nlines",
    "#!/bin/bash\n\techo $x   \n\n  done\n",
    " lead",
    "trail ",
    "\tleading tab\nthen more",
    "\n",
    "\n\nfoo\n\n",
    "cr\r\nlf",
    "tab\tinside",
    "nul\0inside",
    "\x1b[31mred",
    "back\\slash \\n \\u0000",
    "ünïcödé \u2028 \x85 \ufeff",
    "\N{GRINNING FACE}",
    "",
    "y",
    "1e3",
    "0o17",
    "=",
    "<<",
    "null",
    "2024-01-01",
    "k: v # no comment",
    "- x",
    "%s {a} [b] &c *d !e |f >g @h `i`",
    "x" * 5000,
]


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_every_text_arrives_as_it_was(scheduler: RainbowScheduler, join: Join, text: str) -> None:
    """Quotes, breaks, controls, SQL: what goes in with a jobspec comes out of the list."""
    name, given = join()
    document = {"version": 1, "tasks": [{"command": ["echo", text]}], "x": {text: [text]}}
    scheduler.submit(text, {name: given.token}, wire.to_wire(document))
    (offer,) = scheduler.receive(name, given.secret, 0)
    assert wire.from_wire(offer.jobspec) == document
    assert offer.name == wire.job_name(text)


def test_the_servers_own_parser_reads_every_text(scheduler: RainbowScheduler, join: Join) -> None:
    """The constraint selection parses the jobspec (yaml.v3 in the real server): it can."""
    name, given = join()
    scheduler.update_state(name, given.secret, {"nodes_free": 1})
    document = {"version": 1, "tasks": [{"command": NASTY}], "x": {text: text for text in NASTY}}
    chosen = scheduler.submit(
        "job",
        {name: given.token},
        wire.to_wire(document),
        select="constraint",
        select_options={"priorities": NODES_FREE},
    )
    assert chosen == [name]


def test_text_that_would_be_sql_is_refused(scheduler: RainbowScheduler, join: Join) -> None:
    """Jobspec text with a double quote or a NUL never leaves this machine."""
    name, given = join()
    for text in ('command: "true"', "command: 'a\0b'"):
        with pytest.raises(Rejected, match="to_wire"):
            scheduler.submit("job", {name: given.token}, text)
