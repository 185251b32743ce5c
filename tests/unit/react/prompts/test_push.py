"""A push: the chosen factor, the followed links, and the meaning of odd responses."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from forwarder.core.time import SECOND
from forwarder.react.ports import Answer
from forwarder.react.prompts.asking import Prompts
from forwarder.react.prompts.results import PromptProgress
from tests.fakes.clock import NOON, ManualClock
from tests.unit.react.prompts.rows import ask, prompt

VERIFY, POLL = "https://acme.okta.com/api/v1/links/v", "https://acme.okta.com/api/v1/links/p"


def factor(status: str = "ACTIVE", kind: str = "push", link: Any = VERIFY) -> dict[str, Any]:
    links = {"verify": {"href": link, "hints": {"allow": ["POST"]}}} if link else {}
    return {"id": "opf1", "factorType": kind, "provider": "OKTA", "status": status, "_links": links}


WAITING = {"factorResult": "WAITING", "expiresAt": "2026-01-01T12:01:00.000Z", "_links": {"poll": {"href": POLL}}}


class Org:
    """An org's API that returns prepared responses in order; also the `Okta` port that returns it."""

    def __init__(self, clock: ManualClock, *answers: Answer) -> None:
        self._clock = clock
        self._answers = list(answers)
        self.calls: list[tuple[str, str]] = []
        self.limited = 0.0

    def org(self, name: str) -> "Org | None":
        return self if name == "acme" else None

    async def ready(self, method: str, path: str) -> None:
        del method, path
        if self.limited:
            await self._clock.advance(self.limited)

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        assert query is None
        assert body is None
        self.calls.append((method, path))
        return self._answers.pop(0)


async def sent(*answers: Answer, user: str = "00u1") -> tuple[PromptProgress, Org]:
    org = Org(ManualClock(), *answers)
    return await ask(Prompts(org, {}, ManualClock()), prompt(user)), org


def listed(*factors: Any) -> Answer:
    return Answer(200, list(factors))


async def test_the_active_push_factor_is_asked_by_its_own_link() -> None:
    others = [factor(kind="token:software:totp", link="x"), factor("INACTIVE", link="y"), factor(link=None), 7]
    progress, org = await sent(listed(*others, factor()), Answer(201, WAITING))
    assert org.calls == [("GET", "/api/v1/users/00u1/factors"), ("POST", VERIFY)]
    assert progress.due == NOON + 5 * SECOND
    assert POLL in progress.handle


async def test_a_link_may_be_a_list() -> None:
    odd = factor() | {"_links": {"verify": [{"href": VERIFY}, {"href": "x"}]}}
    _, org = await sent(listed(odd), Answer(201, WAITING))
    assert org.calls[1] == ("POST", VERIFY)


async def test_a_malformed_id_stays_one_part_of_the_path() -> None:
    _, org = await sent(listed(), user="../../x?y")
    assert org.calls == [("GET", "/api/v1/users/..%2F..%2Fx%3Fy/factors")]


@pytest.mark.parametrize(
    ("body", "detail"),
    [([], "no push factor"), ([factor("PENDING_ACTIVATION")], "PENDING_ACTIVATION"), ([factor(link=7)], "ACTIVE")],
)
async def test_without_a_factor_to_ask_nothing_is_sent(body: Any, detail: str) -> None:
    progress, org = await sent(Answer(200, body))
    assert progress.answer == "unreachable"
    assert detail in progress.detail
    assert len(org.calls) == 1


@pytest.mark.parametrize("body", [None, {"a": 1}, "maintenance"])
async def test_a_response_that_is_not_a_list_does_not_mean_that_the_user_has_no_factor(body: Any) -> None:
    progress, org = await sent(Answer(200, body))
    assert (progress.answer, progress.failed, len(org.calls)) == (None, False, 1)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"factorResult": "SUCCESS"}, "approved"),
        ({"factorResult": "REJECTED"}, "denied"),
        ({"factorResult": "TIMEOUT"}, "timeout"),
        ({"factorResult": "WAITING"}, "unknown"),
        ({"factorResult": "CHALLENGE", "_links": {"poll": {"href": POLL}}}, "unknown"),
        ({"factorResult": 7}, "unknown"),
        (None, "unknown"),
        ([], "unknown"),
        ({"factorResult": "WAITING", "_links": {"poll": {"href": 1}}}, "unknown"),
    ],
)
async def test_an_answer_to_the_post_that_has_no_link_is_never_sent_again(body: Any, answer: str) -> None:
    progress, _ = await sent(listed(factor()), Answer(201, body))
    assert (progress.answer, progress.handle) == (answer, "")


@pytest.mark.parametrize(
    ("answer", "word", "failed"),
    [
        (Answer(429, retry_at=NOON + 9), None, False),
        (Answer(0, sent=False), None, False),
        (Answer(0), "unknown", False),
        (Answer(408), "unknown", False),
        (Answer(503, retry_at=NOON + 9), "unknown", False),
        (Answer(504, code="E0000067"), "unknown", False),
        (Answer(403, code="E0000069"), "unreachable", False),
        (Answer(410, code="E0000154"), "unreachable", False),
        (Answer(423, code="E0000180"), "unreachable", False),
        (Answer(404, code="E0000007"), "unreachable", False),
        (Answer(403, code="E0000006", text="no permission"), None, True),
        (Answer(401, text="no token", sent=False), None, True),
        (Answer(400, code="E0000001"), None, True),
        (Answer(302), None, True),
    ],
)
async def test_each_refusal_of_the_post_has_its_meaning(answer: Answer, word: str | None, *, failed: bool) -> None:
    progress, _ = await sent(listed(factor()), answer)
    assert (progress.answer, progress.failed, progress.handle) == (word, failed, "")
    assert progress.due == (answer.retry_at if word is None else None)


@pytest.mark.parametrize(
    ("answer", "word", "failed"),
    [
        (Answer(429, retry_at=NOON + 9), None, False),
        (Answer(503), None, False),
        (Answer(0), None, False),
        (Answer(404), "unreachable", False),
        (Answer(403), None, True),
    ],
)
async def test_after_a_failed_look_up_nothing_was_sent(answer: Answer, word: str | None, *, failed: bool) -> None:
    progress, org = await sent(answer)
    assert (progress.answer, progress.failed, progress.due) == (word, failed, answer.retry_at)
    assert len(org.calls) == 1


async def test_after_a_long_wait_for_the_rate_limit_the_guards_judge_the_prompt_again() -> None:
    clock = ManualClock()
    org = Org(clock, listed(factor()))
    org.limited = 6
    progress = await ask(Prompts(org, {}, clock), prompt())
    assert (progress.answer, progress.failed, progress.handle) == (None, False, "")
    assert progress.due == NOON + 6 * SECOND
    assert len(org.calls) == 1


async def test_the_number_of_a_challenge_that_nobody_asked_for_is_kept_nowhere() -> None:
    clock = ManualClock()
    challenge = WAITING | {"_embedded": {"challenge": {"correctAnswer": 73519}}}
    org = Org(clock, listed(factor()), Answer(201, challenge), Answer(200, challenge), Answer(200, challenge))
    prompts = Prompts(org, {}, clock)
    progress = await ask(prompts, prompt())
    for _ in range(2):
        assert "73519" not in repr((progress, vars(prompts)))
        await clock.advance(5)
        progress = await prompts.poll(prompt(handle=progress.handle))
    assert progress.handle


async def test_a_row_that_cannot_be_polled_is_unknown() -> None:
    clock = ManualClock()
    prompts = Prompts(Org(clock), {}, clock)
    for row in (prompt(handle=""), prompt(handle="{"), prompt(handle='{"poll":7}'), prompt(org="gone", handle="x")):
        assert (await prompts.poll(row)).answer == "unknown"
        await prompts.cancel(row)


@pytest.mark.parametrize("row", [prompt(org="gone"), prompt(settings={"by": "ciba"}), prompt(settings={})])
async def test_a_prompt_that_is_not_configured_any_more_fails(row: Any) -> None:
    clock = ManualClock()
    progress = await ask(Prompts(Org(clock), {}, clock), row)
    assert progress.failed
    assert "not configured" in progress.detail


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"factorResult": "TIME_WINDOW_EXCEEDED"}, "timeout"),
        ({"factorResult": "CANCELLED"}, "unknown"),
        ({"factorResult": "ERROR"}, "unknown"),
        (None, "unknown"),
    ],
)
async def test_each_result_of_a_poll_has_its_answer(body: Any, word: str) -> None:
    clock = ManualClock()
    org = Org(clock, listed(factor()), Answer(201, WAITING), Answer(200, body))
    prompts = Prompts(org, {}, clock)
    row = replace(prompt(), handle=(await ask(prompts, prompt())).handle)
    await clock.advance(5)
    progress = await prompts.poll(row)
    assert progress.answer == word
    assert org.calls[-1] == ("GET", POLL)


@pytest.mark.parametrize("status", [404, 410])
async def test_only_okta_itself_can_say_that_it_no_longer_knows_a_push(status: int) -> None:
    for code, word in (("E0000007", "unknown"), ("", None)):  # the page of a proxy has no code
        clock = ManualClock()
        org = Org(clock, listed(factor()), Answer(201, WAITING), Answer(status, code=code, text="refused"))
        prompts = Prompts(org, {}, clock)
        row = replace(prompt(), handle=(await ask(prompts, prompt())).handle)
        await clock.advance(5)
        assert (await prompts.poll(row)).answer == word


async def test_a_prompt_that_okta_does_not_end_in_time_is_a_timeout() -> None:
    clock = ManualClock()
    org = Org(clock, listed(factor()), Answer(201, WAITING), Answer(200, WAITING))
    prompts = Prompts(org, {}, clock)
    row = replace(prompt(), handle=(await ask(prompts, prompt())).handle)
    await clock.advance(181)
    assert (await prompts.poll(row)).answer == "timeout"
