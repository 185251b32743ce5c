"""The store as one sink sees it, and the signal that wakes sinks when events are stored."""

import asyncio
from functools import partial

from forwarder import logs
from forwarder.core.errors import StoreError, StoreFormatError
from forwarder.core.event import StoredEvent
from forwarder.core.ports import Settlement
from forwarder.store.sqlite import operations, queries
from forwarder.store.sqlite.connection import Reader
from forwarder.store.sqlite.writer import Writer

_REPLAY_BYTES = 8 * 1024 * 1024  # bodies in one result of `replays`

_logger = logs.get("store")


class News:
    """Wakes sinks when an event was stored, or when a replay was requested, and reactions when alerts were stored.

    Attributes:
        stored: how many events were ever stored.
        replay_requests: how often this process was asked to send dead letters again.
        alert_commits: how many commits with alerts this process has tried.
    """

    def __init__(self, stored: int) -> None:
        self.stored = stored
        self.replay_requests = 0
        self.alert_commits = 0
        self._changed = asyncio.Event()
        self._alerted = asyncio.Event()

    def committed(self, stored: int) -> None:
        """Set `stored`, and wake the waiting sinks if it grew."""
        if stored > self.stored:
            self.stored = stored
            self._wake()

    def replay_requested(self) -> None:
        """Count a request to send dead letters again, and wake all waiting sinks."""
        self.replay_requests += 1
        self._wake()

    def alerts_committed(self) -> None:
        """Count a commit with alerts, and wake `wait_for_alerts`."""
        self.alert_commits += 1
        self._alerted.set()
        self._alerted = asyncio.Event()

    async def wait_for_alerts(self, commits: int) -> None:
        """See `store.interface.Store.wait_for_alerts`."""
        while self.alert_commits == commits:
            await self._alerted.wait()

    async def wait(self, after: int, replays: int) -> None:
        """See `core.ports.EventLog.wait`."""
        while self.stored <= after and self.replay_requests == replays:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class SinkLog:
    """`core.ports.EventLog` of one sink; the methods are described there."""

    def __init__(self, sink: str, reader: Reader, writer: Writer, news: News) -> None:
        self._sink = sink
        self._reader = reader
        self._writer = writer
        self._news = news
        # The settlement whose commit failed or was not confirmed: files may be moved right after a commit.
        self._unconfirmed: Settlement | None = None

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return await self._reader.run(partial(queries.read, after=after, limit=limit, max_bytes=max_bytes))

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        """Do what `core.ports.EventLog.replays` says, but return at most 8 MiB of bodies, or one event.

        The list is empty if the dead letters are damaged, so that events of the log are still delivered.
        """
        query = partial(queries.replays, sink=self._sink, limit=limit, max_bytes=_REPLAY_BYTES)
        try:
            return await self._reader.run(query)
        except StoreFormatError as error:
            reason = str(error)
        _logger.error(
            "dead letters cannot be sent again; other events are delivered",
            action="replay_failed",
            sink=self._sink,
            error=reason,
        )
        return []

    async def settle(self, settlement: Settlement) -> None:
        again, self._unconfirmed = settlement is self._unconfirmed, None
        try:
            await self._writer.submit(
                partial(operations.settle, sink=self._sink, done=settlement, again=again)
            )
        except (StoreError, asyncio.CancelledError):  # not after a ValueError: then nothing was committed
            self._unconfirmed = settlement
            raise

    async def wait(self, after: int, *, replays: int) -> None:
        await self._news.wait(after, replays)

    @property
    def replay_requests(self) -> int:
        return self._news.replay_requests
