"""The sink `file`, which writes each event as a line of JSON to a file. The file is an archive that needs only a
disk."""

import asyncio
import errno
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
from forwarder.ecs.document_by_source import document_of
from forwarder.safe_files import LARGER_FILES, WRITE_HINTS
from forwarder.sinks.conversion import Conversion
from forwarder.sinks.file.line_file import LineFile
from forwarder.sinks.file.settings import FileSinkSettings

_logger = logs.get("sinks")

_HINTS = {**WRITE_HINTS, errno.EFBIG: f"{LARGER_FILES}, or lower `rotate_bytes`"}

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class FileSink:
    """The `core.ports.Sink` for a file. An event counts as delivered when its line is written and fsynced."""

    def __init__(self, name: str, settings: FileSinkSettings, clock: Clock) -> None:
        """Lock the file. Then open the file and remove a partial last line, in the background.

        Raises:
            SinkError: another process writes to this file.
        """
        self._name = name
        self._settings = settings
        self._file = LineFile(settings, clock)
        self._closed = False
        self._lines = Conversion(self._line)
        # The sink has its own thread, so that a disk that hangs does not block the threads that other code shares.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sink-{name}")
        with suppress(OSError):  # the disk may not be mounted yet; each `append` tries to lock again
            self._file.lock()
        self._thread.submit(self._open)

    def _open(self) -> None:
        try:
            self._file.open()
        except (OSError, SinkError) as error:
            _logger.error(  # noqa: TRY400 - a traceback would add nothing
                "the file of the sink cannot be opened; the events stay in the store until the file can be opened",
                action="file_not_open",
                sink=self._name,
                path=str(self._settings.path),
                error=_message(error),
            )

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """Write `batch` to the file, and return the result.

        If this call is cancelled, the lines may still be written. The worker then sends the batch again, because an
        event must not be lost. So the file may contain an event twice, with the same uuid.
        """
        return await self._lines.send(batch, self._append)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    def _line(self, event: Event) -> bytes:
        if self._settings.format == "raw":
            # In a JSON string, line breaks are always escaped. So an unescaped line break is between tokens, and has no
            # meaning.
            return event.body.translate(_LINE_BREAKS)
        return msgspec.json.encode(document_of(event, DocumentOptions()))

    async def _append(self, seqs: list[int], lines: list[bytes]) -> BatchResult:
        data = b"\n".join([*lines, b""])
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.append, data)
        except (OSError, SinkError) as error:
            # The error names the file that cannot be used, which may be the lock file or the directory.
            detail = f"{getattr(error, 'filename', None) or self._settings.path}: {_message(error)}"
            return BatchResult(
                retry=seqs, reason=RetryReason.DISK, detail=detail, hint=_hint(error), pause=True, whole=True
            )
        return BatchResult(delivered=seqs)


def _message(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _hint(error: Exception) -> str:
    """Return what an operator should do about `error`, which a method of `LineFile` raised."""
    if isinstance(error, OSError):
        return _HINTS.get(error.errno or 0, "check the disk and the path")
    return "do what the detail says"  # the text of each SinkError says what to do
