"""Pages of the System Log in the store: what they hold is kept as it came, and misses are counted whole."""

from pathlib import Path

import msgspec
import pytest

from forwarder.core.errors import StoreError, StoreFullError, StoreTimeoutError
from forwarder.core.ports import Batch, DeadLetterSelection
from tests.fakes.clock import NOON
from tests.integration.store.helpers import commands, event, logged, malformed_event, opened, page, view


async def test_a_page_with_known_and_repeated_events_stores_each_once(path: Path) -> None:
    async with opened(path) as store:
        known, twice = logged("known"), logged("twice")
        await store.append(page(known), timeout=5)
        assert await store.cursor("log:acme") == "next"
        assert await store.cursor("log:other") is None
        new = [logged(size=3000) for _ in range(200)]
        whole = page(twice, *new, known, twice, expected=new[:3], malformed=[malformed_event()], cursor="later")
        appended = await store.append(whole, timeout=5)
        assert (list(appended.stored), appended.duplicates) == ([twice, *new], 2)
        assert await store.cursor("log:acme") == "later"
        assert (await store.append(page(cursor="end"), timeout=5)).duplicates == 0
        ledger = await store.ledger()
        assert (ledger.stored, ledger.duplicates, ledger.rejected) == (202, 2, 1)
        assert await store.mark_missed("acme", NOON + 1) == 3
        assert await store.mark_missed("acme", NOON + 1) == 0
        held = await view(store).read(0, limit=1000, max_bytes=10**9)
        assert [one.event for one in held] == [known, twice, *new]


async def test_a_malformed_element_of_a_page_that_is_read_again_stays_one_dead_letter(path: Path) -> None:
    first, second = malformed_event(b'{"uuid":1}'), malformed_event(b'{"uuid":2}')
    async with opened(path) as store:
        await store.append(page(malformed=[first]), timeout=5)
        await store.append(page(logged(), malformed=[first, second, second]), timeout=5)
        found = commands(path).dead_letters(DeadLetterSelection(sink="receiver"), limit=10)
        assert [letter.id for letter in found] == [2, 1]
        ledger = await store.ledger()
        assert (ledger.stored, ledger.rejected, ledger.balanced) == (1, 2, True)
        # An operator has discarded them: another reading does not bring them back.
        await store.discard(DeadLetterSelection(sink="receiver"))
        await store.append(page(malformed=[first, second]), timeout=5)
        assert (await store.ledger()).rejected == 2
        # Each POST of the hook counts: Okta does not post an element again without a reason.
        for _ in range(2):
            await store.append(Batch([], [first]), timeout=5)
        assert (await store.ledger()).rejected == 4


@pytest.mark.long
async def test_missed_events_of_several_steps_are_all_counted(path: Path) -> None:
    pending = [logged() for _ in range(501)]
    async with opened(path) as store:
        await store.append(page(*pending, expected=pending), timeout=5)
        assert await store.mark_missed("acme", NOON + 1) == 501


async def test_bodies_of_a_page_are_stored_byte_for_byte(path: Path) -> None:
    odd = logged("odd")
    raw = msgspec.structs.replace(odd, body=b'{"uuid":"odd", "x":"\\ud800 \xc3\xa9 \xf0\x9f\x98\x80" }')
    async with opened(path) as store:
        await store.append(page(raw), timeout=5)
        (held,) = await view(store).read(0, limit=9, max_bytes=9)
        assert held.event == raw


async def test_a_full_store_says_so_and_keeps_its_cursor(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        await store.append(page(logged(size=400_000), cursor="held"), timeout=5)
        with pytest.raises(StoreFullError, match=r"store\.max_size"):
            await store.append(page(logged(size=400_000), cursor="lost"), timeout=5)
        assert store.not_ready_reason is None  # POSTs may fit where a page does not
        assert await store.cursor("log:acme") == "held"


async def test_a_slow_disk_is_reported_as_a_timeout(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreTimeoutError):
            await store.append(page(logged()), timeout=0)


async def test_a_value_that_the_store_cannot_hold_is_reported(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreError, match="the store cannot hold the value"):
            await store.mark_missed("acme", 2**80)
        with pytest.raises(StoreError, match="the store cannot hold the value"):
            await store.append(page(logged("\ud800")), timeout=5)


async def test_a_malformed_event_of_the_log_is_read_again_as_one_of_the_log(path: Path) -> None:
    late, soon = logged("late"), event("soon")
    malformed = [malformed_event(late.body), malformed_event(b"[]")]
    async with opened(path) as store:
        await store.append(page(malformed=malformed), timeout=5)
        await store.append(Batch([], [malformed_event(soon.body)]), timeout=5)
        assert await store.replay(DeadLetterSelection(sink="receiver")) == 2
        held = await view(store).read(0, limit=9, max_bytes=10**6)
        assert [(one.event.uuid, one.event.source) for one in held] == [("late", "log"), ("soon", "hook")]
        assert (await store.ledger()).rejected == 1


async def test_a_malformed_event_of_the_hook_that_becomes_valid_clears_its_pending_entry(path: Path) -> None:
    one = logged("awaited")
    async with opened(path) as store:
        await store.append(page(one, expected=[one]), timeout=5)
        await store.append(Batch([], [malformed_event(one.body)]), timeout=5)
        await store.append(page(malformed=[malformed_event(one.body)]), timeout=5)
        assert await store.replay(DeadLetterSelection(ids=(2,))) == 1  # the log's copy ends nothing
        assert await store.replay(DeadLetterSelection(ids=(1,))) == 1
        assert await store.mark_missed("acme", NOON + 1) == 0
