"""The sink `otlp`: the SDK's exporter called directly, one request a batch, and the server's real answer read.

Never a processor of the SDK: those drop what a slow server makes them drop, and say nothing. What a status means
stands in `transport`; what it means that a server takes a request but not all of its records stands here. A second
copy of a record carries the same `log.record.uid`, so whoever reads the logs can tell.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from opentelemetry.sdk._logs import ReadableLogRecord

from forwarder import logs
from forwarder.cooperative import Cooperative
from forwarder.core.errors import UnmappableError
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.core.ports import Clock
from forwarder.sinks import outcomes
from forwarder.sinks.otlp.record import record
from forwarder.sinks.otlp.response import Exporter, Reply
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_GRACE = 1.0
"""Seconds beyond the request's own timeout until its thread is given up: looking up a name heeds no timeout."""

_WARN_EVERY = 60.0

_T = TypeVar("_T")


class OtlpSink:
    """`core.ports.Sink` for OTLP logs over HTTP or gRPC. Several `send`s may run at once."""

    def __init__(self, settings: OtlpSinkSettings, clock: Clock, timeout: float = 10.0) -> None:
        """Args:
            settings: the operator's.
            clock: for a `Retry-After` that names a date.
            timeout: seconds that one request may take.

        Raises:
            SinkError: `ca_file`, `cert_file` or `key_file` cannot be used.
        """
        settings.check_files()
        self._settings = settings
        self._clock = clock
        self._timeout = timeout
        self._connect = _connector(settings.protocol, timeout, clock)
        self._idle: list[Exporter] = []
        self._warn_from = clock.monotonic()

    def reload(self, settings: OtlpSinkSettings) -> None:
        """Take the headers of `settings`, and what its files hold now, from the next `send` on."""
        self._settings = settings
        self._drop_idle()

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """As the port says."""
        seqs, records, unmappable = await self._records(batch)
        if not records:
            return BatchResult(rejected=unmappable)
        outcome = self._outcome(seqs, await self._export(records))
        return msgspec.structs.replace(outcome, rejected=[*unmappable, *outcome.rejected])

    async def close(self) -> None:
        """As the port says."""
        self._drop_idle()

    async def _records(
        self, batch: Sequence[StoredEvent]
    ) -> tuple[list[int], list[ReadableLogRecord], list[Rejection]]:
        """The seqs and records of the events that have one, and the others with the reason."""
        seqs: list[int] = []
        records: list[ReadableLogRecord] = []
        rejected: list[Rejection] = []
        cooperative = Cooperative()
        for stored in batch:
            try:
                records.append(record(stored.event))
                seqs.append(stored.seq)
            except UnmappableError as error:
                words = str(error)[: outcomes.DETAIL_LIMIT]
                rejected.append(Rejection(stored.seq, RejectReason.UNMAPPABLE, words))
            except Exception as error:  # noqa: BLE001  # a fault of our mapping costs one event, never the sink
                words = f"the event cannot be turned into a record: {type(error).__name__}: {error}"
                rejected.append(
                    Rejection(stored.seq, RejectReason.UNMAPPABLE, words[: outcomes.DETAIL_LIMIT])
                )
            await cooperative.yield_if_due()
        return seqs, records, rejected

    async def _export(self, records: Sequence[ReadableLogRecord]) -> Reply:
        # While it works, an exporter belongs to this call alone. It goes back only if the server answered: after
        # anything else, also when this call is cancelled, its thread may still run, or its connection be dead.
        settings = self._settings
        exporter = self._idle.pop() if self._idle else self._connect(settings)
        answered = False
        try:
            async with asyncio.timeout(self._timeout + _GRACE):
                reply = await _in_thread(lambda: exporter.export(records))
            answered = reply.answered
        except TimeoutError:
            reply = Reply(outcomes.TIMEOUT, f"no answer in {self._timeout} s", answered=False)
        except Exception as error:  # noqa: BLE001  # whatever a library raises, the events must be sent again
            words = f"{type(error).__name__}: {error}"
            reply = Reply(outcomes.failure(error), words, answered=False)
        finally:
            if answered and settings is self._settings:
                self._idle.append(exporter)
            else:
                exporter.close()
        return reply

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _outcome(self, seqs: list[int], reply: Reply) -> BatchResult:
        if reply.verdict != outcomes.DELIVERED:
            return outcomes.whole(seqs, reply.verdict, reply.detail, reply.wait)
        words = reply.detail[: outcomes.DETAIL_LIMIT]
        if reply.refused >= len(seqs):
            return outcomes.whole(seqs, outcomes.Verdict(reject=RejectReason.PARTIAL_SUCCESS), words)
        if words and not reply.refused:
            self._warn(words)
        # The server does not say which of the records it refused, and OTLP forbids to send the batch again.
        return BatchResult(delivered=seqs, unattributed=reply.refused, detail=words)

    def _warn(self, words: str) -> None:
        now = self._clock.monotonic()
        if now >= self._warn_from:
            self._warn_from = now + _WARN_EVERY
            logs.get("sinks").warning(
                "the OTLP server took the events with a warning",
                action="otlp_warning",
                endpoint=self._settings.url,
                detail=words,
            )


def _connector(protocol: str, timeout: float, clock: Clock) -> Callable[[OtlpSinkSettings], Exporter]:
    """What makes an exporter. Only what the protocol needs is loaded: each of the two costs some 20 MB."""
    if protocol == "grpc":
        from forwarder.sinks.otlp.grpc import GrpcExporter  # noqa: PLC0415  # as above

        return lambda settings: GrpcExporter(settings, timeout)
    from forwarder.sinks.otlp.http import HttpExporter  # noqa: PLC0415  # as above

    return lambda settings: HttpExporter(settings, timeout, clock)


async def _in_thread(call: Callable[[], _T]) -> _T:
    """What `call` gives or raises, from a thread of its own.

    A daemon, unlike the threads of an executor: one that is stuck holds up neither the loop's end nor the process's.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def succeed(result: _T) -> None:
        if not done.done():
            done.set_result(result)

    def fail(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def work() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # it is raised where it is awaited
            _tell(loop, fail, error)
        else:
            _tell(loop, succeed, result)

    threading.Thread(target=work, name="otlp", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, hear: Callable[[_T], None], what: _T) -> None:
    """Let the loop hear what came of a thread, if it is still there."""
    try:
        loop.call_soon_threadsafe(hear, what)
    except RuntimeError:
        if not loop.is_closed():
            raise
