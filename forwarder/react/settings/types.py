"""The types of the section `reactions`: modes, rates, networks, approvals, and how long an effect lasts."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from typing import Annotated, Any, ClassVar, Self

import msgspec
from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from forwarder.config.error_texts import shown
from forwarder.config.types import Duration, ParsedText
from forwarder.core.ip_networks import unmapped

_MINUTE, _DAY = 60.0, 86_400.0
_LONGEST_EFFECT = 30 * _DAY
_MOST = 1_000_000  # actions in a rate


class Mode(StrEnum):
    """What reactions may do. The weakest mode comes first."""

    OFF = "off"
    """Nothing is planned."""
    SHADOW = "shadow"
    """Everything except the call is done, and the call is recorded."""
    ENFORCE = "enforce"

    @property
    def strength(self) -> int:
        """A number that is higher for a stronger mode; 0 for `off`."""
        return list(Mode).index(self)


def _mode(written: Any) -> Any:
    if written is False or (isinstance(written, str) and written in {"no", "false"}):
        return Mode.OFF  # YAML reads the word `off` as false
    if written not in list(Mode):
        raise ValueError("write off, shadow or enforce")
    return written


WrittenMode = Annotated[
    Mode, BeforeValidator(_mode), PlainSerializer(str), WithJsonSchema({"enum": [*map(str, Mode), False]})
]
"""A mode. False is accepted as `off`, because YAML reads the word `off` as false."""


class Rate(ParsedText):
    """A maximum number of actions in a period, such as `2/1h`."""

    __slots__ = ()
    form: ClassVar = {"pattern": "^[0-9]+/[0-9.]+(s|m|h|d)$", "examples": ["2/1h", "20/1d"]}

    @property
    def most(self) -> int:
        """The maximum number of actions within `seconds`."""
        return int(self.partition("/")[0])

    @property
    def seconds(self) -> float:
        """The length of the sliding window in which actions are counted."""
        seconds: float = _duration.validate_python(self.partition("/")[2])
        return seconds

    @classmethod
    def read(cls, value: Any) -> Self:
        """Parse a rate.

        Raises:
            ValueError: `value` is not a rate.
        """
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*(\S+)\s*", value) if isinstance(value, str) else None
        if not match:
            raise ValueError(f"{shown(value)} is not a rate; write a count and a time, as in 2/1h")
        if not 1 <= int(match[1]) <= _MOST:
            raise ValueError(f"{match[1]} is outside 1 to {_MOST:,}; to stop actions, set `mode: shadow`")
        try:
            seconds = _duration.validate_python(match[2])
        except ValidationError:
            raise ValueError(f"{match[2]!r} is not a time; write a rate as in 2/1h") from None
        if not 1 <= seconds <= _LONGEST_EFFECT:
            raise ValueError(f"{match[2]} is outside 1s to 30d")
        return cls(f"{int(match[1])}/{match[2]}")


_duration: TypeAdapter[float] = TypeAdapter(Duration)


class Approve(msgspec.Struct, frozen=True):
    """What an entry says about the approval of an action: `no`, `yes`, or `{within: 15m}`.

    Attributes:
        needed: whether a human must approve.
        within: the number of seconds in which the human may approve; None if `reactions.approve_within` applies.
    """

    needed: bool
    within: float | None = None

    @classmethod
    def read(cls, written: Any) -> "Approve":
        """Parse an approval. YAML reads the words `no` and `yes` as false and true.

        Raises:
            ValueError: `written` is not an approval.
        """
        if isinstance(written, Approve):
            return written
        if isinstance(written, bool) or written in ("no", "yes"):
            return cls(written in (True, "yes"))
        if not isinstance(written, dict):
            raise ValueError("write `no`, `yes`, or a mapping with a time, such as {within: 15m}")  # noqa: TRY004  # for pydantic
        if unknown := sorted(map(str, written.keys() - {"within"})):
            raise ValueError(f"unknown key `{unknown[0]}`; the only key is `within`, as in {{within: 15m}}")
        try:
            seconds = None if written.get("within") is None else _duration.validate_python(written["within"])
        except ValidationError as error:
            raise ValueError(f"`within`: {error.errors()[0]['ctx']['error']}") from None
        return cls(True, None if seconds is None else _waiting(seconds))

    @property
    def written(self) -> dict[str, str] | bool:
        """The approval as an operator writes it."""
        if not self.needed or self.within is None:
            return self.needed
        return {"within": _duration.dump_python(self.within, mode="json")}


WrittenApprove = Annotated[
    Approve,
    PlainValidator(Approve.read),
    PlainSerializer(lambda approve: approve.written),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [False, True, "no", "yes"]},
                {"type": "object", "properties": {"within": _duration.json_schema()}, "additionalProperties": False},
            ]
        }
    ),
]


def _network(written: Any) -> IPv4Network | IPv6Network:
    if isinstance(written, IPv4Network | IPv6Network):
        return written
    try:
        return unmapped(ip_network(written if isinstance(written, str) else ""))
    except ValueError:
        pass
    try:
        meant = ip_interface(written).network
    except ValueError:
        raise ValueError(f"{shown(written)} is not an address or a network; write 198.51.100.0/24") from None
    raise ValueError(
        f"{written!r} has an address before the slash that is not the start of the network; write {meant} for the "
        "network, or the address without the slash"
    )


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["198.51.100.0/24", "2001:db8::7"]}),
]
"""An address or a network."""


def _effect(seconds: float) -> float:
    if not _MINUTE <= seconds <= _LONGEST_EFFECT:
        raise ValueError("is outside 1m to 30d")
    return seconds


def _waiting(seconds: float) -> float:
    if not _MINUTE <= seconds <= _DAY:
        raise ValueError("is outside 1m to 24h")
    return seconds


EffectTime = Annotated[Duration, AfterValidator(_effect)]
"""Seconds after which an action is undone."""

WaitingTime = Annotated[Duration, AfterValidator(_waiting)]
"""A number of seconds: how long an action may wait for a human, or how old an event may be."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
