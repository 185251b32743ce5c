"""The child process that converts events, and the conversion of one event, which is the same in both processes.

`conversion_process` starts the child. This module imports little, because the child has a memory of its own.
"""

import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event

_T = TypeVar("_T")

_NICENESS = 10
"""Where cores are few, the answers to Okta come first."""


class Failure(msgspec.Struct, frozen=True):
    """Why an event cannot be converted."""

    detail: str


def attempt(convert: Callable[[Event], _T], event: Event) -> _T | Failure:
    """Convert `event`. Whatever exception the conversion raises becomes a Failure.

    So a bug in the conversion makes a dead letter of this event, which can be replayed, and does not stop the sink.
    """
    try:
        return convert(event)
    except UnmappableError as error:
        return Failure(str(error))
    except Exception as error:  # noqa: BLE001  # see above
        return Failure(f"the event cannot be converted: {type(error).__name__}: {error}")


def serve() -> None:
    """Read a function from stdin, then lists of events, and answer each on stdout: the function with None, a list of events
    with the list of results. All are pickles.

    Ends when the parent closes stdin, also because it was killed.
    """
    _yield_to_parent()
    requests = sys.stdin.buffer
    # `sys.stdout` may write a part only, with PYTHONUNBUFFERED, and also has what a library prints.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    convert = pickle.load(requests)  # noqa: S301  # from the parent
    answer: list[object] | None = None
    while True:
        results.write(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        results.flush()
        try:
            events = pickle.load(requests)  # noqa: S301  # from the parent
        except EOFError:
            return
        answer = [attempt(convert, event) for event in events]


def _yield_to_parent() -> None:
    """Lower the priority, and have the kernel end this process first where memory is short. A sandbox may forbid either."""
    with suppress(OSError):
        os.nice(_NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
