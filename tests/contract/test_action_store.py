"""What every store promises to reactions: the real one, and the one in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from forwarder.core.action import ActionRequest, ActionState, ActionTarget, Approval, End, Outcome, Reason, Waits
from forwarder.core.errors import StoreError
from forwarder.core.event import Event, Source, read_event
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.action import action
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.store import MemoryStore
from tests.integration.store.helpers import event, index, logged, opened, page, view

AnyStore = SqliteStore | MemoryStore

DAY = 86_400 * SECOND
OFFICE = "203.0.113.9"


@asynccontextmanager
async def real(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    async with opened(tmp_path / "store.db", clock) as store:
        yield store


@asynccontextmanager
async def in_memory(_: Path, clock: ManualClock) -> AsyncIterator[MemoryStore]:
    yield MemoryStore(clock)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=[real, in_memory], ids=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[AnyStore]:
    async with request.param(tmp_path, clock) as store:
        yield store


def reported(name: str) -> Event:
    """An event that says what a reaction did."""
    return event(name, source=Source.ACTION)


async def test_an_action_is_read_back_as_it_was_written(store: AnyStore) -> None:
    one = action(
        settings={"for": 3600, "group": "Step-up"},
        subject=b'{"uuid": "\xc3\xbc"}',
        state=ActionState.LIVE,
        outcome=Outcome.DONE,
        reason=Reason.APPROVAL,
        waits_for=Waits.RETRY,
        due=NOON + 1,
        attempts=3,
        request=ActionRequest("acme", "PUT", "/api/v1/groups/00g1/users/00u1", {"of": ["any", None, 1.5]}),
        before={"member": False},
        after=["\x00%\u202e"],
        approval=Approval(NOON + 2, by="ops", at=NOON + 1, given=True),
        answer="denied",
        handle="once",
        detail="Grüße ✓",
        request_id="req",
        error_id="oae",
        called_at=NOON + 3,
        seen_at=NOON + 4,
        undo_due=NOON + 5,
        undone_at=NOON + 6,
        end=End.NOT_OURS,
    )
    await store.commit_actions(Batch(), [one])
    (found,) = await store.load_actions(NOON)
    assert msgspec.to_builtins(found) == msgspec.to_builtins(one)
    assert type(found) is type(one)


async def test_actions_their_events_and_the_cursor_are_committed_together(store: AnyStore) -> None:
    first, second = action(), action("revoke_sessions")
    batch = Batch([reported("a")], source=Source.ACTION, cursor=("react", "7"))
    await store.commit_actions(batch, [first, second])
    assert await store.load_actions(NOON) == [first, second]
    assert await store.cursor("react") == "7"
    assert [one.event.uuid for one in await view(store).read(0, limit=9, max_bytes=10**6)] == ["a"]
    await store.commit_actions(Batch([reported("a"), reported("b")]), [])
    assert [one.event.uuid for one in await view(store).read(0, limit=9, max_bytes=10**6)] == ["a", "b"]
    assert await store.cursor("react") == "7"


async def test_a_changed_action_replaces_its_row_and_a_planned_one_never_does(store: AnyStore) -> None:
    first, live = action(), action(state=ActionState.LIVE, undo_due=NOON + 5)
    await store.commit_actions(Batch(), [first])
    assert await store.commit_actions(Batch(), [replace(first, title="planned again")]) == {first.key}
    assert await store.load_actions(NOON) == [first]
    assert await store.commit_actions(Batch(), [live]) == set()
    assert await store.commit_actions(Batch(cursor=("react", "8")), [first]) == {first.key}
    assert await store.load_actions(NOON) == [live]
    assert await store.cursor("react") == "8"
    ended = replace(live, state=ActionState.ENDED, end=End.UNDONE)
    await store.commit_actions(Batch(), [live, ended])
    assert await store.load_actions(NOON) == [ended]


async def test_alerts_are_read_alone_in_their_order(store: AnyStore) -> None:
    events = [msgspec.structs.replace(reported(name), source=source) for name, source in _MIXED]
    await store.append(Batch(events), timeout=5)
    after_first = await store.alerts_after(1, limit=9)
    assert [(one.seq, one.event.uuid) for one in after_first] == [(3, "c"), (5, "e")]
    assert [one.seq for one in await store.alerts_after(0, limit=2)] == [1, 3]
    assert await store.alerts_after(5, limit=2) == []


_MIXED = [("a", Source.ALERT), ("b", Source.HOOK), ("c", Source.ALERT), ("d", Source.ACTION), ("e", Source.ALERT)]


async def test_open_actions_of_any_age_and_those_that_changed_since_then_are_loaded_oldest_first(
    store: AnyStore, clock: ManualClock
) -> None:
    ended, live, waiting = ActionState.ENDED, ActionState.LIVE, ActionState.WAITING
    first = [(ended, NOON), (live, NOON - 9 * DAY), (ended, NOON - 1), (waiting, NOON - 2)]
    made = [action(alert=str(number), state=state, planned_at=at) for number, (state, at) in enumerate(first)]
    await store.commit_actions(Batch(), made)
    await clock.advance(DAY // SECOND)
    assert [one.alert for one in await store.load_actions(NOON)] == ["1", "3", "2", "0"]
    undone = replace(made[1], state=ended, end=End.UNDONE, undone_by="hand:ann")
    await store.commit_actions(Batch(), [undone])
    assert [one.alert for one in await store.load_actions(NOON + 1)] == ["1", "3"]


async def test_an_event_is_in_the_system_log_if_its_first_copy_or_a_later_one_came_from_there(store: AnyStore) -> None:
    uuid = "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2f5"

    async def logged_as(org: str, *uuids: str) -> dict[str, bool | None]:
        return {name: claim.logged for name, claim in (await store.claims(org, uuids)).items()}

    await store.append(Batch([event(uuid), event("by hook"), event("b", org="other")]), timeout=5)
    assert await logged_as("acme", uuid, "by hook", "never seen") == {uuid: None, "by hook": None}
    await store.append(Batch([event(uuid)]), timeout=5)  # by the hook again
    assert await logged_as("acme", uuid) == {uuid: None}
    await store.append(page(logged(uuid), logged("by log"), logged("b")), timeout=5)
    await store.append(Batch([event("by log")]), timeout=5)
    assert await logged_as("acme", uuid, "by log", "by hook") == {uuid: True, "by log": True, "by hook": None}
    assert await logged_as("acme") == {}
    assert await logged_as("other", "b") == {"b": None}
    assert await logged_as("nowhere", "by log") == {}


async def test_the_system_log_has_another_event_if_its_copy_says_something_else(store: AnyStore) -> None:
    def said(actor: str, source: Source, **more: object) -> Event:
        made = came(actor)
        raw = msgspec.json.decode(made.body) | {"uuid": "e1"} | more
        body = msgspec.json.encode(raw)
        return read_event(body, org=made.org, source=source, received_at=made.received_at)

    async def logged() -> bool | None:
        return (await store.claims("acme", ["e1"]))["e1"].logged

    await store.append(Batch([said("00u1", Source.HOOK), said("00u2", Source.HOOK)]), timeout=5)
    assert await logged() is None
    appended = await store.append(Batch([said("00u2", Source.LOG)]), timeout=5)
    assert await logged() is False
    assert list(appended.differing) == ["e1"]
    again = await store.append(Batch([said("00u2", Source.LOG)]), timeout=5)
    assert list(again.differing) == []
    await store.append(Batch([said("00u2", Source.HOOK)]), timeout=5)
    assert await logged() is False
    same = said("00u1", Source.LOG, device=None, request={"ipChain": []}, legacyEventType="core.x")
    await store.append(Batch([same]), timeout=5)
    assert await logged() is True


def came(user: object, address: object = OFFICE, result: str = "SUCCESS", at: int = NOON, org: str = "acme") -> Event:
    """An event that a user caused from an address."""
    name = event().uuid
    body = {
        "uuid": name,
        "eventType": "user.session.start",
        "published": "2026-01-01T12:00:00.000Z",
        "actor": {"id": user, "type": "User"} if isinstance(user, str) else user,
        "client": {"ipAddress": address},
        "outcome": {"result": result},
    }
    return Event(org, name, "user.session.start", at, NOON, Source.HOOK, "", msgspec.json.encode(body))


async def seen(store: AnyStore, *events: Event) -> None:
    await store.append(Batch(events), timeout=5)
    if isinstance(store, SqliteStore):
        await index(store)


async def test_users_at_an_address_are_counted_once_each_since_then(store: AnyStore) -> None:
    await seen(store, *[came(f"00u{number}") for number in range(7) for _ in range(3)])
    await seen(store, came("00u0"), came("00old", at=NOON - 8 * DAY), came("00other", "203.0.113.10"))
    await seen(store, came("00elsewhere", org="other"))
    assert await store.users_at("acme", OFFICE, NOON - 7 * DAY) == 7
    assert await store.users_at("other", OFFICE, NOON - 7 * DAY) == 1
    assert await store.users_at("acme", "203.0.113.11", NOON - 7 * DAY) == 0
    assert await store.users_at("nowhere", OFFICE, NOON - 7 * DAY) == 0


async def test_who_fails_is_no_app_or_cannot_be_read_is_no_user_at_an_address(store: AnyStore) -> None:
    await seen(
        store,
        came("00sprayed", result="FAILURE"),
        came("00challenged", result="CHALLENGE"),
        came({"id": "0oa1", "type": "PublicClientApp"}),
        came(None),
        came({"id": 5, "type": "User"}),
        came("00u1", None),
        came("00u2", [OFFICE]),
        came("00u3", "not an address"),
        came("00allowed", result="ALLOW"),
    )
    assert await store.users_at("acme", OFFICE, NOON - 7 * DAY) == 1
    assert await store.users_at("acme", "not an address", NOON - 7 * DAY) == 0


async def test_an_address_of_version_6_is_the_same_in_every_spelling(store: AnyStore) -> None:
    await seen(store, came("00u1", "2001:DB8:0:0:0:0:0:1"), came("00u2", "2001:db8::1"))
    assert await store.users_at("acme", "2001:db8::0:1", NOON - 7 * DAY) == 2


async def test_nothing_of_a_failed_commit_stays_and_it_may_be_tried_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db", max_size="1MiB") as store:
        batch = Batch([reported("a")], source=Source.ACTION, cursor=("react", "7"))
        large = action(subject=bytes(3 * 2**20), target=ActionTarget("user", "00u2"))
        with pytest.raises(StoreError, match="do not fit into the store"):
            await store.commit_actions(batch, [action(), large])
        assert await store.load_actions(0) == []
        assert await store.cursor("react") is None
        await store.commit_actions(batch, [action()])
        assert await store.load_actions(0) == [action()]


async def test_what_goes_on_with_an_action_is_stored_though_the_store_is_full(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db", max_size="1MiB") as store:
        live = action(state=ActionState.LIVE, subject=bytes(3000))
        await store.commit_actions(Batch(), [live])
        for size in (20_000, 3000, 300):
            with suppress(StoreError):
                for number in range(100):
                    one = replace(event(f"{size}-{number}"), body=b'{"uuid":"%s"}' % (b"x" * size))
                    await store.append(Batch([one]), timeout=5)
        with pytest.raises(StoreError, match="the store is full"):
            await store.commit_actions(Batch([reported("a")], source=Source.ACTION), [action("suspend")])
        undone = replace(live, state=ActionState.ENDED, end=End.UNDONE)
        await store.commit_actions(Batch([reported("b")], source=Source.ACTION), [undone])
        assert undone in await store.load_actions(0)
        assert (tmp_path / "store.db").stat().st_size <= 2**20
