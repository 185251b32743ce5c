"""Events as lines of JSON in a file: an archive that needs nothing but a disk."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec

from forwarder import logs
from forwarder.cooperative import Cooperative
from forwarder.core.errors import SinkError, UnmappableError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.ports import Clock
from forwarder.ecs.document import DocumentOptions, document
from forwarder.sinks.file.lines import LineFile, Rotation
from forwarder.sinks.file.settings import FileSinkSettings

_logger = logs.get("sinks")

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class FileSink:
    """`core.ports.Sink` on a file. Delivered means written and synced."""

    def __init__(self, name: str, settings: FileSinkSettings, clock: Clock) -> None:
        """Lock the file; it is opened, and a torn line cut off, in the background.

        Args:
            name: the sink's, for the log.
            settings: which file, in which form.
            clock: for the names and the age of files.

        Raises:
            SinkError: another process writes this file.
        """
        rotation = Rotation(settings.rotate_bytes, settings.rotate_age, settings.max_files)
        self._settings = settings
        self._file = LineFile(settings.path, rotation, clock)
        self._closed = False
        # One thread of its own: a disk that hangs must not use up the threads that everything else shares.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sink-{name}")
        self._name = name
        with suppress(OSError):  # a disk that is not mounted yet, perhaps; each try looks again
            self._file.lock()
        self._thread.submit(self._open)

    def _open(self) -> None:
        try:
            self._file.open()
        except (OSError, SinkError) as error:
            _logger.error(  # noqa: TRY400 - the text says it all
                "the file cannot be opened; the sink's events wait",
                action="file_not_open",
                sink=self._name,
                path=str(self._settings.path),
                error=_words(error),
            )

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """As `core.ports.Sink.send`. Where it is cancelled the lines may still be written; they are sent again then, so
        the file may hold an event twice, by the same uuid."""
        lines, seqs, rejected = await self._lines(batch)
        if not seqs:
            return BatchResult(rejected=rejected)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.append, lines)
        except (OSError, SinkError) as error:
            return BatchResult(
                retry=seqs,
                rejected=rejected,
                reason=RetryReason.DISK,
                detail=f"{self._settings.path}: {_words(error)}",
                pause=True,
                whole=True,
            )
        return BatchResult(delivered=seqs, rejected=rejected)

    async def close(self) -> None:
        """As `core.ports.Sink.close`."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    async def _lines(self, batch: Sequence[StoredEvent]) -> tuple[bytes, list[int], list[Rejection]]:
        """The batch as lines, the seqs that are in it, and those that fit no document."""
        cooperative = Cooperative()
        lines: list[bytes] = []
        seqs: list[int] = []
        rejected: list[Rejection] = []
        for stored in batch:
            try:
                lines.append(self._line(stored.event))
                seqs.append(stored.seq)
            except UnmappableError as error:
                rejected.append(Rejection(stored.seq, RejectReason.UNMAPPABLE, str(error)))
            await cooperative.yield_if_due()
        lines.append(b"")
        return b"\n".join(lines), seqs, rejected

    def _line(self, event: Event) -> bytes:
        if self._settings.format == "raw":
            # Within a JSON string a line break is always escaped, so these stand between tokens and mean nothing.
            return event.body.translate(_LINE_BREAKS)
        try:
            return msgspec.json.encode(document(event, DocumentOptions()))
        except UnmappableError:
            raise
        except Exception as error:  # one event that no mapping foresaw must not hold up all others
            words = f"the event cannot be turned into a document: {type(error).__name__}: {error}"
            raise UnmappableError(words) from error


def _words(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
