"""Events as lines of JSON in a file: an archive that needs only a disk."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec

from forwarder import logs
from forwarder.core.errors import SinkError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.core.ports import Clock
from forwarder.ecs.document import DocumentOptions
from forwarder.ecs.documents import document_of
from forwarder.sinks.conversion import send_converted
from forwarder.sinks.file.lines import LineFile
from forwarder.sinks.file.settings import FileSinkSettings

_logger = logs.get("sinks")

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class FileSink:
    """`core.ports.Sink` for a file. Delivered means written and synced."""

    def __init__(self, name: str, settings: FileSinkSettings, clock: Clock) -> None:
        """Lock the file. In the background, open it, and truncate a partial last line.

        Raises:
            SinkError: another process writes this file.
        """
        self._name = name
        self._settings = settings
        self._file = LineFile(settings, clock)
        self._closed = False
        # One thread of its own: a disk that hangs must not use up the threads that everything else shares.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sink-{name}")
        with suppress(OSError):  # perhaps the disk is not mounted yet; each try locks again
            self._file.lock()
        self._thread.submit(self._open)

    def _open(self) -> None:
        try:
            self._file.open()
        except (OSError, SinkError) as error:
            _logger.error(  # noqa: TRY400 - the text says it all
                "the file cannot be opened; the events of this sink wait",
                action="file_not_open",
                sink=self._name,
                path=str(self._settings.path),
                error=_message(error),
            )

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """Deliver `batch`, as `core.ports.Sink.send`.

        If it is cancelled, the lines may still be written. They are sent again, so the file may hold an event
        twice, with the same uuid.
        """
        return await send_converted(batch, self._line, self._append)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    def _line(self, event: Event) -> bytes:
        if self._settings.format == "raw":
            # Inside a JSON string a line break is always escaped, so these are between tokens and mean
            # nothing.
            return event.body.translate(_LINE_BREAKS)
        return msgspec.json.encode(document_of(event, DocumentOptions()))

    async def _append(self, seqs: list[int], lines: list[bytes]) -> BatchResult:
        data = b"\n".join([*lines, b""])
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.append, data)
        except (OSError, SinkError) as error:
            detail = f"{self._settings.path}: {_message(error)}"
            return BatchResult(retry=seqs, reason=RetryReason.DISK, detail=detail, pause=True, whole=True)
        return BatchResult(delivered=seqs)


def _message(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
