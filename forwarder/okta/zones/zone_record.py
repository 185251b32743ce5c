"""Records which zones the forwarder made, in a file beside the store, and lets only one process at a time write zones.

Okta does not say who made a zone, and keeps the events of its System Log for only 90 days. A zone that is not in the
record counts as made by others. That is safe, because the forwarder does not change such a zone until the operator
adopts it.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from forwarder.core.errors import OktaError
from forwarder.core.ports import Clock
from forwarder.okta.zones.zone import Zone
from forwarder.safe_files import give_to_owner, lock_file, read_small, sync_directory

_POLL_INTERVAL = 0.1  # seconds


class Made(msgspec.Struct, frozen=True):
    """The zones of one org that we made: name → id. The id is empty while the zone is being created, and stays empty if
    the creation was interrupted."""

    ids: Mapping[str, str] = {}

    def has(self, zone: Zone) -> bool:
        """Whether we made `zone`. If its creation was interrupted, it is recognized by its name, which no other zone had
        when the creation began."""
        return zone.id in self.ids.values() or self.ids.get(zone.name) == ""


class ZoneRecord:
    """The file beside a store that records the zones that we made in all orgs. Its methods, except `writer`, do
    blocking I/O."""

    def __init__(self, store: Path) -> None:
        """Create the object; the file is not read yet. `store` is the path of the store."""
        real = Path(os.path.realpath(store))
        self.path = real.with_name(real.name + ".zones")
        self.lock_path = real.with_name(real.name + ".zones.lock")

    def made(self, org: str) -> Made:
        """Read the zones that we made in an org.

        Raises:
            OktaError: the record cannot be read.
        """
        return Made(self._read().get(org, {}))

    def note(self, org: str, name: str, zone_id: str) -> None:
        """Record that we made the zone `name` or, if `zone_id` is empty, that we are about to make it. The file is
        fsynced.

        The caller must hold the lock of `writer`.

        Raises:
            OktaError: the record cannot be read or written.
        """
        tree = self._read()
        zones = tree.setdefault(org, {})
        if zones.get(name) == zone_id:
            return
        zones[name] = zone_id
        self._write(tree)

    def forget(self, org: str, name: str) -> None:
        """Remove a zone from the record, because Okta refused to create it.

        The caller must hold the lock of `writer`.

        Raises:
            OktaError: the record cannot be read or written.
        """
        tree = self._read()
        if tree.get(org, {}).pop(name, None) is not None:
            self._write(tree)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            return msgspec.json.decode(read_small(self.path), type=dict[str, dict[str, str]])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise OktaError(f"{self.path} cannot be read: {error.strerror}") from error
        except msgspec.DecodeError:
            raise OktaError(
                f"{self.path}, the record of the zones that the forwarder made, is damaged; move it away, and take the"
                " zones over with `forwarder zones sync --adopt NAME`"
            ) from None

    def _write(self, tree: Mapping[str, Mapping[str, str]]) -> None:
        new = self.path.with_name(self.path.name + ".new")
        try:
            with suppress(FileNotFoundError):
                new.unlink()
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                give_to_owner(descriptor, self.path.parent)
                file.write(msgspec.json.format(msgspec.json.encode(tree)))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise OktaError(
                f"{self.path} cannot be written ({error.strerror}); give this user write permission on"
                f" {self.path.parent}, the folder of the store"
            ) from error

    @asynccontextmanager
    async def writer(self, clock: Clock, *, timeout: float = 30.0) -> AsyncIterator[None]:
        """During the `with` block, hold the lock that lets only one process at a time write zones for this store. Wait
        for the lock, at most `timeout` seconds.

        Raises:
            OktaError: another process still holds the lock, or the lock file cannot be locked.
        """
        until = clock.monotonic() + timeout
        try:
            while (descriptor := lock_file(self.lock_path)) is None:
                if clock.monotonic() >= until:
                    raise OktaError(
                        f"another process has been changing network zones for more than {timeout:.0f} s ({self.lock_path} is locked); "
                        "try again when it has finished"
                    )
                await clock.sleep(_POLL_INTERVAL)
        except OSError as error:
            raise OktaError(
                f"{self.lock_path} cannot be locked ({error.strerror}); create {self.lock_path.parent}, and give this user"
                " write permission on it"
            ) from error
        try:
            give_to_owner(descriptor, self.lock_path.parent)
            yield
        finally:
            os.close(descriptor)
