"""Turns each of pydantic's errors into a line for an operator: path, problem, hint."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

_A_MAPPING = "write keys with values, as in {key: value}"
_SHAPES = {
    "dict_type": _A_MAPPING,
    "model_type": _A_MAPPING,
    "model_attributes_type": _A_MAPPING,
    "tuple_type": "write a list, as in [one, two]",
    "path_type": "write a path, as in /var/lib/forwarder/forwarder.db",
}
"""What to write in place of a value of another shape; pydantic's own texts are for programmers."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""A name that the operator chooses: a metric label, a log field, a key in the store."""

_NAME = "a name has letters, digits, `.`, `_` and `-`, at most 63, and starts with a letter or digit"


class Describer:
    """Describes the errors of one model.

    Args:
        model: the whole configuration.
        kinds: the model of each kind of sink; pydantic puts the kind into the path, where no operator wrote
            it.
    """

    def __init__(self, model: type[BaseModel], kinds: Mapping[str, type[BaseModel]]) -> None:
        self._model = model
        self._kinds = kinds

    def describe(self, errors: Iterable[Any]) -> list[str]:
        """Return a line for each of pydantic's `errors`. Never shows a value that may be a secret."""
        return [self._line(error) for error in causes(errors)]

    def _line(self, error: Any) -> str:
        path, siblings = self._locate(error["loc"])
        kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
        if kind == "extra_forbidden":
            near = difflib.get_close_matches(str(error["loc"][-1]), siblings, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(siblings))}"
            return f"{path}: unknown key; {hint}"
        if kind == "missing":
            return f"{path}: is required"
        if kind in {"union_tag_not_found", "union_tag_invalid"}:
            return f"{path}.kind: must be one of {', '.join(sorted(self._kinds))}"
        if kind == "too_short":
            return f"{path}: at least one is required"
        if kind in _SHAPES:
            return f"{path}: {_SHAPES[kind]}"
        if kind == "string_pattern_mismatch" and error["loc"][-1] == "[key]":
            return f"{path}: {_NAME}"
        return f"{path}: {message[:1].lower()}{message[1:]}"

    def _locate(self, loc: tuple[Any, ...]) -> tuple[str, list[str]]:
        """Return the path of pydantic's `loc` as the operator wrote it, and the keys that are valid there."""
        path = ""
        for n, part in enumerate(loc):
            if part == "[key]" or (n == 2 and loc[0] == "sinks" and part in self._kinds):
                continue
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        model: Any = self._model
        for part in loc[:-1]:
            if loc[0] == "sinks" and part in self._kinds:
                model = self._kinds[part]
            elif _is_section(model) and part in model.model_fields:
                model = _section_of(model.model_fields[part])
        keys = (
            [field.alias or name for name, field in model.model_fields.items()] if _is_section(model) else []
        )
        return path, keys


def causes(errors: Iterable[Any]) -> list[Any]:
    """Return pydantic's errors without those that only follow from others."""
    errors = list(errors)
    return [error for error in errors if not _follows(error, errors)]


def _follows(error: Any, errors: Iterable[Any]) -> bool:
    """Whether `error` reports a list as empty only because each of its items has an error among `errors`."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in errors
    )


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _section_of(field: FieldInfo) -> Any:
    """Return the section that `field`, its list or its mapping holds, as a class; None without one."""
    candidates: list[Any] = [field.annotation]
    while candidates:
        candidate = candidates.pop()
        if _is_section(candidate):
            return candidate
        candidates.extend(getattr(candidate, "__args__", ()))
    return None
