"""Starts the sinks of a forwarder and their workers, replaces them at a reload, and stops them."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.errors import ForwarderError, StoreError
from forwarder.core.ports import Clock, EventLog, Sink
from forwarder.deliver.worker import Worker
from forwarder.files import read_small
from forwarder.metrics import Metrics
from forwarder.sink_settings import SinkSettings
from forwarder.sinks import registry
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.store.engine import Store

RELOAD_GRACE = 5.0
"""For how many seconds a sink may go on delivering before a reload replaces or removes it."""

_logger = logs.get("app")


class BuiltSink(NamedTuple):
    """A new sink, and in `content` the digests of the files that its settings name.

    `sink` is None if it must be built later: it writes the same file as the old sink, which still has the file open.
    """

    content: tuple[str, ...]
    sink: Sink | None


BuiltSinks = Mapping[str, BuiltSink]
"""The sinks that a reload adds or changes, by name."""


class Delivery:
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

    async def start(self, sinks: Mapping[str, SinkSettings]) -> None:
        """Start every sink of `sinks`.

        Raises:
            ForwarderError: a sink cannot be built, or its position cannot be read from the store.
        """
        logs_and_positions = {name: await self._store.log(name, sinks[name].start) for name in sinks}
        await self._store.detach_except(sinks)
        await self._warn_of_removed_sinks()
        for name, settings in sinks.items():
            self._settings[name], self._files[name] = settings, _content(settings)
            self._sinks[name] = registry.build(name, settings, self._clock)
        for name in sinks:
            self._deliver(name, sinks[name], *logs_and_positions[name])

    async def build(self, sinks: Mapping[str, SinkSettings]) -> BuiltSinks:
        """Build each sink whose settings, or whose files, differ from those of the running sink.

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
                if not _same_file(old, new):
                    sink = registry.build(name, new, self._clock)
                    unused.push_async_callback(sink.close)
                built[name] = BuiltSink(content, sink)
            unused.pop_all()
        return built

    async def apply(self, sinks: Mapping[str, SinkSettings], built: BuiltSinks) -> None:
        """Replace sinks with the new ones in `built`, the result of `build`. Stop each sink that is not in `sinks`."""
        removed = self._settings.keys() - sinks.keys()
        await asyncio.gather(*(self._stop_sink(name) for name in removed))
        await asyncio.gather(*(self._exchange(name, sinks[name], new) for name, new in built.items()))
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
        """Let the workers deliver waiting events for at most `grace` seconds, then end the workers."""
        await asyncio.gather(*(worker.stop(grace) for worker in self.workers.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Close the sinks."""
        await asyncio.gather(*(sink.close() for sink in self._sinks.values()))

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

    async def _stop_sink(self, name: str) -> None:
        await self.workers.pop(name).stop(RELOAD_GRACE)
        await self._sinks.pop(name).close()
        del self._tasks[name], self._settings[name], self._files[name]
        self._metrics.forget(sink=name)

    async def _exchange(self, name: str, settings: SinkSettings, built: BuiltSink) -> None:
        """Stop the running sink `name`, if there is one, and start the new one. Retry until this succeeds.

        The new sink sends all batches again for which the old one got no result. No error ends the retries:
        without a worker, the sink would deliver nothing until the next start.
        """
        if name in self.workers:
            await self.workers[name].stop(RELOAD_GRACE)
            await self._sinks[name].close()
        self._settings[name], self._files[name] = settings, built.content
        new, attempt = built.sink, 0
        while True:
            try:
                new = new or registry.build(name, settings, self._clock)
                self._sinks[name] = new
                # Only the store knows the position: the last settlement may be committed after the old worker ended.
                log, position = await self._store.log(name, settings.start)
                break
            except ForwarderError as error:
                attempt += 1
                if attempt == 1:
                    _logger.error(  # noqa: TRY400  # an operator acts on the text
                        "the changed sink cannot start yet",
                        action="reload_waits",
                        sink=name,
                        error=str(error),
                    )
                await self._clock.sleep(Backoff().delay(attempt))
        self._deliver(name, settings, log, position)

    async def _warn_of_removed_sinks(self) -> None:
        try:
            removed = (await self._store.ledger()).removed
        except StoreError:
            return  # the status reports the error, and everything else goes on
        for name, waiting in removed.items():
            _logger.warning(
                "events wait for a sink that is no longer configured, and are dropped after store.retention; add a sink "
                "with this name, or forget it: forwarder forget-sink NAME",
                action="sink_removed",
                sink=name,
                waiting=waiting,
            )


def _same_file(old: SinkSettings | None, new: SinkSettings) -> bool:
    """Whether `old` and `new` write the same file. Only one sink at a time can lock a file."""
    return isinstance(old, FileSinkSettings) and isinstance(new, FileSinkSettings) and old.path == new.path


def _content(settings: SinkSettings) -> tuple[str, ...]:
    """Return a digest of each file named in `settings`, so that a certificate that was renewed in place is noticed."""
    return tuple(_digest(path) for path in settings.files)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_small(path)).hexdigest()
    except OSError:
        return ""
