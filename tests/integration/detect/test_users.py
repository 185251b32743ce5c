"""Users in memory, with a store that has more users."""

from pathlib import Path
from typing import Any

from forwarder.core.ports import Batch
from forwarder.core.sighting import Sighting
from forwarder.detect.users import Decoded, Users
from tests.fakes.clock import NOON
from tests.integration.store.helpers import event, opened

DAY_MICROS = 86_400_000_000


def seen(user: str, device: str = "guo1") -> Decoded:
    raw: dict[str, Any] = {
        "actor": {"id": user, "type": "User"},
        "outcome": {"result": "SUCCESS"},
        "device": {"id": device},
    }
    return event(), raw


def known(user: str, device: str) -> list[Sighting]:
    """Return the sightings of a user who was first seen long ago, with a device."""
    at = NOON - 20 * DAY_MICROS
    return [Sighting("acme", user, "user", "", at, NOON), Sighting("acme", user, "device", device, at, NOON)]


def new_device(users: Users, decoded: Decoded, *, remember: bool = True) -> bool:
    users.derive(*decoded, remember=remember)
    found: bool = decoded[1]["forwarder"]["new"]["device"]
    return found


async def test_reading_without_a_commit_keeps_at_most_the_maximum_of_users(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        users = Users(most=10)
        for first in range(0, 60, 6):
            batch = [seen(f"00u{first + n}") for n in range(6)]
            with users.batch(batch):
                await users.read(store, batch)
                for decoded in batch:
                    users.derive(*decoded, remember=False)
            assert len(users) <= 10


async def test_a_commit_drops_no_user_of_an_open_batch(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        await store.commit_rules(Batch(), [*known("00u1", "guo1"), *known("00u2", "guo2")])
        users = Users(most=1)
        earlier = [seen("00u1", "guo1"), seen("00u2", "guo9")]
        with users.batch(earlier):
            await users.read(store, earlier)
            live = [seen("00u3"), seen("00u4")]
            with users.batch(live):
                await users.read(store, live)
            users.mark_saved()
            assert [new_device(users, one, remember=False) for one in earlier] == [False, True]
        assert len(users) == 1


async def test_a_user_with_unstored_sightings_is_not_dropped(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as store:
        await store.commit_rules(Batch(), known("00u1", "guo1"))
        users = Users(most=1)
        first = [seen("00u1", "guo2")]
        with users.batch(first):
            await users.read(store, first)
            assert new_device(users, first[0])
        for name in ("00u2", "00u3"):
            other = [seen(name)]
            with users.batch(other):
                await users.read(store, other)
        assert users.missing(first) == {}
        await store.commit_rules(Batch(), list(users.unsaved.values()))
        users.mark_saved()
        assert len(users) == 1
