"""Walks through all single values of the settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel


def leaves(value: Any, path: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (path, key, value) for each single value in `value`, which stands at `path` and has the key `key`.

    The path is that of the configuration, as in `orgs.acme.secrets[0]`. The key is the same for all names and all items
    of a list, as in `orgs.NAME.secrets[]`.
    """
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            part = field.alias or name
            yield from leaves(getattr(value, name), f"{path}.{part}".lstrip("."), f"{key}.{part}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}", f"{key}.NAME")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[{number}]", f"{key}[]")
    else:
        yield path, key, value
