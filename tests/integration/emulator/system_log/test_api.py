"""`GET /api/v1/logs`, called as a reader of the System Log calls it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from forwarder.core.time import to_micros
from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import LOGS, Service, assert_error, links, running

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = 86_400


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running(ManualClock()) as service:
        yield service


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uuids(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return [event["uuid"] for event in page.json()]


async def read(service: Service, **query: str) -> list[str]:
    """The uuids of all pages, up to an empty one or the last."""
    page = await service.client.get(LOGS, params=query)
    found = uuids(page)
    for _ in range(1000):
        if "next" not in links(page) or not uuids(page):
            return found
        page = await service.client.get(links(page)["next"])
        found += uuids(page)
    raise AssertionError("it does not end")


async def test_a_poller_that_follows_the_links_reads_every_event_once(service: Service) -> None:
    happened = await service.org.emit(25)
    url = f"{LOGS}?limit=10"
    found: list[str] = []
    for _ in range(4):
        page = await service.client.get(url)
        found += uuids(page)
        assert links(page).keys() == {"self", "next"}
        url = links(page)["next"]
    assert found == happened
    (late,) = await service.org.emit(1)
    assert uuids(await service.client.get(url)) == [late]


async def test_a_poller_finds_what_was_stored_late_behind_its_cursor() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        service.org.faults = service.org.faults.model_validate({"log": {"delay": "60s"}})
        (late,) = await service.org.emit(1)
        service.org.faults = service.org.faults.model_validate({})
        await clock.advance(10)
        (early,) = await service.org.emit(1)
        page = await service.client.get(LOGS)
        assert uuids(page) == [early]
        await clock.advance(60)
        assert uuids(await service.client.get(links(page)["next"])) == [late]
        assert await read(service, since=iso(NOON), until=iso(NOON + timedelta(hours=1))) == [late, early]


async def test_the_next_link_carries_the_question_on(service: Service) -> None:
    await service.org.emit(5, ["user.session.start", "user.session.end"])
    query = {"since": iso(NOON), "limit": "1", "filter": 'eventType eq "user.session.end"'}
    page = await service.client.get(LOGS, params=query)
    carried = httpx.URL(links(page)["next"]).params
    assert {name: carried[name] for name in query} == query
    assert len(await read(service, **query)) == 2


async def test_a_logged_event_has_its_chain_in_the_request_and_spells_its_nulls_out(service: Service) -> None:
    await service.org.emit(1, ["user.session.start"])
    (event,) = (await service.client.get(LOGS)).json()
    assert event["request"]["ipChain"]
    assert "ipChain" not in event["client"]
    assert event["insertionTimestamp"] is None


async def test_a_bounded_reader_reads_what_was_published_between_and_comes_to_an_end() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        happened = []
        for _ in range(10):
            happened += await service.org.emit(1)
            await clock.advance(1)
        query = {"since": iso(NOON + timedelta(seconds=2)), "until": iso(NOON + timedelta(seconds=8)), "limit": "2"}
        assert await read(service, **query) == happened[2:8]
        assert await read(service, **query, sortOrder="DESCENDING") == happened[2:8][::-1]
        page = await service.client.get(LOGS, params=query | {"limit": "6"})
        assert links(page).keys() == {"self"}


@pytest.mark.long
async def test_bounded_pages_are_in_the_order_of_published_to_the_microsecond() -> None:
    async with running(ManualClock(), edge_case_share=1) as service:
        await service.org.emit(200)
        query = {"since": iso(NOON), "until": iso(NOON + timedelta(hours=1)), "limit": "1000"}
        page = (await service.client.get(LOGS, params=query)).json()
        published = [datetime.fromisoformat(event["published"]) for event in page]
        assert published == sorted(published)
        assert len(set(published)) > 1


async def test_a_keyword_search_finds_the_events_with_all_keywords(service: Service) -> None:
    await service.org.emit(20, ["user.session.start", "user.session.end"])
    events = (await service.client.get(LOGS)).json()
    name = events[0]["actor"]["displayName"]
    for query in (name, name.upper(), f"  {name}  "):
        page = (await service.client.get(LOGS, params={"q": query})).json()
        assert page == [event for event in events if name in json.dumps(event, ensure_ascii=False)]
    assert len(await read(service, q="user.session.start", limit="3")) == 10
    assert len(await read(service, q="user.session.start", filter='eventType eq "user.session.end"')) == 0
    assert await read(service, q=f"{name} nothing") == []
    assert len(await read(service, q=" ")) == 20


async def test_since_skips_what_is_older(service: Service) -> None:
    await service.org.emit(1)
    assert await read(service, since=iso(NOON + timedelta(days=365))) == []
    assert len(await read(service, since=iso(NOON - timedelta(days=10)))) == 1


async def test_without_since_a_week_is_read() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        await service.org.emit(1)
        await clock.advance(8 * DAY)
        (recent,) = await service.org.emit(1)
        assert await read(service) == [recent]


async def test_after_90_days_an_event_is_silently_gone_and_since_goes_back_180_days_at_most() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        (event,) = await service.org.emit(1)
        await clock.advance(89 * DAY)
        assert await read(service, since=iso(NOON)) == [event]
        await clock.advance(2 * DAY)
        assert await read(service, since=iso(NOON)) == []
        await clock.advance(90 * DAY)
        answer = await service.client.get(LOGS, params={"since": iso(NOON)})
        error = assert_error(answer, 400, "E0000053")
        assert "over 180 days prior to the current day" in error["errorSummary"]


@pytest.mark.parametrize(("limit", "events"), [("0", 0), ("1", 1), ("1000", 3)])
async def test_a_limit_is_from_0_to_1000(service: Service, limit: str, events: int) -> None:
    await service.org.emit(3)
    page = await service.client.get(LOGS, params={"limit": limit})
    assert len(page.json()) == events
    assert "next" in links(page)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=1001", "E0000001"),
        ("limit=-1", "E0000001"),
        ("limit=x", "E0000001"),
        ("after=x", "E0000001"),
        ("after=MTIz", "E0000001"),
        ("since=yesterday", "E0000001"),
        ("until=2026-01-01T00:00:00", "E0000001"),  # before since, which is a day later
        ("sortOrder=SIDEWAYS", "E0000001"),
        ("q=a+b+c+d+e+f+g+h+i+j+k", "E0000001"),
        ("q=a-b-c-d-e-f-g-h-i-j-k", "E0000001"),
        (f"q={'x' * 41}", "E0000001"),
        ("filter=x", "E0000053"),
        ('filter=published gt "2026-01-01"', "E0000053"),
        ('filter=foo eq "x"', "E0000053"),
        ('filter=actor.alternateID eq "x"', "E0000053"),
        ('filter=eventType eq "x" or not (client.ipAdress pr)', "E0000053"),
        ('filter=debugContext.debugData.url co "x"', "E0000031"),
    ],
)  # fmt: skip
async def test_a_query_that_okta_would_not_answer_is_refused(service: Service, query: str, code: str) -> None:
    since = "" if "since" in query else "&since=2026-01-01T01:00:00Z"
    assert_error(await service.client.get(f"{LOGS}?{query}{since}"), 400, code)


async def test_a_cursor_of_another_mode_is_refused(service: Service) -> None:
    await service.org.emit(3)
    polling = links(await service.client.get(f"{LOGS}?limit=1"))["next"]
    assert_error(await service.client.get(f"{polling}&until={iso(NOON)}"), 400, "E0000001")


async def test_events_for_a_hook_can_be_asked_for(service: Service) -> None:
    hook = service.org.add_hook("https://receiver.example.com/", "the-secret", types=["user.session.start"])
    service.org.hooks.set_verified(hook)
    wanted, _ = await service.org.emit(2, ["user.session.start", "user.session.end"])
    asked = f'debugContext.debugData.targetEventHookIds co "{hook.id}"'
    assert await read(service, filter=asked) == [wanted]


# --- limits


async def test_one_token_gets_half_of_the_logs_calls_and_the_logs_have_a_limit_of_their_own() -> None:
    async with running(logs_per_minute=6, calls_per_minute=20) as service:
        seen = [(await service.client.get(LOGS)).headers for _ in range(3)]
        assert [headers["x-rate-limit-remaining"] for headers in seen] == ["2", "1", "0"]
        assert {headers["x-rate-limit-limit"] for headers in seen} == {"3"}
        refused = await service.client.get(LOGS)
        assert_error(refused, 429, "E0000047")
        assert refused.headers["x-rate-limit-remaining"] == "0"
        assert (await service.client.get("/api/v1/eventHooks")).status_code == 200


async def test_a_new_minute_has_new_calls() -> None:
    clock = ManualClock()
    async with running(clock, logs_per_minute=2) as service:
        answer = await service.client.get(LOGS)
        assert (await service.client.get(LOGS)).status_code == 429
        reset = int(answer.headers["x-rate-limit-reset"])
        assert reset == to_micros(NOON) // 1_000_000 + 60
        await clock.advance(reset - clock.now() / 1e6)
        assert (await service.client.get(LOGS)).status_code == 200


# --- faults


async def test_a_rate_limited_call_says_when_to_retry(service: Service) -> None:
    faults = {"log": {"rate_limited": 1, "reset": "7s"}}
    assert (await service.client.put("/emulator/faults", json=faults)).status_code == 200
    answer = await service.client.get(LOGS)
    assert_error(answer, 429, "E0000047")
    assert answer.headers["x-rate-limit-remaining"] == "0"
    assert int(answer.headers["x-rate-limit-limit"]) > 0
    assert int(answer.headers["x-rate-limit-reset"]) == to_micros(NOON) // 1_000_000 + 7
    assert (await service.client.get("/api/v1/eventHooks")).status_code == 200


async def test_a_concurrency_limit_shows_zeros_in_its_headers(service: Service) -> None:
    await service.client.put("/emulator/faults", json={"log": {"concurrency_limited": 1}})
    answer = await service.client.get(LOGS)
    assert_error(answer, 429, "E0000047")
    assert (answer.headers["x-rate-limit-limit"], answer.headers["x-rate-limit-remaining"]) == ("0", "0")


async def test_a_broken_log_answers_500(service: Service) -> None:
    await service.client.put("/emulator/faults", json={"log": {"server_error": 1}})
    assert_error(await service.client.get(LOGS), 500, "E0000009")


async def test_an_expired_cursor_is_refused_and_a_fresh_start_is_not(service: Service) -> None:
    await service.org.emit(3)
    page = await service.client.get(LOGS)
    await service.client.put("/emulator/faults", json={"log": {"cursor_expired": 1}})
    assert_error(await service.client.get(links(page)["next"]), 400, "E0000001")
    assert len(uuids(await service.client.get(LOGS))) == 3


async def test_a_silent_log_does_not_answer_until_it_gives_up() -> None:
    async with running(query_timeout="100ms") as service:
        await service.client.put("/emulator/faults", json={"log": {"no_response": 1}})
        assert_error(await service.client.get(LOGS), 500, "E0000009")


async def test_a_caller_that_disconnects_from_a_silent_log_ends_the_call(service: Service) -> None:
    await service.client.put("/emulator/faults", json={"log": {"no_response": 1}})
    with pytest.raises(httpx.ReadTimeout):
        await service.client.get(LOGS, timeout=0.05)
    async with asyncio.timeout(10):  # far less than the 30 s that the log would be silent
        await service.client.aclose()
    service.org.faults = service.org.faults.model_validate({})


@pytest.mark.long
async def test_shares_of_faults_hit_some_calls(service: Service) -> None:
    await service.client.put("/emulator/faults", json={"log": {"rate_limited": 0.3, "server_error": 0.3}})
    statuses = [(await service.client.get(LOGS)).status_code for _ in range(60)]
    assert set(statuses) == {200, 429, 500}
