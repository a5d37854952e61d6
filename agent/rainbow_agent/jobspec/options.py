"""What a task may run on: its resources, `a|b` among them, and what it requires of their nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product

from rainbow_agent.core import requirements
from rainbow_agent.core.requirements import Need
from rainbow_agent.jobspec.document import Document, Reference, Requirement, Resource
from rainbow_agent.jobspec.reading import Faults
from rainbow_agent.jobspec.words import show, suggestion

Requires = Reference | tuple[Requirement, ...]
Chosen = tuple[tuple[Need, ...], ...]

#: Lists of needs that one task's `requires` may multiply out to.
MAX_CHOICES = 64


def resources_of(document: Document, reference: Reference) -> tuple[str, ...]:
    """The names of the resources that a task or group may run on, the best first.

    Raises:
        JobspecError: it names one that the jobspec does not have.
    """
    if reference.name in document.resources:
        return (reference.name,)
    if re.search("[,&]", reference.name):
        raise reference.at.error(
            f"a sum of resources ({show(reference.name)}) cannot be asked for; name one, or "
            "alternatives (a|b: a if it can run here, else b)"
        )
    return tuple(_alternatives(reference, document.resources, "resource"))


def choices_of(document: Document, resource: Resource, *requires: Requires) -> Chosen:
    """What nodes must have: of these lists all needs of one; () where nothing is required.

    An entry anywhere in the resource's tree is about the node: that is what our graph describes.

    Args:
        document: has the named blocks.
        resource: its tree's entries count.
        requires: of the task and of its group; each of them counts.

    Raises:
        JobspecError: an entry asks nothing that can be answered, or a name is not known.
    """
    lists = needs_in(None, tuple(_entries(resource)))
    for each in requires:
        lists = [(*own, *needs) for own, needs in product(lists, needs_in(document, each))]
    return tuple(dict.fromkeys(lists)) if all(lists) else ()


def needs_in(document: Document | None, requires: Requires) -> list[tuple[Need, ...]]:
    """The lists of needs of which one must be met; one empty list where nothing is asked.

    Args:
        document: has the named blocks; None where none can be named.
        requires: a list of entries, or names of blocks.

    Raises:
        JobspecError: a name is not known, or entries ask nothing that can be answered; all of
            these are in `others`.
    """
    faults = Faults()
    lists = [
        [faults.attempt(need_of, entry) for entry in entries]
        for entries in _named(document, requires)
    ]
    faults.check()
    return [tuple(need for need in needs if need is not None) for needs in lists]


def _entries(resource: Resource) -> Iterator[Requirement]:
    yield from resource.requires
    for child in resource.children:
        yield from _entries(child)


def _named(document: Document | None, requires: Requires) -> list[tuple[Requirement, ...]]:
    """The lists of entries of which one must be met; one empty list where nothing is asked."""
    if not isinstance(requires, Reference):
        return [requires]
    known = document.requires if document is not None else {}
    if requires.name in known:
        return [known[requires.name]]
    lists = []
    for part in _parts(requires, "|"):
        # `a,b|c`: both a and b, or c. The specification's own schema writes `&`.
        both = [
            _known(name.strip(), requires, known, "`requires`") for name in re.split("[,&]", part)
        ]
        lists.append(tuple(entry for name in both for entry in known[name]))
    return lists


def _alternatives(reference: Reference, known: Mapping[str, object], what: str) -> list[str]:
    names = (_known(part, reference, known, what) for part in _parts(reference, "|"))
    return list(dict.fromkeys(names))


def _parts(reference: Reference, separator: str) -> list[str]:
    parts = [part.strip() for part in reference.name.split(separator)]
    if len(parts) > MAX_CHOICES:
        raise reference.at.error(f"{len(parts)} alternatives; at most {MAX_CHOICES} are tried")
    return parts


def _known(name: str, reference: Reference, known: Mapping[str, object], what: str) -> str:
    if name not in known:
        raise reference.at.error(f"no {what} is named {show(name)}; {suggestion(name, known)}")
    return name


def need_of(entry: Requirement) -> Need:
    """An entry of `requires`, checked.

    `value` without `attribute` is how the specification's own examples write `match`.

    Raises:
        JobspecError: it asks nothing that can be answered; with what to write.
    """
    fields = dict(entry.fields)
    if "attribute" not in fields and "value" in fields:
        if "match" in fields:
            raise entry.at.error("`value` belongs to an `attribute`; write that, or drop `value`")
        fields["match"] = fields.pop("value")
    if "attribute" in fields:
        _check_attribute(entry, fields)
    elif not fields.get("field"):
        raise entry.at.error("asks nothing: write `field` with `match`, `min` or `max`")
    elif not any(fields.get(key) for key in ("match", "min", "max")):
        raise entry.at.error(
            f"asks nothing of field {show(fields['field'])}: write `match`, `min` or `max`"
        )
    _check_range(entry, fields)
    return Need(
        subsystem=entry.name,
        field=fields.get("field", ""),
        equals=fields.get("match", ""),
        low=fields.get("min", ""),
        high=fields.get("max", ""),
        attribute=fields.get("attribute", ""),
        value=fields.get("value", ""),
        where=str(entry.at),
    )


def _check_attribute(entry: Requirement, fields: Mapping[str, str]) -> None:
    if not fields["attribute"] or not any(fields.get(key) for key in ("value", "min", "max")):
        raise entry.at.error("`attribute` needs the `value` (or `min`, `max`) that it should have")
    if bool(fields.get("field")) != bool(fields.get("match")):
        raise entry.at.error(
            "beside `attribute`, `field` and `match` say what kind of thing has it: write both, "
            "such as field: type, match: package, or neither"
        )


def _check_range(entry: Requirement, fields: Mapping[str, str]) -> None:
    bounds = {}
    for key in ("min", "max"):
        if fields.get(key):
            bounds[key] = requirements.parse(fields[key])
            if bounds[key] is None:
                raise entry.at.error(
                    f"`{key}` {show(fields[key])} is not a version; write one to three numbers,"
                    " such as '3.0.0'"
                )
    if len(bounds) > 1 and not requirements.within(fields["min"], "", fields["max"]):
        raise entry.at.error(
            f"no version lies between `min` {show(fields['min'])} and `max` {show(fields['max'])}"
        )
