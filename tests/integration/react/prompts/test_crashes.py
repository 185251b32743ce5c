"""The process ends at any point: no user is asked twice, and the stored answer is true."""

import asyncio

import pytest

from forwarder.core.action import ActionState
from tests.integration.react.prompts.scene import WAYS, driven, killed, scene
from tests.integration.react.prompts.test_matrix import never_early

pytestmark = pytest.mark.timeout(180)

TRUE = {"approve": {"approved", "unknown"}, "deny": {"denied", "unknown"}, "none": {"timeout", "unknown"}}
"""What may be said after a crash: what the phone said, or that it is not known."""


@pytest.mark.long
@pytest.mark.parametrize("by", WAYS)
async def test_a_process_that_ends_at_any_wait_of_a_send_asks_at_most_once(by: str) -> None:
    async with scene() as made:
        made.phone("deny", 1)
        asked, point = 0, 0
        words: set[str] = set()
        was_killed = True
        while was_killed:
            point += 1
            row = driven(made, by)
            was_killed = await killed(row.send, point)
            ends = "unknown" if row.row.state is ActionState.CALLING else "denied"
            words.add(ends)
            row.restart()
            assert await row.to_its_end() == ends
            assert len(made.asked) - asked <= 1
            asked = len(made.asked)
        assert point > 3
        assert words == {"unknown", "denied"}
        never_early(made)


@pytest.mark.long
@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("phone", ["approve", "deny"])
async def test_a_process_that_ends_at_any_wait_of_a_poll_learns_the_answer_or_says_unknown(by: str, phone: str) -> None:
    async with scene() as made:
        made.phone(phone, 1)
        point, words = 0, []
        was_killed = True
        while was_killed:
            point += 1
            row = driven(made, by)
            await row.send()
            await row.wait()
            was_killed = await killed(row.poll, point)
            row.restart()
            words.append(await row.to_its_end())
        assert point > 1
        assert set(words) <= TRUE[phone]
        assert words[-1] == {"approve": "approved", "deny": "denied"}[phone]
        if (by, phone) != ("ciba", "approve"):  # tokens are given once; everything else can be asked again
            assert "unknown" not in words
        never_early(made)


@pytest.mark.long
@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize(("phone", "word"), [("approve", "approved"), ("deny", "denied"), ("none", "timeout")])
async def test_restarts_between_polls_change_neither_the_answer_nor_the_pace(by: str, phone: str, word: str) -> None:
    async with scene(push_lifetime="2m") as made:
        made.phone(phone, 70)
        row = driven(made, by, settings={"expires": 120})
        await row.send()
        for number in range(12):
            row.restart()
            await made.clock.advance(number % 4)
            await row.poll()
            if row.row.state is ActionState.ENDED:
                break
            if number % 3 == 0:
                await row.wait()
                await row.poll()
        assert await row.to_its_end() in {word, "unknown"}
        if by == "push":
            assert row.answer == word
        assert len(made.asked) == 1
        never_early(made)


@pytest.mark.long
async def test_an_unstored_slow_down_is_respected_after_the_restart() -> None:
    async with scene() as made:
        made.phone("deny", 60, fault="slow_down")
        row = driven(made, "ciba")
        await row.send()
        await row.wait()
        stored = row.row
        await row.poll()  # Okta wants 10 s from now on, and the process ends before that is stored
        row.row = stored
        row.restart()
        assert await row.to_its_end() == "denied"
        never_early(made)


@pytest.mark.parametrize("by", WAYS)
async def test_a_second_poll_and_an_early_poll_send_no_call(by: str) -> None:
    async with scene() as made:
        made.phone("deny", 8)
        row = driven(made, by)
        await row.send()
        for _ in range(3):
            early = await row.prompts.poll(row.row)
            assert early.handle
            assert early.due is not None
            assert early.due > made.clock.now()
        assert made.asked[0].polls == []
        await row.wait()
        both = await asyncio.gather(row.prompts.poll(row.row), row.prompts.poll(row.row), row.prompts.poll(row.row))
        assert len(made.asked[0].polls) == 1
        assert all(each.handle and each.due is not None and each.due > made.clock.now() for each in both)
        assert await row.to_its_end() == "denied"
        never_early(made)


async def test_a_push_is_withdrawn_on_stop_and_an_earlier_denial_is_not_lost() -> None:
    async with scene() as made:
        row = driven(made, "push")
        await row.send()
        await row.prompts.cancel(row.row)
        assert made.asked[0].result == "CANCELLED"
        assert [status for path, status in made.calls() if "/transactions/" in path] == [204]
        row.restart()
        assert await row.to_its_end() == "unknown"
        assert "withdrawn" in row.row.detail

        made.phone("deny", 1)
        row = driven(made, "push")
        await row.send()
        await made.clock.advance(2)
        await row.prompts.cancel(row.row)
        row.restart()
        assert await row.to_its_end() == "denied"
        never_early(made)


@pytest.mark.long
async def test_a_ciba_request_is_not_withdrawn_and_is_polled_after_the_start() -> None:
    async with scene() as made:
        made.phone("deny", 20)
        row = driven(made, "ciba")
        await row.send()
        await row.prompts.cancel(row.row)
        row.restart()
        assert await row.to_its_end() == "denied"
