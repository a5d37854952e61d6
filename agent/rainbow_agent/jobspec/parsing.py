"""From YAML text to a Document, strictly: what is not known here is an error that names it."""

from __future__ import annotations

from rainbow_agent.jobspec.attributes import (
    read_attributes,
    read_named_requires,
    read_requirements,
    read_task_requires,
)
from rainbow_agent.jobspec.commands import read_command
from rainbow_agent.jobspec.composer import ListNode, MapNode, Node, ScalarNode
from rainbow_agent.jobspec.document import Document, Group, Reference, Resource, Step, Task
from rainbow_agent.jobspec.reading import Faults, Fields, Item, as_name, kind, spot
from rainbow_agent.jobspec.words import error_at, key_path
from rainbow_agent.jobspec.yamltext import compose

_DOCUMENT = ("version", "name", "requires", "resources", "tasks", "groups", "attributes")
_TASK = (
    "name",
    "command",
    "resources",
    "depends_on",
    "replicas",
    "attributes",
    "steps",
    "group",
    "local",
    "requires",
)
_GROUP = ("name", "resources", "depends_on", "tasks", "groups", "attributes", "requires")
_RESOURCE = (
    "type",
    "count",
    "replicas",
    "with",
    "requires",
    "attributes",
    "exclusive",
    "schedule",
    "label",
    "unit",
)
#: Keys that people write one level too high.
_BELONG_BELOW = dict.fromkeys(
    ("duration", "cwd", "environment", "watch"), "it belongs under `attributes`"
)


def parse(text: str) -> Document:
    """A jobspec, read from YAML (or JSON) text.

    Names are not resolved and nothing is refused for being unsupported: plan() does that.

    Raises:
        JobspecError: the text is not a jobspec nextgen version 1; with the place and what to write,
            and with everything else that is wrong in `others`.
    """
    faults = Faults()
    document = read(text, faults)
    faults.check()
    return document


def read(text: str, faults: Faults) -> Document:
    """As parse(), but what is wrong goes to `faults`, and the rest is read all the same.

    What cannot be read is as good as absent; a task or a resource that has something wrong in it
    is there, so that its name is known to others.

    Raises:
        JobspecError: nothing of the text can be read.
    """
    root = compose(text)
    if not isinstance(root, MapNode):
        raise spot(root, "").error(f"this is {kind(root)}; a jobspec is a mapping (version: 1 ...)")
    _refuse_drafts(root)
    fields = Fields(root, "", _DOCUMENT, faults, _BELONG_BELOW)
    faults.attempt(_check_version, fields)
    return Document(
        name=fields.name("name"),
        resources=_resources(fields),
        tasks=faults.each(fields.items("tasks"), _task),
        groups=faults.each(fields.items("groups"), _group),
        requires=read_named_requires(fields),
        attributes=read_attributes(fields),
    )


def _resources(fields: Fields) -> dict[str, Resource]:
    faults, found = fields.faults, {}
    for key, value, path in fields.entries("resources"):
        name = faults.attempt(as_name, key, key_path("resources", key.text))
        resource = faults.attempt(_resource, value, path, faults, root=True)
        if name is not None:
            found[name] = resource or Resource("", None, None, spot(value, path))
    return found


def _refuse_drafts(root: MapNode) -> None:
    """Tell the older draft, and Flux's own jobspec, from a misspelt version 1."""
    resources, tasks = root.entries.get("resources"), root.entries.get("tasks")
    listed = tasks[1].items if tasks and isinstance(tasks[1], ListNode) else []
    mappings = [n for n in (root, *listed) if isinstance(n, MapNode)]
    if "task" in root.entries:
        what, place = "`task:` in the place of `tasks:`", root.entries["task"][0]
    elif resources and isinstance(resources[1], ListNode):
        what, place = "`resources` as a list", resources[0]
    elif found := [m.entries["transform"] for m in mappings if "transform" in m.entries]:
        what, place = "`transform:`", found[0][0]
    else:
        return
    raise error_at(
        place.line,
        place.column,
        f"{what} is the older jobspec draft (or Flux's own jobspec, RFC 14), which this agent does "
        "not run; write jobspec nextgen version 1: resources: {NAME: {type: node, count: 1}}, "
        "tasks: [{command: [...], resources: NAME}]",
    )


def _check_version(fields: Fields) -> None:
    found = fields.get("version")
    if found is None:
        raise fields.at.error("no `version`; write version: 1")
    node, path = found
    if not (isinstance(node, ScalarNode) and node.plain and node.text == "1"):
        raise spot(node, path).error(f"this is {kind(node)}; the only version is the number 1")


def _named(node: Node, path: str) -> Reference:
    return Reference(as_name(node, path), spot(node, path))


def _reference(fields: Fields, key: str) -> Reference | None:
    return fields.read(key, _named)


def _references(fields: Fields, key: str) -> tuple[Reference, ...]:
    found = (fields.faults.attempt(_named, *item) for item in fields.items(key))
    return tuple(reference for reference in found if reference is not None)


def _task(node: Node, path: str, faults: Faults) -> Task:
    fields = Fields(node, path, _TASK, faults, _BELONG_BELOW)
    task = Task(
        name=fields.name("name"),
        command=fields.read("command", read_command),
        at=fields.at,
        resources=_reference(fields, "resources"),
        depends_on=_references(fields, "depends_on"),
        replicas=fields.count("replicas") or 1,
        attributes=read_attributes(fields),
        steps=faults.each(fields.items("steps"), _step),
        group=_reference(fields, "group"),
        local=fields.boolean("local") or False,
        requires=read_task_requires(fields),
        placed="depends_on" in fields,
    )
    if fields.good:
        faults.attempt(_check_task, task, fields)
    return task


def _check_task(task: Task, fields: Fields) -> None:
    """What a task says together makes sense."""
    if task.group and (task.command or task.steps):
        raise fields.at.error("a task is a `group` or a `command`, not both; make it two tasks")
    if task.group and (task.local or task.resources):
        what = "local" if task.local else "resources"
        raise fields.at.error(f"a reference to a group has no `{what}`; the group has its own")
    if task.local and task.command is None:
        raise fields.at.error("`local: true` is for a `command`; drop it, or write one")
    if not (task.command or task.steps or task.group):
        raise fields.at.error("nothing to run; write `command`, `steps` or `group`")


def _step(node: Node, path: str, faults: Faults) -> Step:
    fields = Fields(node, path, ("name", "path"), faults)
    name = fields.name("name")
    if name != "stage":
        raise fields.at.error("the only step is `name: stage`, with a `path`")
    path_of = fields.text("path")
    if path_of is None or not path_of.startswith("/"):
        raise fields.at.error(
            "a stage needs a `path` from the root, such as path: /data/in; it is put at the same "
            "place on every node"
        )
    return Step(name, path_of, fields.at)


def _group(node: Node, path: str, faults: Faults) -> Group:
    fields = Fields(node, path, _GROUP, faults, _BELONG_BELOW)
    return Group(
        name=fields.name("name"),
        at=fields.at,
        resources=_reference(fields, "resources"),
        depends_on=_references(fields, "depends_on"),
        tasks=faults.each(fields.items("tasks"), _task),
        groups=faults.each(fields.items("groups"), _group),
        attributes=read_attributes(fields),
        requires=read_task_requires(fields),
    )


def _resource(node: Node, path: str, faults: Faults, *, root: bool = False) -> Resource:
    known = (*_RESOURCE, "environment") if root else _RESOURCE
    fields = Fields(node, path, known, faults, _BELONG_BELOW)
    resource = Resource(
        type=fields.name("type") or "",
        count=fields.count("count"),
        replicas=fields.count("replicas"),
        at=fields.at,
        children=faults.each(_children(fields), _resource),
        requires=read_requirements(fields),
        attributes=read_attributes(fields),
        exclusive=fields.boolean("exclusive") or False,
        schedule=fields.boolean("schedule"),
        label=fields.text("label"),
        unit=fields.text("unit"),
    )
    if fields.good:
        faults.attempt(_check_resource, resource, fields, root=root)
    return resource


def _children(fields: Fields) -> list[Item]:
    """What a vertex holds; the specification's text has a single one without its dash, too."""
    found = fields.get("with")
    return [found] if found and isinstance(found[0], MapNode) else fields.items("with")


def _check_resource(resource: Resource, fields: Fields, *, root: bool) -> None:
    """What a vertex says together makes sense."""
    if not resource.type:
        raise fields.at.error("no `type`; write one, such as type: node")
    if (resource.count is None) == (resource.replicas is None):
        has = "neither `count` nor" if resource.count is None else "both `count` and"
        raise fields.at.error(
            f"{has} `replicas`; write one: count (so many of it), or replicas (so many slots)"
        )
    if "attributes" in fields and not root:
        raise fields.at.error("`attributes` belong on the top of a named resource, or on a task")
