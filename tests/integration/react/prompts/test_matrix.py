"""Push and CIBA against the emulated org: each end of a prompt has the right answer and the right calls, and no poll comes too
early."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from forwarder.core.time import SECOND
from forwarder.emulator.users.factors import factor_of
from tests.integration.react.prompts.scene import WAYS, Scene, driven, scene

pytestmark = pytest.mark.timeout(120)


def never_early(made: Scene) -> None:
    """Check that no poll came before Okta's interval was over."""
    for each in made.asked:
        assert each.early == 0
        assert all(later - earlier >= 4.9 * SECOND for earlier, later in pairwise([each.asked, *each.polls]))


@pytest.mark.long
@pytest.mark.parametrize(("by", "server"), [("push", None), ("ciba", None), ("ciba", "default")])
@pytest.mark.parametrize(
    ("phone", "word", "polls"), [("approve", "approved", 3), ("deny", "denied", 3), ("none", "timeout", 12)]
)
async def test_the_answer_of_the_prompt_is_that_of_the_phone(
    by: str, server: str | None, phone: str, word: str, polls: int
) -> None:
    async with scene(server, push_lifetime="1m") as made:
        made.phone(phone, 12)
        row = driven(made, by, settings={"expires": 60})
        assert await row.to_its_end() == word
        never_early(made)
        (asked,) = made.asked
        assert asked.user == made.user.id
        sent = [status for path, status in made.calls() if path.endswith(("/verify", "/bc/authorize"))]
        assert sent == [201 if by == "push" else 200]
        assert polls <= len(asked.polls) <= polls + 1
        assert row.row.handle == ""


@pytest.mark.long
async def test_ciba_shows_what_happened_and_the_code_of_the_alert() -> None:
    async with scene() as made:
        row = driven(made, "ciba", title="Sign-in 100% \x1b[31m", settings={"expires": 60})
        await row.send()
        (asked,) = made.asked
        assert asked.message is not None
        assert asked.message.startswith("Sign-in 100 31m 12:00")
        assert (asked.expires - asked.asked) == 60 * SECOND
        assert await row.to_its_end() == "timeout"


async def test_ciba_asks_the_user_of_the_id_not_the_login_that_an_event_claims() -> None:
    async with scene() as made:
        other = next(user for user in made.org.users.all() if user.id != made.user.id)
        row = driven(made, "ciba")
        row.row = replace(row.row, target=replace(row.row.target, name=other.login))
        await row.send()
        assert made.asked[0].user == made.user.id


UNREACHABLE = [
    ("push", "no factor", "no push factor"),
    ("push", "inactive", "not ACTIVE"),
    ("push", "suspended", "suspended"),
    ("push", "locked", "locked"),
    ("push", "deprovisioned", "not active"),
    ("push", "unknown", "E0000007"),
    ("ciba", "not_enrolled", "E0000214"),
    ("ciba", "unassigned", "assign them"),
    ("ciba", "mfa_start_failed", "could not start"),
    ("ciba", "unknown", "E0000007"),
]


@pytest.mark.parametrize(("by", "why", "detail"), UNREACHABLE)
async def test_a_user_who_cannot_be_asked_is_unreachable_with_the_reason(by: str, why: str, detail: str) -> None:
    async with scene() as made:
        row, user = driven(made, by), made.user
        if why == "no factor":
            user.factors = [factor_of(user.id, "token:software:totp")]
        elif why in {"inactive", "suspended"}:
            status = "INACTIVE" if why == "inactive" else "ACTIVE"
            user.factors = [factor_of(user.id, "push", status=status, suspended=why == "suspended")]
        elif why in {"locked", "deprovisioned"}:
            user.status = {"locked": "LOCKED_OUT", "deprovisioned": "DEPROVISIONED"}[why]
        elif why == "unknown":
            made.org.users.delete(user)
        else:
            made.phone(fault=why)
        assert await row.to_its_end() == "unreachable"
        assert detail in row.row.detail
        assert made.asked == ()


@pytest.mark.parametrize("by", WAYS)
async def test_a_service_that_fails_while_it_sends_leaves_the_answer_unknown(by: str) -> None:
    async with scene() as made:
        made.phone(fault="service_error")
        row = driven(made, by)
        assert await row.to_its_end() == "unknown"
        assert "E0000067" in row.row.detail


@pytest.mark.long
async def test_slow_down_lengthens_the_interval_for_good() -> None:
    async with scene() as made:
        made.phone("approve", 42, fault="slow_down")
        row = driven(made, "ciba")
        assert await row.to_its_end() == "approved"
        (asked,) = made.asked
        gaps = [(b - a) / SECOND for a, b in zip([asked.asked, *asked.polls], asked.polls, strict=False)]
        assert gaps == pytest.approx([5, 10, 10, 10, 10], abs=0.2)
        assert asked.early == 0


@pytest.mark.parametrize("by", WAYS)
async def test_an_expired_prompt_is_a_timeout(by: str) -> None:
    async with scene() as made:
        made.phone(fault="expired")
        row = driven(made, by)
        assert await row.to_its_end() == "timeout"
        never_early(made)


@pytest.mark.parametrize("by", WAYS)
async def test_a_send_over_the_rate_limit_is_sent_once_after_the_reset(by: str) -> None:
    async with scene() as made:
        made.phone("deny")
        made.fail(changes={"rate_limited": 1.0, "reset": "30s"})
        row = driven(made, by)
        progress = await row.send()
        assert (progress.handle, progress.answer, progress.failed) == ("", None, False)
        assert progress.due is not None
        assert 29 * SECOND <= progress.due - made.clock.now() <= 32 * SECOND
        assert made.asked == ()
        made.fail()
        assert await row.to_its_end() == "denied"
        assert len(made.asked) == 1


@pytest.mark.long
@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("fault", ["error_before", "error_after", "no_response"])
async def test_a_prompt_that_may_have_been_sent_is_unknown_and_never_repeated(by: str, fault: str) -> None:
    async with scene(query_timeout="1s") as made:
        made.phone("deny", 1)
        made.fail(changes={fault: 1.0, "retry_after": "20s"})
        row = driven(made, by)
        await _with_time(made, row.send())
        made.fail()
        assert await row.to_its_end() == "unknown"
        assert len(made.asked) <= 1
        assert len([path for path, _ in made.calls() if path.endswith(("/verify", "/bc/authorize"))]) == 1


@pytest.mark.long
@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize(
    ("fault", "after"), [({"rate_limited": 1.0, "reset": "40s"}, 40), ({"error_before": 1.0, "retry_after": "25s"}, 25)]
)
async def test_a_refused_poll_is_repeated_when_okta_allows(by: str, fault: dict[str, float], after: int) -> None:
    async with scene() as made:
        made.phone("deny", 1)
        row = driven(made, by)
        await row.send()
        made.fail(polls=fault)
        await row.wait()
        progress = await row.poll()
        assert progress.handle
        assert progress.due is not None
        assert after * SECOND <= progress.due - made.clock.now() <= (after + 2) * SECOND
        made.fail()
        assert await row.to_its_end() == "denied"
        never_early(made)


@pytest.mark.long
@pytest.mark.parametrize("by", WAYS)
async def test_an_answer_that_okta_never_gives_is_unknown_some_time_after_its_end(by: str) -> None:
    async with scene(push_lifetime="1m") as made:
        row = driven(made, by, settings={"expires": 60})
        await row.send()
        made.fail(polls={"error_before": 1.0})
        began = made.clock.now()
        assert await row.to_its_end() == "unknown"
        assert 180 <= (made.clock.now() - began) / SECOND <= 190
        never_early(made)


@pytest.mark.long
async def test_a_lost_response_with_tokens_is_not_a_timeout() -> None:
    async with scene() as made:
        made.phone("approve", 1)
        row = driven(made, "ciba")
        await row.send()
        made.fail(polls={"error_after": 1.0})
        await row.wait()
        await row.poll()
        made.fail()
        assert await row.to_its_end() == "unknown"
        assert "lost" in row.row.detail


@pytest.mark.long
async def test_a_lost_poll_before_the_answer_changes_nothing() -> None:
    async with scene() as made:
        row = driven(made, "ciba", settings={"expires": 30})
        await row.send()
        made.fail(polls={"error_after": 1.0})
        await row.wait()
        await row.poll()
        made.fail()
        assert await row.to_its_end() == "timeout"


async def _with_time(made: Scene, work: Coroutine[Any, Any, Any]) -> None:
    """Run `work`, and move the clock while the emulated org delays its response."""
    task = asyncio.create_task(work)
    while not task.done():
        await made.clock.advance(0.5)
    await task
