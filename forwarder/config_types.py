"""What an operator writes in the configuration: sizes and times with a unit, addresses, secrets."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import core_schema

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$")


def _bytes(value: Any) -> int:
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    if not match or match[2].upper() not in _SIZES:
        raise ValueError(f"{value!r} is no size; write a number with a unit, as in 10MiB or 2GB")
    return int(float(match[1]) * _SIZES[match[2].upper()])


def _seconds(value: Any) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    if not match or match[2] not in _TIMES:
        raise ValueError(f"{value!r} is no time; write a number with a unit, as in 500ms, 2s, 5m, 1h or 7d")
    return float(match[1]) * _TIMES[match[2]]


Size = Annotated[int, BeforeValidator(_bytes)]
"""Bytes, written with a unit: `10MiB`. Defaults are given as strings and validated."""

Duration = Annotated[float, BeforeValidator(_seconds)]
"""Seconds, written with a unit: `2s`. Defaults are given as strings and validated."""


class Listen(str):
    """`host:port`; `[::1]:8080` for IPv6."""

    __slots__ = ()

    @property
    def host(self) -> str:
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.read)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what the operator wrote.

        Raises:
            ValueError: it is no address.
        """
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
            raise ValueError(f"{value!r} is no address; write host:port, as in 127.0.0.1:8080")
        return cls(value)


class Secret:
    """A secret and where it comes from. Neither `repr` nor `str` nor an error ever shows the value.

    Written as a string, as `{env: NAME}` or as `{file: path}`; a file's trailing line break is dropped.
    `reread` looks at the source again, so that a rotated file takes effect without a restart.
    """

    __slots__ = ("_source", "_value")

    def __init__(self, value: str, source: dict[str, str] | None = None) -> None:
        self._value = value
        self._source = source

    def reveal(self) -> str:
        """The value. Callers keep it out of logs, metrics and errors."""
        return self._value

    @property
    def source(self) -> str:
        """Where it comes from, for a human: `file /run/secrets/x`, `env X` or `config`."""
        return " ".join(next(iter(self._source.items()))) if self._source else "config"

    @property
    def file(self) -> Path | None:
        """The file that it comes from, if any: what to watch."""
        return Path(self._source["file"]) if self._source and "file" in self._source else None

    def reread(self) -> "Secret":
        """The secret as its source gives it now.

        Raises:
            ValueError: the source is gone or empty.
        """
        return Secret.read(self._source) if self._source else self

    @classmethod
    def read(cls, written: Any) -> "Secret":
        """Read what the operator wrote.

        Raises:
            ValueError: not one of the three forms, or the source is missing or empty. Never shows a value.
        """
        if isinstance(written, Secret):
            return written
        if isinstance(written, str):
            if not written:
                raise ValueError("the secret is empty")
            return cls(written)
        if (
            not isinstance(written, dict)
            or len(written) != 1
            or not isinstance(next(iter(written.values())), str)
        ):
            raise ValueError("a secret is a string, {env: NAME} or {file: path}")
        kind, place = next(iter(written.items()))
        if kind == "env":
            value = os.environ.get(place)
            if value is None:
                raise ValueError(f"the environment has no variable {place}; set it or name another")
        elif kind == "file":
            try:
                value = Path(place).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                what = error.strerror if isinstance(error, OSError) else "it is no text"
                raise ValueError(f"the file {place} cannot be read: {what}") from None
        else:
            raise ValueError("a secret is a string, {env: NAME} or {file: path}")
        if not value:
            raise ValueError(f"{kind} {place} is empty")
        return cls(value, written)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read, serialization=core_schema.plain_serializer_function_ser_schema(lambda _: "***")
        )


PathStr = Annotated[Path, PlainSerializer(str)]


class Section(BaseModel):
    """Base of every section of the configuration: frozen, unknown keys refused, defaults validated."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )
