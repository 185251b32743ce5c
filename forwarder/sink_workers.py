"""Starts the sinks of a forwarder and their workers, replaces them at a reload, and stops them."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.errors import ForwarderError, SinkError, StoreError
from forwarder.core.ports import Clock, EventLog, Sink
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.safe_files import read_small
from forwarder.sink_settings import SinkSettings
from forwarder.sinks import registry
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.store.interface import Store
from forwarder.tasks import end_tasks

RELOAD_GRACE = 5.0
"""The number of seconds for which a sink may go on delivering before a reload replaces or removes it."""

_CLOSE_GRACE = 2.0
"""The number of seconds for which a reload or a stop waits until a sink is closed."""

_logger = logs.get("app")


class BuiltSink(NamedTuple):
    """A new sink, which a reload has built.

    Attributes:
        content: the digests of the files that the settings of the sink name.
        sink: the sink; None if it must be built later, because it writes to a file that a running sink still has open.
    """

    content: tuple[str, ...]
    sink: Sink | None


BuiltSinks = Mapping[str, BuiltSink]
"""The sinks that a reload adds or changes, by name."""


class SinkWorkers:
    """The running sinks and their workers. `workers` has the workers, by the name of the sink."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self.workers: dict[str, Worker] = {}
        self._sinks: dict[str, Sink] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._settings: dict[str, SinkSettings] = {}
        self._files: dict[str, object] = {}
        self._written: dict[str, Path] = {}  # the real paths of the files that running sinks write
        self._closing: dict[str, asyncio.Task[None]] = {}  # sinks that could not be closed in time

    async def start(self, sinks: Mapping[str, SinkSettings]) -> None:
        """Start every sink of `sinks`.

        Raises:
            ForwarderError: a sink cannot be built, or its position cannot be read from the store.
        """
        logs_and_positions = {name: await self._store.log(name, sinks[name].start) for name in sinks}
        await self._store.detach_except(sinks)
        await self._warn_of_removed_sinks()
        for name, settings in sinks.items():
            self._record(name, settings, _content(settings))
            self._sinks[name] = registry.build(name, settings, self._clock)
        for name in sinks:
            self._deliver(name, sinks[name], *logs_and_positions[name])

    async def build(self, sinks: Mapping[str, SinkSettings]) -> BuiltSinks:
        """Build a new sink for each entry of `sinks` that differs from the running sink in its settings or files.

        Raises:
            ForwarderError: a sink cannot be built. The new sinks that had already been built have been closed.
        """
        built: dict[str, BuiltSink] = {}
        async with AsyncExitStack() as unused:
            for name in sorted(sinks):
                new, old, content = sinks[name], self._settings.get(name), _content(sinks[name])
                if new == old and content == self._files.get(name):
                    continue
                sink = None
                # Only one sink at a time can lock a file.
                if _written_file(new) not in self._written.values():
                    sink = registry.build(name, new, self._clock)
                    unused.push_async_callback(sink.close)
                built[name] = BuiltSink(content, sink)
            unused.pop_all()
        return built

    async def apply(self, sinks: Mapping[str, SinkSettings], built: BuiltSinks) -> None:
        """Replace running sinks by the new sinks in `built`, the result of `build`. Stop each sink that `sinks` does
        not have."""
        removed = self._settings.keys() - sinks.keys()
        changed = self._settings.keys() & built.keys()
        # All old sinks end before a new one starts, because a new sink may write to the file of an old one.
        await asyncio.gather(*(self._end(name) for name in removed | changed))
        for name in removed:
            self._forget(name)
        await asyncio.gather(*(self._begin(name, sinks[name], new) for name, new in built.items()))
        if removed:
            try:
                await self._store.detach_except(sinks)
            except StoreError as error:
                _logger.warning(
                    "the store still keeps events for a removed sink; restart the forwarder to release them",
                    action="sink_not_detached",
                    error=str(error),
                )
            await self._warn_of_removed_sinks()

    async def stop(self, grace: float) -> None:
        """Let the workers deliver waiting events for at most `grace` seconds. Then end the workers."""
        await asyncio.gather(*(worker.stop(grace) for worker in self.workers.values()))
        await end_tasks(self._tasks.values())

    async def close(self) -> None:
        """Close the sinks."""
        await asyncio.gather(*(self._close(name) for name in list(self._sinks)))

    def _deliver(self, name: str, settings: SinkSettings, log: EventLog, position: int) -> None:
        worker = Worker(
            name,
            self._sinks[name],
            log,
            position,
            settings.delivery,
            metrics=self._metrics,
            clock=self._clock,
            accepts=settings.accepts,
        )
        self.workers[name] = worker
        self._tasks[name] = asyncio.create_task(worker.run(), name=f"deliver {name}")

    def _record(self, name: str, settings: SinkSettings, content: object) -> None:
        self._settings[name], self._files[name] = settings, content
        self._written.pop(name, None)
        if file := _written_file(settings):
            self._written[name] = file

    def _forget(self, name: str) -> None:
        for kept in (self.workers, self._tasks, self._settings, self._files, self._written):
            kept.pop(name, None)
        self._metrics.forget(sink=name)

    async def _end(self, name: str) -> None:
        """Stop the worker of the sink `name`, or the task that tries to start a worker, and close the sink."""
        if name in self.workers:
            await self.workers[name].stop(RELOAD_GRACE)
        await end_tasks([self._tasks[name]])
        await self._close(name)

    async def _close(self, name: str) -> None:
        """Close the sink `name`, if it was built. Wait for at most _CLOSE_GRACE seconds.

        After that time, the sink is closed in the background. A reload must end even if the disk of the sink hangs;
        otherwise later reloads, for example with a new secret, would wait.
        """
        sink = self._sinks.pop(name, None)
        if sink is None:
            return
        closing = asyncio.create_task(sink.close(), name=f"close {name}")
        _, late = await asyncio.wait([closing], timeout=_CLOSE_GRACE)
        if late:
            self._closing[name] = closing
            _logger.warning(
                "a sink cannot be closed yet, perhaps because its disk hangs; the rest of the forwarder "
                "continues to work",
                action="sink_not_closed",
                sink=name,
            )

    async def _begin(self, name: str, settings: SinkSettings, built: BuiltSink) -> None:
        """Start the new sink `name`. If that fails, try again in the background until it succeeds.

        The new sink sends again all batches for which the old sink got no result, so no event is lost.
        """
        self._record(name, settings, built.content)
        if built.sink is not None:
            self._sinks[name] = built.sink
        try:
            await self._try_to_begin(name, settings)
        except ForwarderError as error:
            _logger.error(  # noqa: TRY400  # an operator acts on the text
                "the changed sink cannot start yet; the forwarder tries again",
                action="reload_waits",
                sink=name,
                error=str(error),
            )
            self._tasks[name] = asyncio.create_task(self._begin_later(name, settings), name=f"start {name}")

    async def _begin_later(self, name: str, settings: SinkSettings) -> None:
        """Try to start the sink `name` until it starts. After only one try, the sink might deliver nothing until a
        restart."""
        attempt, begun = 0, False
        while not begun:
            attempt += 1
            await self._clock.sleep(Backoff().delay(attempt))
            with suppress(ForwarderError):
                await self._try_to_begin(name, settings)
                begun = True

    async def _try_to_begin(self, name: str, settings: SinkSettings) -> None:
        if name in self._closing and not self._closing[name].done():
            raise SinkError("the sink of the old configuration is not closed yet")  # to open its file could hang
        if name not in self._sinks:
            self._sinks[name] = registry.build(name, settings, self._clock)
        # Read the position from the store: the old worker's last result may be committed after the worker has ended.
        self._deliver(name, settings, *await self._store.log(name, settings.start))

    async def _warn_of_removed_sinks(self) -> None:
        try:
            removed = (await self._store.ledger()).removed
        except StoreError:
            return  # the status reports the error, and everything else goes on
        for name, waiting in removed.items():
            _logger.warning(
                "events wait for a sink that is no longer configured, and are dropped after store.retention; add a sink "
                "with this name, or run: forwarder forget-sink NAME",
                action="sink_removed",
                sink=name,
                waiting=waiting,
            )


def _written_file(settings: SinkSettings) -> Path | None:
    """Return the real path of the file that a sink with `settings` writes; None if it writes no file."""
    return settings.real_path if isinstance(settings, FileSinkSettings) else None


def _content(settings: SinkSettings) -> tuple[str, ...]:
    """Return a digest of each file that `settings` name. A new digest shows that a certificate was renewed in place."""
    return tuple(_digest(path) for path in settings.files)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_small(path)).hexdigest()
    except OSError:
        return ""
