"""Copies the values of an event to the fields that the table `FIELDS` names.

At import, this module generates the code of a function from the table alone, as `dataclasses` generates an `__init__`.
A loop over the table would take 1.5 times as long, and copying is a third of the work for a document. For example, this
is the code for the object `outcome`:

    if type(outcome := raw.get('outcome')) is dict:
        find = outcome.get
        if (value := find('result')) is not None and (value := value if type(value) is str else text(value)):
            to_okta_outcome['result'] = value
        if (value := find('reason')) is not None and (value := value if type(value) is str else text(value)):
            to_okta_outcome['reason'] = value
        if (value := find('result')) is not None and (value := read_outcome(value)) is not None:
            to_event['outcome'] = value
"""

from collections.abc import Callable, Iterator
from typing import Any

from forwarder.ecs.fields import FIELDS, DocumentBuilder
from forwarder.ecs.value_readers import text

_Target = tuple[str, str]  # (path of an object in the draft, name in it)

_TEXT = "if (value := find({key!r})) is not None and (value := value if type(value) is str else text(value)):"
_OTHER = "if (value := find({key!r})) is not None and (value := read_{read}(value)) is not None:"


def copying_function(target: Callable[[str], _Target | None]) -> Callable[[dict[str, Any], DocumentBuilder], None]:
    """Return a function that copies the values of a decoded event to a draft of a document, as `FIELDS` says.

    `target` takes the name of a field, and returns the field's place in the draft: (path of the object, name in the
    object). If `target` returns None, the field is not copied.
    """
    targets = {field: found for row in FIELDS for field in row.ecs if (found := target(field))}
    paths = dict.fromkeys(path for path, _ in targets.values())
    code = ["def copy_fields(raw, draft):"]
    code += [f"    {_variable(path)} = draft[{path!r}]" for path in paths]
    code += _lines("", "raw", targets)
    names: dict[str, Any] = {"text": text} | {f"read_{row.read.__name__}": row.read for row in FIELDS}
    exec("\n".join(code), names)
    made: Callable[[dict[str, Any], DocumentBuilder], None] = names["copy_fields"]
    return made


def _lines(path: str, variable: str, targets: dict[str, _Target]) -> Iterator[str]:
    """Yield the lines of code that copy one object of an event and all objects in it.

    `path` is the path of the object in the event. `variable` is the name of the variable that has the object.
    """
    indent = "    " * (path.count(".") + 2 if path else 1)
    yield f"{indent}find = {variable}.get"
    rows = [row for row in FIELDS if row.okta.rpartition(".")[0] == path]
    for row in sorted(rows, key=lambda row: row.read is not text):  # in a document, texts come first
        if found := [targets[field] for field in row.ecs if field in targets]:
            condition = _TEXT if row.read is text else _OTHER
            yield indent + condition.format(key=row.okta.rpartition(".")[2], read=row.read.__name__)
            assignments = "".join(f"{_variable(into)}[{name!r}] = " for into, name in found)
            yield f"{indent}    {assignments}value"
    below = f"{path}." if path else ""
    deeper = [row.okta.removeprefix(below) for row in FIELDS if row.okta.startswith(below)]
    for key in dict.fromkeys(name.partition(".")[0] for name in deeper if "." in name):
        yield f"{indent}if type({key} := {variable}.get({key!r})) is dict:"
        yield from _lines(below + key, key, targets)


def _variable(path: str) -> str:
    """Return the name of the variable for the object at `path` in the draft."""
    return "to_" + path.replace(".", "_")
