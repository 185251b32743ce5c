"""The settings that every kind of sink has."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, StringConstraints, model_validator

from forwarder.config.types import Count, Duration, Section, Size
from forwarder.core.event_types import EventTypes, unknown_event_type
from forwarder.core.okta_fields import unknown_field

_FIELD = re.compile(r"[^.\s]+(\.[^.\s]+)*")


def _types(written: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if written is not None and not written:
        raise ValueError("at least one event type is needed, for example [user.session.start, user.mfa.*]")
    return written


def _known_type(name: str) -> str:
    if problem := unknown_event_type(name):
        raise ValueError(problem)
    return name


def redactable(name: str) -> str:
    """Return `name`, the name of a field, if this field may be redacted.

    Raises:
        ValueError: an Okta event has no such field, or the field identifies the event.
    """
    root = name.partition(".")[0]
    if not _FIELD.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a field; write a name such as actor.alternateId")
    if root in {"uuid", "eventType", "published"}:
        raise ValueError(f"{root} identifies the event and cannot be redacted")
    if problem := unknown_field(name):
        raise ValueError(problem)
    return name


_KnownType = Annotated[str, StringConstraints(min_length=1), AfterValidator(_known_type)]
_EventTypes = Annotated[tuple[_KnownType, ...] | None, AfterValidator(_types)]


class DeliverySettings(Section):
    """How events are sent to one sink.

    Attributes:
        batch_events: the largest number of events in a batch.
        batch_bytes: the largest size of a batch: all event bodies as received. A larger event is sent alone.
        timeout: how long to wait for the response to a batch; after that, the batch is sent again.
        concurrency: how many batches may be in flight at once. With 2 or more, the forwarder can prepare a batch while
            another waits for its response.
        backoff_base: upper limit of the wait after the first failure; the limit doubles with each further failure.
        backoff_cap: upper limit of every wait.
        lone_tries: the largest number of requests with one event alone, if each request with this event fails and the
            sink accepts other events. After that, the event becomes a dead letter; 0 means no limit.
        dead_letter_limit: if this many events in a row are rejected and none is delivered, the sink pauses, so that the
            whole store does not become dead letters; 0 means no limit.
    """

    batch_events: Count = Field(default=500, ge=1, le=5_000)
    batch_bytes: Size = Field(default="4MiB", validate_default=True, ge=1024)
    timeout: Duration = Field(default="30s", validate_default=True, gt=0)
    concurrency: Count = Field(default=1, ge=1, le=8)
    backoff_base: Duration = Field(default="500ms", validate_default=True, gt=0)
    backoff_cap: Duration = Field(default="30s", validate_default=True, gt=0)
    lone_tries: Count = Field(default=10, ge=0, le=1_000_000_000)
    dead_letter_limit: Count = Field(default=100, ge=0, le=1_000_000_000)

    @property
    def connect_timeout(self) -> float:
        """How many seconds a sink waits for a connection. Within `timeout`, it can try two addresses of a host, and then
        say that the connection failed, and not that the response is late."""
        return 0.4 * self.timeout

    @model_validator(mode="after")
    def _base_below_cap(self) -> Self:
        if self.backoff_base > self.backoff_cap:
            raise ValueError(
                "`backoff_base` is longer than `backoff_cap`, the longest wait; write a shorter `backoff_base`"
            )
        return self


class SinkSettings(Section):
    """One sink. Each kind adds its own keys, and its own defaults of `delivery`.

    Attributes:
        start: what a new sink gets: `oldest` for every event in the store, `now` for new events only.
        only: the event types that the sink gets; `*` stands for any part of a name, as in `user.session.*`. Events of
            other types stay in the store, and count as `filtered` in the ledger.
        except: the event types that the sink does not get, written as in `only`. A sink has `only` or `except`, not
            both.
        redact: the fields whose values the sink does not get, by Okta's names, such as `actor.alternateId` or
            `debugContext.debugData.requestUri`; in a list, each item is redacted. If Okta has two names for a fact,
            such as `client.ipChain` and `request.ipChain`, both are redacted. The sink gets `[redacted]` instead, or no
            value if the field cannot hold this text, such as an IP address. If another text of the event contains the
            value, this text is not changed.
        delivery: how events are delivered; see `sinks.NAME.delivery`.
    """

    kind: str
    start: Literal["oldest", "now"] = "oldest"
    only: _EventTypes = None
    except_: _EventTypes = Field(default=None, alias="except")
    redact: tuple[Annotated[str, AfterValidator(redactable)], ...] = ()
    delivery: DeliverySettings = DeliverySettings()
    _several_orgs: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _one_filter(self) -> Self:
        if self.only is not None and self.except_ is not None:
            raise ValueError("`only` and `except` exclude each other; remove one of the two")
        return self

    @property
    def accepts(self) -> Callable[[str], bool] | None:
        """The function that says whether the sink gets events of a given type; None if the sink gets every event."""
        if self.only is None and self.except_ is None:
            return None
        types = EventTypes(self.only or self.except_ or ())
        if self.only is not None:
            return types.__contains__
        return lambda event_type: event_type not in types

    @property
    def several_orgs(self) -> bool:
        """Whether the configuration has more than one org, as `note_orgs` has recorded."""
        return self._several_orgs

    def note_orgs(self, orgs: int) -> None:
        """Record how many orgs the configuration has.

        Whether there are several orgs counts as a setting of the sink. So if a reload changes it, a new sink is built.
        """
        self._several_orgs = orgs > 1

    @property
    def files(self) -> list[Path]:
        """The certificates and keys that these settings name."""
        named = (getattr(self, key, None) for key in ("ca_file", "cert_file", "key_file"))
        return [path for path in named if path]

    def file_problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, problem) for each file that the settings name and that cannot be used."""
        yield from ()
