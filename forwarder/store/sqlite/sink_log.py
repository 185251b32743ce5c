"""The part of the store that one sink uses, and the signal that wakes the sinks when events are stored."""

import asyncio
from functools import partial

from forwarder import logs
from forwarder.core.errors import StoreError, StoreFormatError
from forwarder.core.event import StoredEvent
from forwarder.core.ports import Settlement
from forwarder.store.sqlite import operations, queries
from forwarder.store.sqlite.connection import Reader
from forwarder.store.sqlite.writer import Writer

_REPLAY_BYTES = 8 * 1024 * 1024  # the most bytes of bodies in one result of `replays`

_logger = logs.get("store")


class News:
    """Wakes the sinks when an event was stored or a replay was requested, and the reactions when alerts were stored.

    Attributes:
        stored: the number of events ever stored.
        replay_requests: the number of times this process was asked to send dead letters again.
        alert_commits: the number of commits with alerts that this process has tried.
    """

    def __init__(self, stored: int) -> None:
        self.stored = stored
        self.replay_requests = 0
        self.alert_commits = 0
        self._changed = asyncio.Event()
        self._alerted = asyncio.Event()

    def committed(self, stored: int) -> None:
        """Set the number `stored` of events ever stored, and wake the waiting sinks if it has grown."""
        if stored > self.stored:
            self.stored = stored
            self._wake()

    def replay_requested(self) -> None:
        """Count a request to send dead letters again, and wake all waiting sinks."""
        self.replay_requests += 1
        self._wake()

    def alerts_committed(self) -> None:
        """Count a commit with alerts, and wake the callers of `wait_for_alerts`."""
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
    """The `core.ports.EventLog` of one sink; that class describes the methods."""

    def __init__(self, sink: str, reader: Reader, writer: Writer, news: News) -> None:
        self._sink = sink
        self._reader = reader
        self._writer = writer
        self._news = news
        # The settlement whose commit reported an error, or whose caller was cancelled. It may be committed all the same, for
        # example if the files were moved right after the commit.
        self._unconfirmed: Settlement | None = None

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return await self._reader.run(partial(queries.read, after=after, limit=limit, max_bytes=max_bytes))

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        """Do the same as `core.ports.EventLog.replays`, but return at most 8 MiB of bodies, and at least one event.

        If the dead letters are damaged, return an empty list, so that the events of the log are still delivered.
        """
        query = partial(queries.replays, sink=self._sink, limit=limit, max_bytes=_REPLAY_BYTES)
        try:
            return await self._reader.run(query)
        except StoreFormatError as error:
            reason = str(error)
        _logger.error(
            "dead letters cannot be sent again, because the store cannot read them; other events are delivered",
            action="replay_failed",
            sink=self._sink,
            error=reason,
        )
        return []

    async def settle(self, settlement: Settlement) -> None:
        again, self._unconfirmed = settlement is self._unconfirmed, None
        try:
            await self._writer.submit(partial(operations.settle, sink=self._sink, done=settlement, again=again))
        except (StoreError, asyncio.CancelledError):  # after a ValueError, nothing was committed
            self._unconfirmed = settlement
            raise

    async def wait(self, after: int, *, replays: int) -> None:
        await self._news.wait(after, replays)

    @property
    def replay_requests(self) -> int:
        return self._news.replay_requests
