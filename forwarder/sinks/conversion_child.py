"""The code of the child process that converts events. The function `attempt`, which converts one event, is used by the
main process too.

The module `conversion` starts the child. This module imports only a few other modules, because each import takes memory
in the child.
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
"""The number that the child adds to its nice value. If the CPU cores are busy, the system then prefers the main
process, which answers Okta."""


class Failure(msgspec.Struct, frozen=True):
    """The result of a conversion that failed. `detail` is the reason why the event cannot be converted."""

    detail: str


def attempt(convert: Callable[[Event], _T], event: Event) -> _T | Failure:
    """Return `convert(event)`, or a Failure if the conversion raises any exception.

    So a bug in the conversion does not stop the sink. Only `event` becomes a dead letter, which an operator can send
    again later.
    """
    try:
        return convert(event)
    except UnmappableError as error:
        return Failure(str(error))
    except Exception as error:  # noqa: BLE001  # the docstring says why
        return Failure(f"the event cannot be converted: {type(error).__name__}: {error}")


def serve() -> None:
    """Run the child process. Read requests from stdin, and write one answer to stdout for each request. The first
    request is the conversion function; every other request is a list of events.

    The answer to the function is None. The answer to a list of events is a list with the result of `attempt` for each
    event. Requests and answers are pickles. The child ends when its stdin is closed. This also happens when the parent
    is killed.
    """
    _yield_to_parent()
    requests = sys.stdin.buffer
    # `sys.stdout` is not used: with PYTHONUNBUFFERED it may write only a part, and a library may print to it.
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
    """Lower the priority of this process, and make the kernel kill this process first if memory is short. If a sandbox
    forbids one of these two changes, ignore the error."""
    with suppress(OSError):
        os.nice(_NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
