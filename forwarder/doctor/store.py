"""Checks of the store: its disk, its files, and the events that wait in it."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from forwarder.core.errors import StoreVersionError
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.wording import count
from forwarder.doctor.check import Check, CheckVerdict, Finding, Found, fail, ok, skip, warn
from forwarder.doctor.context import Context
from forwarder.health_verdict.current import is_nearly_full
from forwarder.safe_files import file_system_of
from forwarder.settings import Settings
from forwarder.store.interface import StoreCommands, open_commands
from forwarder.store.settings import StoreSettings, real_path
from forwarder.threads import in_daemon_thread

_LONG = 300.0
"""The number of seconds after which a waiting event makes the check warn, as in the alert ForwarderSinkBehind."""

_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "afs",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.gcsfuse",
}
"""Network file systems. Locks and fsync are not reliable there, so the store can lose acknowledged events."""

_MEMORY = {"tmpfs", "ramfs"}


async def _local(context: Context, _: str) -> Found:
    folder = real_path(context.settings.store.path).parent
    return local_disk(folder, await in_daemon_thread(lambda: file_system_of(folder, _mounts()), "mounts"))


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return ""


def local_disk(folder: Path, kind: str) -> Finding:
    """Return a finding that says whether the store's `folder` is on a local disk.

    `kind` is the type of the file system of `folder`, as in /proc/mounts; empty if the type is unknown.
    """
    if kind in _NETWORK:
        fix = "move the store to a local disk: stop the forwarder, move its files, set `store.path`"
        return fail(f"{folder} is on a network file system ({kind}), which can lose acknowledged events", fix)
    if kind in _MEMORY:
        fix = "move the store to a disk: stop the forwarder, move its files, set `store.path`"
        return fail(f"{folder} is in memory ({kind}), so a restart of this machine loses acknowledged events", fix)
    return ok(f"{folder} is on a local disk ({kind or 'unknown'})")


async def _disk(context: Context, _: str) -> Found:
    return await in_daemon_thread(lambda: _room(context.settings.store), "disk")


def _room(settings: StoreSettings) -> Finding:
    folder = real_path(settings.path).parent
    total, _used, free = shutil.disk_usage(folder)
    seen = f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB are free in {folder}"
    if is_nearly_full(total, free):
        return fail(seen, f"free some space (`du -xh {folder}` shows what uses it), or move `store.path`")
    path = real_path(settings.path)
    store_bytes = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if file.is_file())
    if free + store_bytes < settings.max_size:
        return warn(
            f"{seen}; the store may need more, because `store.max_size` is {settings.max_size / 1e9:,.1f} GB",
            f"set `store.max_size` to {(free + store_bytes) * 0.8 / 1e9:.0f}GB at most, and restart",
        )
    return ok(seen)


def _commands(context: Context) -> StoreCommands:
    return open_commands(context.settings.store, context.clock)


async def _sound(context: Context, _: str) -> Found:
    path = context.settings.store.path
    if not path.exists():
        return skip(f"there is no store at {path} yet; `forwarder run` creates it")
    limit = context.timeout * 0.9
    try:
        damage = await in_daemon_thread(lambda: _commands(context).damage(limit), "store")
    except StoreVersionError as error:  # before the first start after an upgrade; `store.path` fails for a newer store
        return skip(error.seen, error.advice)
    if damage is None:
        return skip(
            f"the whole store cannot be read within {context.timeout:g} s, because it is too large",
            "run `forwarder doctor store.sound --timeout 10m`",
        )
    if damage:
        return fail(
            f"the store {path} is damaged: {'; '.join(damage[:3])}",
            "stop the forwarder and copy the store's files; restore a backup, or, without one, move the store's files away; "
            "then run `forwarder run` and `forwarder backfill --since 7d`",
        )
    return ok(f"the whole file {path} can be read")


async def _ledger(context: Context, _: str) -> Found:
    ledger = await in_daemon_thread(_commands(context).ledger, "store")
    context.ledger = ledger
    if not ledger.balanced:
        return fail(
            f"the ledger does not balance: {'; '.join(ledger.imbalances)}",
            "keep a copy of the store's files, and report this as a bug, with the output of `forwarder stats`",
        )
    return ok(f"{count(ledger.stored, 'event')} stored, each accounted for in every sink")


async def _removed(context: Context, _: str) -> Found:
    assert context.ledger is not None
    return [
        warn(
            f"{count(events, 'event')} kept for the sink {name}, to which no forwarder delivers",
            "restart the forwarder, because its configuration has the sink again"
            if name in context.settings.sinks
            else f"configure a sink with this name again, or run `forwarder forget-sink {name}`",
        )
        for name, events in context.ledger.removed.items()
    ] or ok("no event is kept for a removed sink")


async def _dead_letters(context: Context, _: str) -> Found:
    counts = await in_daemon_thread(lambda: _commands(context).count_dead_letters(DeadLetterSelection()), "store")
    return [
        warn(
            f"{count(number, 'dead letter')} of {sink} ({reason})",
            f"see `forwarder dead-letters list --sink {sink}`, correct the cause, then run "
            f"`forwarder dead-letters replay --all --sink {sink}`",
        )
        for (sink, reason), number in counts.items()
    ] or ok("there are no dead letters")


async def _waiting(context: Context, sink: str) -> Found:
    assert context.ledger is not None
    state = context.ledger.sinks.get(sink)
    if state is None:
        return skip("no forwarder has delivered to this sink yet")
    if not state.waiting:
        return ok("no event waits")
    age = (context.clock.now() - state.oldest) / 1e6 if state.oldest else 0.0
    seen = f"{count(state.waiting, 'event')} waiting, the oldest for {age:,.0f} s"
    if age < _LONG:
        return ok(seen)
    fix = "start the forwarder with `forwarder run`"
    if context.is_running:
        fix = "see the other checks of this sink; `forwarder stats` shows whether fewer events wait"
    return warn(seen, fix)


def _sinks(settings: Settings) -> Iterable[str]:
    return settings.sinks


CHECKS = (
    Check("store.local", "the store is on a local disk", "Configuration", _local, needs=("store.path",)),
    Check("store.disk", "free space on the store's disk", "ForwarderDiskFilling", _disk, needs=("store.path",)),
    Check(
        "store.sound",
        "the store's file is not damaged",
        "ForwarderNotReady",
        _sound,
        needs=("store.path",),
        late=CheckVerdict.SKIP,
    ),
    Check(
        "store.ledger",
        "every event is accounted for",
        "ForwarderLedgerUnbalanced",
        _ledger,
        needs=("store.sound",),
        late=CheckVerdict.SKIP,
    ),
    Check(
        "store.removed-sinks",
        "events kept for removed sinks",
        "ForwarderStoreFilling",
        _removed,
        needs=("store.ledger",),
    ),
    Check("store.dead-letters", "dead letters", "ForwarderDeadLettersWaiting", _dead_letters, needs=("store.sound",)),
)

WAITING = (
    Check(
        "sink.waiting",
        "events that wait for a sink",
        "ForwarderSinkBehind",
        _waiting,
        _sinks,
        needs=("store.ledger", "forwarder.running"),
    ),
)
"""The checks of the store that need to know whether a forwarder runs. They come later in the table of all checks."""
