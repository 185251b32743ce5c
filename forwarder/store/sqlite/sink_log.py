"""The part of the store that one sink uses, and the notifier that wakes the tasks that wait for events or alerts."""

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


class Notifier:
    """Wakes the tasks that wait for events, for replays or for alerts.

    Attributes:
        stored: the number of events ever stored; also the `seq` of the newest event.
        replay_requests: the number of requests to send dead letters again that this process has received.
        alert_commits: the number of commits with alerts that this process has tried, including failed ones.
    """

    def __init__(self, stored: int) -> None:
        self.stored = stored
        self.replay_requests = 0
        self.alert_commits = 0
        self._changed = asyncio.Event()
        self._alerted = asyncio.Event()

    def committed(self, stored: int) -> None:
        """Set the number of events ever stored. If the number has grown, wake the tasks that wait for events."""
        if stored > self.stored:
            self.stored = stored
            self._wake()

    def replay_requested(self) -> None:
        """Count a request to send dead letters again, and wake the tasks that wait for events or replays."""
        self.replay_requests += 1
        self._wake()

    def alerts_committed(self) -> None:
        """Count a commit with alerts, and wake the tasks that wait for alerts."""
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
    """Implements `core.ports.EventLog` for one sink. The interface describes the methods."""

    def __init__(self, sink: str, reader: Reader, writer: Writer, notifier: Notifier) -> None:
        self._sink = sink
        self._reader = reader
        self._writer = writer
        self._notifier = notifier
        # The last settlement, if its commit reported an error or its caller was cancelled; otherwise None. It may be
        # committed nevertheless, for example if the files were moved right after the commit.
        self._unconfirmed: Settlement | None = None

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return await self._reader.run(partial(queries.read, after=after, limit=limit, max_bytes=max_bytes))

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.replays`. The bodies of the returned events have at most 8 MiB together. Exception:
        the first event is always returned.

        If the dead letters cannot be read because the store is damaged, log an error and return an empty list, so that
        the sink still gets the events of the log.
        """
        query = partial(queries.replays, sink=self._sink, limit=limit, max_bytes=_REPLAY_BYTES)
        try:
            return await self._reader.run(query)
        except StoreFormatError as error:
            reason = str(error)
        _logger.error(
            "the store cannot read the dead letters that must be sent again, so none of them is sent; the "
            "delivery of other events continues",
            action="replay_failed",
            sink=self._sink,
            error=reason,
        )
        return []

    async def settle(self, settlement: Settlement) -> None:
        again, self._unconfirmed = settlement is self._unconfirmed, None
        try:
            await self._writer.submit(partial(operations.settle, sink=self._sink, settlement=settlement, again=again))
        except (StoreError, asyncio.CancelledError):  # not ValueError: after it, nothing is committed
            self._unconfirmed = settlement
            raise

    async def wait(self, after: int, *, replays: int) -> None:
        await self._notifier.wait(after, replays)

    @property
    def replay_requests(self) -> int:
        return self._notifier.replay_requests
