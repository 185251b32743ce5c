"""The types of values in the configuration: sizes and times with a unit, secrets, paths, sections."""

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, LiteralString, Self
from urllib.parse import quote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from forwarder.config.error_texts import shown
from forwarder.config.secret_source import check_characters, read_source, refuse_source
from forwarder.core import redaction

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_TIME = 36_500 * 86_400  # 100 years; a time 100 years ago can still be stored and written as a date
_QUANTITY = re.compile(r"^\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]+)\s*$")


# Pydantic's ByteSize and timedelta are not used: they accept a number without a unit, and their errors show no example.
def _json_schema(units: str, *examples: str) -> WithJsonSchema:
    pattern = _QUANTITY.pattern.replace("[A-Za-z]+", units)
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _text(amount: float, units: Mapping[str, float]) -> str:
    """Return `amount` as text, in the largest unit that gives a whole number; if none does, in the smallest unit."""
    whole = (unit for unit in units if amount and not amount % units[unit])
    unit = max(whole, key=units.__getitem__, default=min(units, key=units.__getitem__))
    return f"{amount / units[unit]:.15g}{unit.replace('I', 'i')}"


def _serializer(units: Mapping[str, float]) -> PlainSerializer:
    return PlainSerializer(lambda amount: _text(amount, units), when_used="json")


def _amount(value: Any, units: Mapping[str, float], largest: float, what: str, examples: str) -> float:
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    unit = match and (units.get(match[2]) or units.get(match[2].upper()))
    if not match or not unit:
        raise ValueError(f"{shown(value)} is not a {what}; write a number with a unit, as in {examples}")
    amount, smallest = float(match[1]) * unit, min(units.values())
    if amount > largest:
        raise ValueError(f"{shown(value)} is too large; write at most {_text(largest, units)}")
    if 0 < amount < smallest:
        raise ValueError(f"{shown(value)} is too small; write at least {_text(smallest, units)}")
    return amount


def _bytes(value: Any) -> int:
    return int(_amount(value, _SIZES, 2**50, "size", "10MiB or 2GB"))


def _seconds(value: Any) -> float:
    return _amount(value, _TIMES, _LONGEST_TIME, "time", "500ms, 2s, 5m, 1h or 7d")


Size = Annotated[
    int, BeforeValidator(_bytes), _serializer(_SIZES), _json_schema("([KkMmGgTt][Ii]?)?[Bb]", "10MiB", "2GB")
]
"""A number of bytes. The configuration, and the default of a setting in the code, have it with a unit, as in
`10MiB`."""

Duration = Annotated[
    float, BeforeValidator(_seconds), _serializer(_TIMES), _json_schema("(ms|s|m|h|d)", "500ms", "2s", "7d")
]
"""A number of seconds. The configuration, and the default of a setting in the code, have it with a unit, as in `2s`."""


def _no_boolean(error: LiteralString) -> BeforeValidator:
    """Return a validator that refuses true and false, which pydantic would read as 1 and 0, with `error`."""

    def validate(value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticCustomError(error, "is not a number")
        return value

    return BeforeValidator(validate)


NO_BOOLEAN = _no_boolean("int_type")
"""Refuses true and false where a whole number belongs."""

Count = Annotated[int, NO_BOOLEAN]
"""A whole number."""

Share = Annotated[float, _no_boolean("float_type")]
"""A part of a whole, from 0 to 1."""


class ParsedText(str):
    """Base class of settings that are texts in a certain form, such as the address of a listener.

    Attributes:
        form: the part of the JSON schema that describes the form.
    """

    __slots__ = ()
    form: ClassVar[JsonSchemaValue]

    @classmethod
    def read(cls, value: Any) -> Self:
        """Parse a text; raise ValueError if `value` does not have the form of this setting."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.read)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", **cls.form}


class Secret:
    """A secret and its source. `repr`, `str` and errors never show the value; other output redacts it.

    In the configuration, a secret is a string, `{env: NAME}` or `{file: path}`. Line breaks at the end of the variable
    or of the file are dropped.

    Attributes:
        is_read: whether the value is the real secret; False for the made-up value of `unread`.
    """

    __slots__ = ("_source", "_value", "is_read")

    def __init__(self, value: str, source: dict[str, str] | None = None, *, is_read: bool = True) -> None:
        if is_read:
            redaction.add(value)
        self._value = value
        self._source = source
        self.is_read = is_read

    def reveal(self) -> str:
        """Return the value. Callers must keep it out of logs, metrics and errors."""
        return self._value

    @classmethod
    def unread(cls, source: dict[str, str]) -> "Secret":
        """Return a secret with a made-up value, for commands that need no secret. `source` is not read."""
        return cls(quote(next(iter(source.values()))), source, is_read=False)

    @property
    def source(self) -> str:
        """Where the secret comes from, as text for operators: `file /run/secrets/x`, `env X` or `config`."""
        return " ".join(next(iter(self._source.items()))) if self._source else "config"

    @property
    def shown(self) -> dict[str, str] | str:
        """The secret as the configuration writes it, such as `{env: NAME}`; `***` if the configuration has the value
        itself."""
        return self._source or redaction.HIDDEN

    @property
    def file(self) -> Path | None:
        """The file that has the secret; None if no file has it. A change of this file causes a reload."""
        return Path(self._source["file"]) if self._source and "file" in self._source else None

    def reread(self) -> "Secret":
        """Read the source again, and return the secret with the new value, so that a rotation needs no restart.

        Raises:
            ValueError: the source is missing or empty.
        """
        return Secret.read(self._source) if self._source else self

    @classmethod
    def read(cls, written: Any) -> "Secret":
        """Parse one of the three forms of a secret, and read its source.

        Raises:
            ValueError: `written` has another form, or the source is missing or empty. The message never shows the
                secret.
        """
        if isinstance(written, Secret):
            return written
        if isinstance(written, str):
            if not written.strip():
                raise ValueError("the secret is empty")
            refuse_source(written)
            check_characters(written)
            return cls(written)
        return cls(read_source(written), written)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read, serialization=core_schema.plain_serializer_function_ser_schema(lambda secret: secret.shown)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        text = {"type": "string", "minLength": 1}
        named = [
            {"type": "object", "properties": {kind: text}, "required": [kind], "additionalProperties": False}
            for kind in ("env", "file")
        ]
        return {"anyOf": [text, *named]}


_LONGEST_NAME = 255  # bytes, on all usual file systems


def _path(written: Any) -> Any:
    if isinstance(written, str):
        if not written.strip() or "\0" in written:
            raise ValueError("is not a path; write one like /var/lib/forwarder/forwarder.db")
        if written != written.strip():
            raise ValueError("the path begins or ends with a blank or a line break; remove it")
        if "-----BEGIN" in written:  # the value may be a private key, which no message may show
            raise ValueError(
                "is the content of a PEM file, not a path; write the content into a file, and name that file"
            )
        if written.startswith("~"):
            raise ValueError("the forwarder does not replace `~`; write the whole path")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", written):
            raise ValueError("is a URL; write a path on the disk, like /var/lib/forwarder/forwarder.db")
        if re.search(r"%[YmdH]|\$\{?\w|\{\{", written):
            raise ValueError(
                "the path has a variable or a date format, which the forwarder does not replace; write the path as "
                "it is on the disk"
            )
        if "*" in written:
            raise ValueError(
                "the path has a pattern such as `*`, which the forwarder does not expand; name a file, or, for "
                "rules, a folder"
            )
        if any(len(name) > _LONGEST_NAME for name in os.fsencode(written).split(b"/")):
            raise ValueError(
                f"a file or folder name in the path is longer than {_LONGEST_NAME} bytes; choose a shorter name"
            )
    return written


def _file(written: Any) -> Any:
    if isinstance(written, str) and written.endswith("/") and written.strip("/"):
        raise ValueError("ends with `/`, so it names a folder; name a file in that folder")
    return written


PathStr = Annotated[Path, BeforeValidator(_path), PlainSerializer(str)]

NewFileStr = Annotated[PathStr, BeforeValidator(_file)]
"""The path of a file that the forwarder creates."""


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of each key of `model`, in sentences, by the name of the key.

    The meanings are the texts below `Attributes:` in the docstrings of `model` and its base classes.
    """
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        _, _, listed = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for match in re.finditer(r"^    (\w+): (.+?)(?=^    \w|\Z|^\S)", listed, re.MULTILINE | re.DOTALL):
            text = " ".join(match[2].split())
            found[match[1]] = text[0].upper() + text[1:].removesuffix(".") + "."
    return found


class Section(BaseModel):
    """Base class of every section of the configuration. A section is frozen, refuses unknown keys, and validates
    defaults."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON schema for editors, with the meaning of each key.

        The key `kind` of a sink has a fixed value, and is required.
        """
        described = handler(schema)
        section = handler.resolve_ref_schema(described)
        section["description"] = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
        for key, value in section.get("properties", {}).items():
            value.pop("default" if "$ref" in value else "title", None)  # each key has its own default
            if text := meanings(cls).get(key):
                value["description"] = text
            if "const" in value:
                section.setdefault("required", []).append(key)
        return described
