"""The status page in a real browser: accessible, usable by keyboard alone, and safe against what attackers write."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.time import iso
from forwarder.settings import read
from tests.conftest import require
from tests.e2e.okta import HEADERS, envelope, happenings
from tests.fakes.elasticsearch import MAPPING, FakeElasticsearch
from tests.stack import browser as real
from tests.stack.forwarder import SECRET
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]

TOKEN = "the-token-of-the-operators"
ATTACK = "<img src=x onerror=alert(1)>"
DEADLINE = 30.0
RULES = """
title: A sign-in with a title that is long enough to need two lines on a phone
id: sign-in
level: high
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: user.session.start}
  condition: selection
---
title: Counted only
id: counted
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: user.session.end}
  condition: selection
---
title: Many ends
id: ends
correlation: {type: event_count, rules: [counted], group-by: [actor.id], timespan: 10m, condition: {gte: 4}}
---
title: The robot is allowed
logsource: {product: okta, service: okta}
filter:
  rules: [sign-in]
  selection: {actor.id: robot}
  condition: not selection
"""


@pytest.fixture
async def cluster() -> AsyncIterator[FakeElasticsearch]:
    async with FakeElasticsearch() as cluster:
        yield cluster


@pytest.fixture
async def forwarder(tmp_path: Path, cluster: FakeElasticsearch) -> AsyncIterator[Forwarder]:
    require(real.missing())
    (tmp_path / "rules.yml").write_text(RULES)
    tree: dict[str, Any] = {
        "rules": {"files": [str(tmp_path / "rules.yml")]},
        "orgs": {"acme": {"secrets": [SECRET]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0", "token": TOKEN},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {
            "siem": {"kind": "elasticsearch", "hosts": [cluster.url]},
            "archive": {"kind": "file", "path": str(tmp_path / "a.ndjson")},
        },
    }
    async with started(tree) as forwarder:
        yield forwarder


@asynccontextmanager
async def started(tree: dict[str, Any]) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(read(tree), SystemClock())
    await forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop(grace=1)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    require(real.missing())
    async with real.browser() as browser:
        yield browser


async def post(forwarder: Forwarder, bodies: list[bytes], secret: str = SECRET) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"http://{forwarder.server.address}/okta/events"
        headers = HEADERS | {"Authorization": secret}
        return (await client.post(url, content=envelope(bodies), headers=headers)).status_code


async def with_dead_letters(forwarder: Forwarder, cluster: FakeElasticsearch, count: int = 2) -> list[str]:
    """Post events of which the cluster rejects `count`; return the uuids of these."""
    found = list(happenings(12, seed=5))
    rejected = [uuid for uuid, _ in found[:count]]
    cluster.items = dict.fromkeys(rejected, MAPPING)
    assert await post(forwarder, [body for _, body in found]) == 200
    await until_dead(forwarder, count)
    return rejected


async def until_dead(forwarder: Forwarder, count: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while (await forwarder.status.gather())["sinks"]["siem"]["dead"] != count:
            await asyncio.sleep(0.02)


async def opened(browser: Browser, forwarder: Forwarder, errors: list[str], **options: Any) -> Page:
    context = await browser.new_context(**options)
    page = await context.new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"http://{forwarder.ops.address}/")
    await page.get_by_role("heading", name="Pipe").wait_for()
    return page


def sign_in(uuid: str, actor: str) -> bytes:
    """A sign-in that has just happened."""
    now = iso(SystemClock().now(), "milliseconds")
    body = {"uuid": uuid, "eventType": "user.session.start", "published": now, "actor": {"id": actor}}
    return json.dumps(body).encode()


async def test_rules_stand_with_their_alerts_and_are_hidden_where_there_are_none(
    forwarder: Forwarder, browser: Browser, tmp_path: Path
) -> None:
    errors: list[str] = []
    page = await opened(browser, forwarder, errors)
    rows = page.get_by_role("region", name="List of rules").locator("tbody tr")
    await expect(rows).to_have_count(3)
    assert await post(forwarder, [sign_in("a", "u1"), sign_in("b", "u1"), sign_in("c", "robot")]) == 200
    await page.get_by_text("3 rules are loaded; 1 alert in the last 24 hours.").wait_for()
    cells = (await rows.first.inner_text()).split("\t")
    assert [cell.strip() for cell in (*cells[1:3], cells[4])] == ["high", "1", "2 (1 by exceptions)"]
    assert "feeds others" in await rows.nth(2).inner_text() + await rows.nth(1).inner_text()
    tree: dict[str, Any] = {
        "orgs": {"acme": {"secrets": [SECRET]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"},
        "store": {"path": str(tmp_path / "other.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "b.ndjson")}},
    }
    async with started(tree) as without:
        page = await opened(browser, without, errors)
        await page.get_by_role("heading", name="Ledger").wait_for()
        for name in ("Rules", "Reactions"):
            assert await page.get_by_role("heading", name=name).count() == 0
    assert errors == []


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 740}},
}


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing_on_the_page_and_in_its_dialogs(
    forwarder: Forwarder, cluster: FakeElasticsearch, browser: Browser, look: str
) -> None:
    await with_dead_letters(forwarder, cluster)
    assert await post(forwarder, [sign_in("a", "u1"), sign_in("b", "u1"), sign_in("c", "robot")]) == 200
    assert await post(forwarder, [], secret="wrong") == 401
    errors: list[str] = []
    page = await opened(browser, forwarder, errors, bypass_csp=True, **LOOKS[look])
    await page.get_by_text("2 (1 by exceptions)").wait_for()
    await page.get_by_role("button", name="Replay dead letter 1", exact=True).wait_for()
    await page.locator("table.events tbody tr").first.wait_for()
    assert await real.violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.locator("table.events button").first.click()
    await page.locator("dialog pre").first.wait_for()
    assert await real.violations(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Discard dead letter 1", exact=True).click()
    await page.get_by_label("Token", exact=True).wait_for()
    assert await real.violations(page) == []
    assert errors == []


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        focused = await page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.trim()")
        if focused == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


async def test_the_keyboard_alone_replays_a_dead_letter(
    forwarder: Forwarder, cluster: FakeElasticsearch, browser: Browser
) -> None:
    first, second = await with_dead_letters(forwarder, cluster)
    errors: list[str] = []
    page = await opened(browser, forwarder, errors)
    await page.get_by_role("button", name="Replay dead letter 1", exact=True).wait_for()
    del cluster.items[first]
    await tab_to(page, "Replay dead letter 1")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Token", exact=True)).to_be_focused()
    await page.keyboard.type(TOKEN)
    await expect(page.get_by_label("Token", exact=True)).to_have_value(TOKEN)
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Replay dead letter 1?").wait_for()
    await tab_to(page, "Replay 1 event")
    await page.keyboard.press("Enter")
    await page.get_by_text("1 dead letter is sent again.").wait_for()
    await until_dead(forwarder, 1)
    await until(lambda: any(first in documents for documents in cluster.data_streams.values()))
    assert not any(second in documents for documents in cluster.data_streams.values())
    await page.get_by_role("button", name="Replay dead letter 1", exact=True).wait_for(state="detached")
    assert await page.evaluate("document.cookie") == ""
    assert errors == []


async def test_all_that_match_a_filter_are_discarded_after_their_number_was_confirmed(
    forwarder: Forwarder, cluster: FakeElasticsearch, browser: Browser
) -> None:
    await with_dead_letters(forwarder, cluster, count=3)
    errors: list[str] = []
    page = await opened(browser, forwarder, errors)
    await page.evaluate(f"sessionStorage.setItem('okta-forwarder-token', '{TOKEN}')")
    await page.reload()
    await page.get_by_label("Reason").select_option("mapping")
    await page.get_by_role("button", name="Discard all 3 that match").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("After that, these 3 events can never be replayed.").wait_for()
    await dialog.get_by_role("button", name="Discard 3 events").click()
    await page.get_by_text("3 events were discarded.").wait_for()
    await until_dead(forwarder, 0)
    assert (await forwarder.status.gather())["sinks"]["siem"]["discarded"] == 3
    assert errors == []


async def test_what_an_attacker_writes_stays_text(forwarder: Forwarder, browser: Browser) -> None:
    body = {
        "uuid": "attack-1",
        "eventType": "user.session.start",
        "published": "2026-01-01T12:00:00.000Z",
        "displayMessage": ATTACK,
        "actor": {"alternateId": ATTACK, "displayName": ATTACK},
        "client": {"ipAddress": ATTACK, "userAgent": {"rawUserAgent": ATTACK}},
        "target": [{"displayName": ATTACK}],
    }
    assert await post(forwarder, [json.dumps(body).encode()]) == 200
    errors: list[str] = []
    page = await opened(browser, forwarder, errors)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await page.locator("table.events button").first.click()
    await page.locator("dialog pre").first.wait_for()
    text = await page.locator("dialog").inner_text()
    assert text.count(ATTACK) >= 4
    assert await page.locator("img").count() == 0
    assert (dialogs, errors) == ([], [])


async def test_the_page_says_that_it_has_lost_the_forwarder(forwarder: Forwarder, browser: Browser) -> None:
    page = await opened(browser, forwarder, [])
    began = asyncio.get_running_loop().time()
    await forwarder.stop(grace=1)
    assert asyncio.get_running_loop().time() - began < 5
    await page.get_by_role("status").get_by_text("The state is unknown").wait_for()
