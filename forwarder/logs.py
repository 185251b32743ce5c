"""Writes log lines to stderr: JSON objects with ECS fields, or readable text on a terminal.

Each line has a text, a level, a stable `action`, and the room (the part of the forwarder) that logs it. docs/logs.md
lists all lines. ERROR means that data is lost or an operator must act; WARNING means that something is unusual, but no
data is lost. There is no line for each event, and no line has an event's body.
"""

import logging
import os
import select
import stat
import sys
from collections import deque
from importlib.metadata import version
from typing import Any, TextIO, cast

import ecs_logging
import structlog

from forwarder.core.ports import Clock
from forwarder.core.printable import has_styles, printable, printable_line
from forwarder.core.redaction import redact_all

Logger = structlog.typing.FilteringBoundLogger

ECS_VERSION = "8.11.0"

lines_written = dict.fromkeys(("debug", "info", "warning", "error", "critical"), 0)
"""The number of lines that this process has written, by level."""

_SAME_IN_EACH = {
    "event.dataset": "okta_forwarder.log",
    "service.name": "okta-forwarder",
    "service.version": version("okta-forwarder"),
}

_ECS_FIELDS = {
    "action": "event.action",
    "logger": "log.logger",
    "org": "labels.org",
    "sink": "labels.sink",
    "error": "error.message",
    "exception": "error.stack_trace",
    "timestamp": "@timestamp",
}
"""The name in ECS for each of these fields of a line. All other fields go below `okta_forwarder`."""


def setup(level: str = "info", *, json: bool | None = None) -> None:
    """Write the log lines of the forwarder and of its libraries to stderr, all in one format.

    `level` is the lowest level to write. If `json` is None, the format is text on a terminal and JSON elsewhere.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderers = _ecs_renderers() if as_json else _text_renderers()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    # If a line cannot be written, Python would print it in a traceback, with every secret in it.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(_stream())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _count, _redact, *renderers],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(number)
    for name in ("httpx", "httpcore", "urllib3", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # These libraries log each failed try. The worker's line, which says once that a sink fails and why, is enough.
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


_PATIENCE = 500  # milliseconds to wait until the reader of a pipe takes data
_ATOMIC = select.PIPE_BUF
"""If a pipe can take data at all, it takes this number of bytes without blocking."""


class _Pipe:
    """Writes log lines to a pipe, a socket or a terminal, but never waits long for its reader.

    Otherwise a log collector that hangs would stop the event loop, and no POST would be answered. A terminal that is paused with Ctrl-S would also stop it, and so would the terminal of a container if no process reads
    its log. If the reader takes nothing for
    _PATIENCE milliseconds, lines are dropped until it reads again. Then a line says how many were dropped.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0
        self._is_cut = False  # whether the last line was written only in part

    def write(self, line: str) -> None:
        if not self._poll.poll(0 if self._dropped else _PATIENCE):
            self._dropped += 1
            return
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            text = "log lines were dropped, because nothing read them"
            get("app").warning(text, action="lines_dropped", lines=dropped)
        data = ("\n" if self._is_cut else "").encode() + line.encode(errors="backslashreplace")
        while data and self._poll.poll(_PATIENCE):
            try:
                data = data[os.write(self._descriptor, data[:_ATOMIC]) :]
            except BlockingIOError:  # a terminal may have room, but not for the next character
                break
        self._is_cut = bool(data)

    def flush(self) -> None:
        """Do nothing, because `write` buffers nothing."""


def _stream() -> TextIO:
    """Return stderr. If stderr is a pipe, a socket or a terminal, return a stream that writes to it and never
    blocks."""
    try:
        descriptor = sys.stderr.fileno()
        mode = os.fstat(descriptor).st_mode
        if os.isatty(descriptor):
            # Opened again, because O_NONBLOCK on stderr itself would also hold for the shell that shares it.
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return cast("TextIO", _Pipe(os.open(f"/proc/self/fd/{descriptor}", flags)))
    except (OSError, ValueError):
        return sys.stderr
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return cast("TextIO", _Pipe(descriptor))
    return sys.stderr


def _ecs_renderers() -> list[structlog.typing.Processor]:
    # JSON escapes the characters that could control a terminal.
    return [_to_ecs, cast("structlog.typing.Processor", _EcsFormatter())]


def _text_renderers() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.EventRenamer("message"),  # "event" means an Okta event in this product
        _make_printable,
        structlog.dev.ConsoleRenderer(event_key="message", colors=_has_colors()),
    ]


def _count(_: Any, level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if level in lines_written:
        lines_written[level] += 1
    return line


class _EcsFormatter(ecs_logging.StructlogFormatter):
    """Elastic's formatter, but each line has our ECS version instead of ECS 1.6."""

    def format_to_ecs(self, event_dict: dict[str, Any]) -> dict[str, Any]:
        return super().format_to_ecs({**event_dict, "ecs.version": ECS_VERSION})


def _to_ecs(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Rename the fields of a line to ECS fields; fields without a name in ECS go into `okta_forwarder`."""
    # The formatter takes the text of the line from `event`.
    ecs: dict[str, Any] = {"event": line.pop("event"), **_SAME_IN_EACH}
    line.pop("level", None)  # the formatter gets the level separately
    for name in _ECS_FIELDS.keys() & line.keys():
        ecs[_ECS_FIELDS[name]] = line.pop(name)
    return ecs | ({"okta_forwarder": dict(line)} if line else {})


def _redact(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    redacted: structlog.typing.EventDict = redact_all(line)
    return redacted


def _make_printable(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = printable(value) if name == "exception" else printable_line(value)
    return line


def _has_colors() -> bool:
    return sys.stderr.isatty() and has_styles(os.environ)


def get(room: str) -> Logger:
    """Return the logger of `room`. Its lines have the name of the room in the field `logger`."""
    logger: Logger = structlog.get_logger(room)
    return logger


class RecoveryLimit:
    """Allows five log lines about recoveries in five minutes. Otherwise a part that fails and recovers again and again
    would fill the log.

    The caller logs a recovery only if `allows` returns True. If it returns False, the caller logs no new failure, and
    calls `allows` again from time to time while the part works. So after at most five minutes, the last line in the log
    is true.
    """

    _NUMBER, _SECONDS = 5, 300.0

    def __init__(self) -> None:
        self._allowed: deque[float] = deque(maxlen=self._NUMBER)  # the times of the last allowed recoveries

    def allows(self, now: float) -> bool:
        """Whether a recovery may be logged now, at the time `now` of the monotonic clock in seconds.

        If the result is True, the recovery counts as logged.
        """
        if len(self._allowed) == self._NUMBER and now - self._allowed[0] < self._SECONDS:
            return False
        self._allowed.append(now)
        return True


class RateLimitedLogger:
    """Limits repeated log lines. After a line with a key, it suppresses further lines with this key for `interval`
    seconds.

    The key of a line is its `action` and the arguments `key`. The next written line with the key has the number of
    suppressed lines. Keys come from enums and from the configuration, so there are few of them.
    """

    def __init__(self, logger: Logger, clock: Clock, interval: float = 10.0) -> None:
        self._logger = logger
        self._clock = clock
        self._interval = interval
        self._last: dict[tuple[str, ...], float] = {}
        self._suppressed: dict[tuple[str, ...], int] = {}

    def info(self, text: str, *key: str, action: str, **fields: object) -> None:
        """Log `text` at level INFO, unless a line with the same `action` and `key` was written within the interval."""
        if (suppressed := self._take(action, *key)) is not None:
            self._logger.info(text, action=action, suppressed=suppressed, **fields)

    def warning(self, text: str, *key: str, action: str, **fields: object) -> None:
        """Log `text` as a warning, unless a line with the same `action` and `key` was written within the interval."""
        if (suppressed := self._take(action, *key)) is not None:
            self._logger.warning(text, action=action, suppressed=suppressed, **fields)

    def error(self, text: str, *key: str, action: str, **fields: object) -> None:
        """Log `text` as an error, unless a line with the same `action` and `key` was written within the interval."""
        if (suppressed := self._take(action, *key)) is not None:
            self._logger.error(text, action=action, suppressed=suppressed, **fields)

    def reset(self) -> None:
        """Let the next line of each key be written at once, without waiting for the interval."""
        self._last.clear()

    def _take(self, *key: str) -> int | None:
        """Return how many lines of `key` were suppressed since the last written line; None if this line must be
        suppressed too."""
        now = self._clock.monotonic()
        last = self._last.get(key)
        if last is not None and now - last < self._interval:
            self._suppressed[key] = self._suppressed.get(key, 0) + 1
            return None
        self._last[key] = now
        return self._suppressed.pop(key, 0)
