"""The lines that a command and the running forwarder send to each other, and the path of their socket.

A client sends one JSON line, the request, and keeps the connection open. The server answers with JSON lines: one that
says that it has accepted the request, any number of lines with `progress`, then one line with `result` or `error`.
While it works, it repeats the line with `accepted` every `ALIVE_INTERVAL` seconds. If the client disconnects before the
last line, the server cancels the command.

    {"command": "replay", "selection": {"ids": [7], "sink": null, "reason": null}}
    {"accepted": true}
    {"result": 1}
"""

import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec

_MAX_PATH = 100  # bytes of a socket's path; the kernel allows 107
REQUEST_TIMEOUT = 10.0
"""The number of seconds for a client to send its request."""
ALIVE_INTERVAL = 10.0
"""The number of seconds between two lines with `accepted`."""

ERRORS = (
    "StoreFullError", "StoreTimeoutError", "StoreError", "OktaUnreachableError", "OktaError", "ReactionError",
)  # fmt: skip
"""The types of errors that the client raises again. An error of another type becomes its nearest base class in this
list, or ForwarderError if it has none."""


class ControlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command"):
    """Base class of all requests. The tag of a subclass is the name of its command in the JSON line.

    Attributes:
        returns: the type of the result.
        reports: the type of each progress report.
    """

    returns: ClassVar[Any] = Any
    reports: ClassVar[Any] = Any


class WatchRequest(ControlRequest, frozen=True, tag="watch"):
    """Gets no answer, but keeps the connection open, so that the client notices when the forwarder stops."""


Report = Callable[[Any], None]
"""A function that sends its argument, a struct, to the client as the progress of the request."""

Handler = Callable[[Any, Report], Coroutine[Any, Any, Any]]
"""A function that carries out a request. It returns any value that JSON can hold except None, or raises a
ForwarderError."""


class ControlReply(msgspec.Struct, omit_defaults=True):
    """One line of the answer. `kind` is the type of `error`, or its nearest base class, in `ERRORS`; else empty."""

    accepted: bool = False
    progress: Any = None
    result: Any = None
    error: str | None = None
    kind: str = ""


def socket_path(store: Path) -> Path:
    """Return the path of the Unix socket where the forwarder that runs on `store` listens for commands."""
    real = Path(os.path.realpath(store))  # so that all links to the store lead to one socket
    return real.with_name(real.name + ".control")


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address for `path` that is short enough for a Unix socket; valid only within the `with` block."""
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
