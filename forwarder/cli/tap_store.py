"""Reads the events of `forwarder tap` from the store on this machine, without asking the forwarder."""

import contextlib
import math
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.time import Micros
from forwarder.core.wording import agrees, count
from forwarder.ops.event_view import EventFilter, Form, in_form, line, made_or_error

if TYPE_CHECKING:
    from forwarder.store.interface import StoreCommands, Tail
    from forwarder.store.settings import StoreSettings

FIELDS = ("published", "source", "event_type", "outcome", "actor", "target", "client_ip")
"""The fields of a line that the table shows."""

_PACE = 0.2  # seconds between two reads of the store
_EVENTS = 500  # the maximum in one read
_BYTES = 4 * 1024 * 1024  # the maximum in one read


class Notice(msgspec.Struct, frozen=True):
    """A message for the operator about the shown events, such as that events were skipped."""

    text: str


class TapOptions(msgspec.Struct, frozen=True):
    """The options of `forwarder tap`: which events it shows, and how.

    Attributes:
        since: only events that were received at this time or later are shown. If None, only new events are shown if
            `follow` is true, else the newest events.
        follow: whether to continue with events that are stored later.
        limit: the maximum number of events; None for no limit.
        seconds: the number of seconds after which the command ends; None for no limit.
        form: each line also has the whole event in this form; None adds nothing.
        accepts: a function that says whether a sink gets events of a type (`only` and `except`); None shows every
            type.
        redact: a function that removes from an event the fields that must not be shown; None shows every field.
        sent: a function that makes the document that a sink would send for an event. Each line shows this document as
            `sink`; None adds nothing.
    """

    filter: EventFilter
    since: Micros | None
    follow: bool
    limit: int | None
    seconds: float | None
    form: Form | None
    accepts: Callable[[str], bool] | None = None
    redact: Callable[[Event], Event] | None = None
    sent: Callable[[Event], Any] | None = None


def from_store(
    settings: "StoreSettings", commands: "StoreCommands", wanted: TapOptions
) -> Iterator[dict[str, Any] | Notice]:
    """Yield notices, and a line for each event: a mapping of the fields that an operator sees.

    If `wanted.form` is set, each line also has the whole event under the name of this form, such as `raw`. If
    `wanted.sent` is set, each line also has the document for the sink under the key `sink`. The iterator ends when all
    events are shown, when the time is up, or when the forwarder stops.

    Raises:
        BrokenPipeError: stdout is a closed pipe.
        StoreError: there is no store, or the store cannot be read.
    """
    from forwarder.control_socket.client import attached

    with ExitStack() as stack:
        tail = stack.enter_context(commands.tail())
        running = stack.enter_context(attached(settings.path)) if wanted.follow else None
        if wanted.since is None and not wanted.follow:
            yield from _newest(tail, wanted)
            return
        position = tail.seq_range()[1] if wanted.since is None else tail.received_since(wanted.since) - 1
        if wanted.since is not None and _is_incomplete(tail, position, wanted.since):
            yield Notice(
                f"{count(position, 'older event')} {agrees(position, 'is', 'are')} no longer stored (store.retention)"
            )
        if wanted.follow:
            alone = "no forwarder runs on this store; only the events in the store are shown"
            yield Notice(alone if running is None else "waiting for new events; Ctrl-C ends the command")
        yield from _read(tail, running, position, wanted)


def _read(
    tail: "Tail", running: socket.socket | None, position: int, wanted: TapOptions
) -> Iterator[dict[str, Any] | Notice]:
    """Yield the events after `position`.

    `running` is a connection to the running forwarder; the iterator ends when this forwarder stops. If `running` is None,
    the iterator ends with the last event in the store.
    """
    ends_at = math.inf if wanted.seconds is None else time.monotonic() + wanted.seconds
    waiter = _Waiter(running)
    while time.monotonic() < ends_at:
        # Checked before the read: if the forwarder has stopped already, the read returns its last events.
        is_last = waiter.ended
        oldest, newest = tail.seq_range()
        skipped = min(oldest - 1, newest) - position
        if skipped > 0:
            yield Notice(
                f"{count(skipped, 'event')} {agrees(skipped, 'was', 'were')} skipped: the store has dropped them"
            )
            position += skipped
        events = tail.events(position, limit=_EVENTS, max_bytes=_BYTES)
        for stored in events:
            position = stored.seq
            if shown := _shown(stored, wanted):
                yield shown
        if not events and is_last:
            if running is not None:
                yield Notice("the forwarder stopped")
            return
        if not events:
            waiter.wait(min(_PACE, max(0.0, ends_at - time.monotonic())))


def _is_incomplete(tail: "Tail", position: int, since: Micros) -> bool:
    """Whether the store may have dropped events that were received after `since`.

    This is the case if the next event after `position` is the oldest in the store, and was received after `since`.
    """
    first = tail.events(position, limit=1, max_bytes=1)
    return 0 < position < tail.seq_range()[0] and bool(first) and first[0].event.received_at > since


def _shown(stored: StoredEvent, wanted: TapOptions) -> dict[str, Any] | None:
    event = stored.event
    if not wanted.filter.may_match(event) or (wanted.since is not None and event.received_at < wanted.since):
        return None
    if wanted.accepts is not None and not wanted.accepts(event.event_type):
        return None
    shown = line(stored)
    if not wanted.filter.matches(shown):
        return None
    if wanted.redact is not None:
        try:
            event = wanted.redact(event)
        except UnmappableError as error:  # a sink would not get this event either
            return shown | {key: {"error": str(error)} for key in [*Form, "sink"]}
        shown = line(StoredEvent(stored.seq, event))
    if wanted.form is not None:
        shown[wanted.form.value] = in_form(event, wanted.form)
    if wanted.sent is not None:
        shown["sink"] = made_or_error(wanted.sent, event)
    return shown


def _newest(tail: "Tail", wanted: TapOptions) -> Iterator[dict[str, Any]]:
    """Yield the newest `wanted.limit` events that match `wanted`, in the order of the store."""
    oldest, newest = tail.seq_range()
    found: list[dict[str, Any]] = []
    high = newest
    while high >= oldest and len(found) < (wanted.limit or newest):
        low = max(oldest, high - _EVENTS + 1)
        part: list[dict[str, Any]] = []
        position = low - 1
        while position < high:  # one read may return fewer events than wanted, because of its limit of bytes
            events = [one for one in tail.events(position, limit=high - position, max_bytes=_BYTES) if one.seq <= high]
            if not events:
                break
            part += [shown for one in events if (shown := _shown(one, wanted))]
            position = events[-1].seq
        found = part + found
        high = low - 1
    yield from found[-wanted.limit :] if wanted.limit else found


class _Waiter:
    """Waits between two reads of the store, and notices when the forwarder stops or stdout is closed."""

    def __init__(self, running: socket.socket | None) -> None:
        self._poll = select.poll()
        self._running = running.fileno() if running is not None else None
        self._stdout: int | None = None
        self.ended = running is None
        if self._running is not None:
            self._poll.register(self._running, select.POLLIN)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stdout is not a file, as in a test
            self._stdout = sys.stdout.fileno()
            self._poll.register(self._stdout, 0)  # poll always reports POLLERR and POLLHUP

    def wait(self, seconds: float) -> None:
        """Wait for `seconds`. If the forwarder stops during this time, set `ended` to True and return.

        Raises:
            BrokenPipeError: stdout is a closed pipe.
        """
        for descriptor, happened in self._poll.poll(seconds * 1000):
            if descriptor == self._running:
                self.ended = True
                self._poll.unregister(descriptor)
            elif descriptor == self._stdout and happened & (select.POLLERR | select.POLLNVAL):
                raise BrokenPipeError
