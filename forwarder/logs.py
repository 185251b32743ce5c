"""Log lines: one JSON object each on stderr, with a stable `action`; readable text where stderr is a terminal.

ERROR means that data is lost or a human must act; WARNING that something is odd and nothing is lost.
No line per event, and never an event's body.
"""

import logging
import sys

import structlog

Logger = structlog.typing.FilteringBoundLogger


def setup(level: str = "info", *, json: bool | None = None) -> None:
    """Send structlog's lines and those of the libraries to stderr in one form."""
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(number)
    for chatty in (
        "httpx",
        "httpcore",
        "urllib3",
        "uvicorn",
        "asyncio",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # These log each failed try; the worker says once that a sink fails, and why.
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


def get(room: str) -> Logger:
    """The logger of a room."""
    logger: Logger = structlog.get_logger(room)
    return logger
