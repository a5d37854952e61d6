"""From a Document to a Plan: names resolved, tasks in order, each with its Flux jobspec."""

from __future__ import annotations

from collections.abc import Collection

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import Plan
from rainbow_agent.jobspec.builder import Builder
from rainbow_agent.jobspec.document import Document
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.places import Places
from rainbow_agent.jobspec.reading import Faults
from rainbow_agent.jobspec.remarks import remarks


def plan_text(text: str, programs: Programs | None = None) -> Plan:
    """The plan of a jobspec's text.

    Raises:
        JobspecError: it is not a jobspec, or cannot run as it is written.
    """
    return plan(parse(text), programs)


def plan(document: Document, programs: Programs | None = None) -> Plan:
    """The plan of a jobspec: each task once, after all that it depends on, else as in the file.

    A task without a name is `task-N`, N its place from 0; a group `group-N`. A name that is used
    again, and that nothing depends on, becomes NAME#2, NAME#3 and so on. A task in a group is
    GROUP/TASK. The same text always gives the same plan: a restarted agent recognises its tasks
    by these names.

    Args:
        document: the jobspec.
        programs: how the agent's own programs are run in jobs; None: as this process is.

    Raises:
        JobspecError: it cannot run as it is written; with the place and what to write, and with
            everything else that is wrong in `others`.
    """
    faults = Faults()
    made = planned(document, faults, programs)
    faults.check()
    return made


def planned(
    document: Document,
    faults: Faults,
    programs: Programs | None = None,
    unread: Collection[str] = (),
) -> Plan:
    """As plan(), but what is wrong goes to `faults`; what is made is of no use, then.

    Args:
        document: the jobspec, also one of which a part could not be read.
        faults: where everything goes that is wrong.
        programs: as for plan().
        unread: names of resources that could not be read.

    Raises:
        JobspecError: groups lie too deep to be looked at.
    """
    if not document.tasks and not document.groups:
        faults.found.append(JobspecError("the jobspec has no `tasks`; there is nothing to run"))
    places = Places(document, faults)
    builder = Builder(document, places, programs or Programs(), faults, unread)
    tasks = builder.tasks()
    warnings = () if faults.found else remarks(document, builder.shapes, tasks)
    return Plan(document.name or "", tasks, warnings, document.attributes.once or "")
