"""Finds variables in texts, such as `${NAME}`: shells and templates replace them, the forwarder does not."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_VARIABLE = r"\$\{[A-Za-z_]\w*(:?[-+?=][^{}]*)?\}|\{\{.*\}\}"
_ANYWHERE = re.compile(_VARIABLE)
_ALONE = re.compile(r"\$[A-Z_][A-Z0-9_]*")
_SECRET = re.compile(rf"\s*([A-Za-z]+ )?({_VARIABLE}|{_ALONE.pattern})\s*")


def has_variable(text: str) -> bool:
    """Whether `text` has a variable of a shell, as in `${NAME:-x}`, or of a template, as in `{{ name }}`."""
    return bool(_ANYWHERE.search(text) or _ALONE.fullmatch(text))


def is_variable(secret: str) -> bool:
    """Whether `secret` is nothing but a variable, perhaps behind a scheme such as `Bearer`. A real one may contain anything."""
    return bool(_SECRET.fullmatch(secret))


def variable_problems(value: Any, path: str = "") -> Iterator[str]:
    """Yield a problem for each text below `value`, the setting at `path`, that has a variable. Secrets, which have other
    ways to name a variable, are passed over."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from variable_problems(getattr(value, name), f"{path}.{field.alias or name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from variable_problems(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from variable_problems(item, f"{path}[{number}]")
    elif isinstance(value, str) and has_variable(value):
        yield (
            f"{path}: variables are not replaced in a text; write the value here, or set it by an environment variable, "
            "as in FORWARDER__STORE__PATH"
        )
