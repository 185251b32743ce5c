import json
import time
from urllib.parse import unquote

import pytest
import structlog.testing

from forwarder.core.errors import OktaError
from forwarder.core.event import Source
from forwarder.okta.api.port import OktaTooLargeError, Response
from forwarder.okta.system_log.event_details import targets_hook
from forwarder.okta.system_log.pages import RETENTION, LogPage, SystemLog
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.okta_log import HOOK, URL, LogApi, OneAnswer, event
from tests.fakes.turns import turns_of_others

NEXT = {"next": f"{URL}/api/v1/logs?after=7"}
SECOND = 1_000_000


async def read(content: bytes, hook_id: str = HOOK) -> LogPage:
    """Return the page whose body is `content`."""
    return await SystemLog("acme", URL, OneAnswer(Response(200, content, NEXT)), ManualClock()).first_page(
        NOON, hook_id=hook_id
    )


async def test_every_event_is_kept_byte_for_byte() -> None:
    bodies = [event(f"u{n}", NOON + n * 1000) for n in range(3)]
    page = await read(b" [ " + b" ,\t".join(bodies) + b" ] ")
    assert [one.body for one in page.events] == bodies
    assert {(one.org, one.source, one.envelope_id) for one in page.events} == {("acme", Source.LOG, "")}
    assert page.newest == NOON + 2000


async def test_a_malformed_element_does_not_affect_its_neighbours() -> None:
    good = event("u1", NOON)
    page = await read(b"[7, " + good + b', {"uuid": "x"}, null]')
    assert [one.body for one in page.events] == [good]
    assert [reject.body for reject in page.malformed] == [b"7", b'{"uuid": "x"}', b"null"]
    assert {reject.org for reject in page.malformed} == {"acme"}


async def test_an_event_with_half_of_a_surrogate_pair_is_kept() -> None:
    odd = event("u1", NOON, hooks=[HOOK], displayMessage="?").replace(b'"?"', rb'"\ud800 \u00e9"')
    page = await read(b"[" + event("u0", NOON) + b"," + odd + b"," + odd.replace(b"u1", b"u2") + b"]")
    assert [one.uuid for one in page.events] == ["u0", "u1", "u2"]
    assert page.events[1].body == odd
    assert page.expected_by_hook == {"u1", "u2"}


@pytest.mark.parametrize(
    "bad",
    [
        b"[" * 100_000 + b"]" * 100_000,
        event("u2", NOON).replace(b"{", b'{"x":' + b"[" * 990 + b"]" * 990 + b",", 1),
        event("u2", NOON, displayMessage="?").replace(b'"?"', b"NaN"),
        event("u2", NOON, displayMessage="?").replace(b'"?"', b'"\x1b[2J"'),
        event("u2", NOON)[:-20],
    ],
)
async def test_an_unreadable_event_does_not_stop_the_log(bad: bytes) -> None:
    page = await read(b"[" + event("u1", NOON) + b"," + bad + b"," + event("u3", NOON, hooks=[HOOK]) + b"]")
    assert [one.uuid for one in page.events] == ["u1", "u3"]
    assert [one.body for one in page.malformed] == [bad]
    assert page.expected_by_hook == {"u3"}
    assert page.next_link


@pytest.mark.long
async def test_an_event_that_only_just_can_be_read_does_not_stop_the_log() -> None:
    # How deep a parser can go depends on the depth of the call.
    for levels in range(900, 1000):
        deep = event("u1", NOON, hooks=[HOOK]).replace(b"{", b'{"x":' + b"[" * levels + b"]" * levels + b",", 1)
        page = await read(b"[" + deep + b"," + event("u2", NOON, hooks=[HOOK]) + b"]")
        assert len(page.events) + len(page.malformed) == 2
        assert "u2" in page.expected_by_hook


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"<html>", b'{"errorCode":"E1"}', b'[{"uuid":"x"},', rb'["\ud800"', b"[" * 9999),
        *(b'[{"target":[]', b'[{"uuid":"x"},{"x":"a]', b"[NaN", b"[1]]", b"[" + b"1," * 9999 + b"1]"),
    ],
)
async def test_anything_but_a_page_is_an_error(content: bytes) -> None:
    with pytest.raises(OktaError, match="not a page"):
        await read(content)


async def test_polling_requests_all_events_in_the_order_of_storing() -> None:
    api = LogApi(ManualClock())
    await SystemLog("acme", URL + "/", api, api.clock).first_page(NOON - 5)
    assert api.calls == ["/api/v1/logs?since=2026-01-01T11%3A59%3A59.999Z&limit=1000&sortOrder=ASCENDING"]


async def test_a_bounded_request_has_an_end() -> None:
    api = LogApi(ManualClock())
    api.store(event("late", NOON - 1000), event("u0", NOON - 3000), event("u1", NOON - 2000), event("out", NOON))
    log = SystemLog("acme", URL, api, api.clock, limit=2)
    first = await log.first_page(NOON - 3000, NOON)
    assert first.next_link is not None
    last = await log.next_page(first.next_link, polling=False)
    assert [one.uuid for one in (*first.events, *last.events)] == ["u0", "u1", "late"]
    assert last.next_link is None


async def test_events_beyond_oktas_retention_are_not_requested() -> None:
    api = LogApi(ManualClock())
    await SystemLog("acme", URL, api, api.clock).first_page(NOON - 2 * RETENTION)
    assert "since=2025-10-03T12" in api.calls[0]


async def test_a_server_time_that_is_years_ahead_hides_no_event() -> None:
    clock = ManualClock()
    api = LogApi(clock, behind=-400 * 86_400 * SECOND)
    log = SystemLog("acme", URL, api, clock)
    for _ in range(2):
        await log.first_page(NOON - SECOND)
        assert "since=2026-01-01T11:59:59.000Z" in unquote(api.calls[-1])


async def test_polling_without_a_next_link_is_an_error_not_a_guess() -> None:
    log = SystemLog("acme", URL, OneAnswer(Response(200, b"[]", {})), ManualClock())
    with pytest.raises(OktaError, match="has no link"):
        await log.first_page(NOON)


async def test_a_link_is_followed_at_the_address_that_the_operator_gave() -> None:
    api = LogApi(ManualClock(), url="https://elsewhere.example.com")
    page = await SystemLog("acme", URL, api, api.clock).first_page(NOON)
    assert page.next_link is not None
    assert page.next_link.startswith(f"{URL}/api/v1/logs?")
    assert page.next_link.endswith("after=0")


async def test_a_link_of_another_address_is_not_its_own() -> None:
    log = SystemLog("acme", URL, LogApi(ManualClock()), ManualClock())
    assert log.is_own_link(f"{URL}/api/v1/logs?after=1")
    assert not log.is_own_link("https://acme.okta.com.evil.example/api/v1/logs?after=1")
    assert not log.is_own_link(f"{URL}/api/v1/users?after=1")


async def test_a_full_page_has_more() -> None:
    api = LogApi(ManualClock())
    api.store(*(event(f"u{n}", NOON) for n in range(3)))
    log = SystemLog("acme", URL, api, api.clock, limit=2)
    first = await log.first_page(NOON)
    assert first.has_more
    assert first.next_link
    assert not (await log.next_page(first.next_link)).has_more


@pytest.mark.parametrize(
    ("debug", "named"),
    [
        ({"debugData": {"targetEventHookIds": HOOK}}, True),
        ({"debugData": {"targetEventHookIds": f"who3p0a3y5uKucF8I0g8, {HOOK}"}}, True),
        ({"debugData": {"targetEventHookIds": ["who3p0a3y5uKucF8I0g8", HOOK]}}, True),
        ({"debugData": {"targetEventHookIds": f"{HOOK}x,x{HOOK}"}}, False),
        ({"debugData": {"targetEventHookIds": {"id": HOOK}}}, False),
        ({"debugData": {"targetEventHookIds": None, "url": HOOK}}, False),
        ({"debugData": HOOK}, False),
        ({"debugData": None}, False),
        (HOOK, False),
        (None, False),
    ],
)
def test_only_the_list_of_target_hooks_names_a_hook(debug: object, *, named: bool) -> None:
    body = json.dumps({"debugContext": debug, "target": [{"id": HOOK}]}).encode()
    assert targets_hook(body, HOOK) is named


async def test_without_a_hook_nothing_is_expected_by_it() -> None:
    assert (await read(b"[" + event("u1", NOON, hooks=[HOOK]) + b"]", hook_id="")).expected_by_hook == frozenset()


@pytest.mark.long
async def test_a_large_page_lets_other_tasks_run() -> None:
    bodies = [event(f"u{n}", NOON, hooks=[HOOK], displayMessage="x" * 10_000) for n in range(1000)]
    began = time.process_time()
    async with turns_of_others() as turns:
        page = await read(b"[" + b",".join(bodies) + b"]")
    assert len(page.expected_by_hook) == 1000
    assert (time.process_time() - began) / turns.count < 0.02  # seconds of CPU that a step may take


async def test_a_page_that_is_too_large_is_read_in_smaller_ones() -> None:
    api = LogApi(ManualClock(), readable=10)
    api.store(*(event(f"u{n}", NOON + n) for n in range(25)))
    log = SystemLog("acme", URL, api, api.clock, limit=1000)
    page = await log.first_page(NOON)
    uuids = [one.uuid for one in page.events]
    while page.has_more:
        assert page.next_link is not None
        page = await log.next_page(page.next_link)
        uuids += [one.uuid for one in page.events]
    assert uuids == [f"u{n}" for n in range(25)]
    api.readable = 1000
    assert page.next_link is not None
    await log.next_page(page.next_link)
    assert "limit=1000" in api.calls[-1]


async def test_a_page_of_one_event_that_is_too_large_is_passed_and_the_start_of_the_event_is_kept() -> None:
    api = LogApi(ManualClock(), max_bytes=1000)
    large = event("large", NOON, displayMessage="[x], " * 200)
    api.store(large, event("next", NOON))
    log = SystemLog("acme", URL, api, api.clock)
    with structlog.testing.capture_logs() as lines:
        page = await log.first_page(NOON)
    assert ([one.body for one in page.malformed], page.events, page.has_more) == ([large[:999]], [], True)
    assert [(line["action"], line["org"]) for line in lines] == [("event_too_large", "acme")]
    assert page.next_link is not None
    page = await log.next_page(page.next_link)
    assert [one.uuid for one in page.events] == ["next"]


@pytest.mark.parametrize(
    "cut",
    [
        None,
        Response(200, b"<html>" + b"x" * 1000, NEXT),
        Response(200, b"<html>[" + b"x" * 1000, NEXT),
        Response(200, b'{"events": [' + b"x" * 1000, NEXT),
        Response(200, b"[" + event("u1", NOON) + b", " + event("u2", NOON, displayMessage="x" * 1000)[:-9], NEXT),
        Response(200, b"[" + event("u1", NOON, displayMessage="x" * 1000)[:-9], {}),
    ],
)
async def test_no_other_page_that_is_too_large_is_passed(cut: Response | None) -> None:
    log = SystemLog("acme", URL, OneAnswer(OktaTooLargeError("too large", cut)), ManualClock())
    with pytest.raises(OktaError):
        await log.first_page(NOON)


@pytest.mark.parametrize("polling", [True, False])
@pytest.mark.parametrize(
    "link",
    [
        "http://[acme/api/v1/logs?after=7",
        "https://acme.okta.com/api/v1/logs",
        "?",
        "#",
        "?after=\udcff",
        "?after=é",
        "?after=a b",
        "?after=\x7f",
    ],
)
async def test_a_next_link_that_cannot_be_followed_is_an_error_and_no_end(link: str, *, polling: bool) -> None:
    log = SystemLog("acme", URL, OneAnswer(Response(200, b"[]", {"next": link})), ManualClock())
    with pytest.raises(OktaError, match="has no usable link to the next page"):
        await log.first_page(NOON, None if polling else NOON + SECOND)


async def test_a_body_that_is_not_a_page_is_named_also_if_it_has_no_link() -> None:
    log = SystemLog("acme", URL, OneAnswer(Response(200, b"<html>", {})), ManualClock())
    with pytest.raises(OktaError, match="not a page of the System Log"):
        await log.first_page(NOON)
