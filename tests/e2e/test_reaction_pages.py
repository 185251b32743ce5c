"""Reactions on the status page, and the page that decides, in a real browser: accessible, usable by keyboard alone, and safe
against what attackers write."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.action import Action, ActionState, Waits
from forwarder.core.printable import printable
from forwarder.core.time import iso
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.settings import Settings
from tests.conftest import require
from tests.e2e.test_status_page import LOOKS, opened, post, tab_to
from tests.fakes.okta_org import okta_org
from tests.integration.reaction_runner.scene import RULE, LaterClock, command, running, settings, until
from tests.stack import browser as real

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(180)]

TOKEN = "the-token-of-the-operators"
HOSTILE = "<img src=x onerror=alert(1)>%00%zz\u202egro.elpmaxe@nimda\u200b\u0007"
HARMLESS = r"<img src=x onerror=alert(1)>%00%zz\u202egro.elpmaxe@nimda\u200b\x07"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    require(real.missing())
    async with real.browser() as browser:
        yield browser


SIGN_OUT = """
title: A sign-out
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0002
status: test
level: low
logsource: {product: okta, service: okta}
detection: {selection: {eventType: user.session.end}, condition: selection}
"""


def wanted(folder: Path, org: Emulator, do: list[Any], **reactions: Any) -> Settings:
    made = settings(folder, org, do, **reactions)
    (folder / "rule.yml").write_text(f"{RULE}---{SIGN_OUT}")
    return made.model_copy(update={"ops": type(made.ops)(listen="127.0.0.1:0", token=TOKEN)})


def ordinary_users(org: Emulator) -> list[EmulatedUser]:
    """Users whom no guard protects."""
    spared = {user for group in org.groups.all() if group.roles for user in group.members}
    return [user for user in org.users.all() if not user.roles and user.id not in spared]


async def sign_in(forwarder: Forwarder, user: EmulatedUser, uuid: str, name: str = HOSTILE) -> None:
    """Deliver a sign-in of a user under a name that the sender chose."""
    body = {
        "uuid": uuid,
        "eventType": "user.session.start",
        "published": iso(SystemClock().now(), "milliseconds"),
        "actor": {"id": user.id, "type": "User", "alternateId": name, "displayName": name},
    }
    assert await post(forwarder, [json.dumps(body).encode()], secret="the-secret") == 200


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Forwarder]:
    """A forwarder with some of everything: approvals that wait, one of them over a limit; a prompt that waits for the System
    Log; pauses; and an effect that should have ended, which cannot be undone because its org is gone."""
    require(real.missing())
    async with okta_org() as org:
        group = next(each for each in org.groups.all() if each.type == "OKTA_GROUP" and not each.roles)
        do = [
            {"add_to_group": {"group": group.name, "for": "1m"}},
            {"suspend": {"for": "4h"}},
            {"prompt": {"by": "push"}},
        ]
        made = wanted(folder, org, do, confirm=["prompt"], limits={"timed": "1/1h"}, approve_within="1h")
        async with running(made) as forwarder:
            first, second = ordinary_users(org)[:2]
            await sign_in(forwarder, first, "first")
            await until(lambda rows: [one for one in rows if one.state is ActionState.LIVE], forwarder)
            await sign_in(forwarder, second, "second", "sam@corp.example")
            await until(lambda rows: len(waiting(rows, Waits.APPROVAL)) == 3, forwarder)
            await until(lambda rows: len(waiting(rows, Waits.CONFIRMATION)) == 2, forwarder)
            await command(made, "pause", "block_ip", "--why", f"blocks {HOSTILE}")
            await command(made, "pause", "A sign-out", "--why", "too many alerts", "--for", "2h")
    async with running(made, LaterClock()) as forwarder:
        yield forwarder


def waiting(rows: list[Action], what: Waits) -> list[Action]:
    return [one for one in rows if one.waits_for is what]


@asynccontextmanager
async def deciding(folder: Path) -> AsyncIterator[tuple[Forwarder, Emulator, Action]]:
    """A forwarder with one suspension that waits for a human."""
    require(real.missing())
    async with okta_org() as org:
        made = wanted(folder, org, [{"suspend": {"for": "4h"}}], confirm=[])
        async with running(made) as forwarder:
            await sign_in(forwarder, ordinary_users(org)[0], "first")
            rows = await until(lambda rows: waiting(rows, Waits.APPROVAL), forwarder)
            yield forwarder, org, rows[0]


async def visited(browser: Browser, url: str, errors: list[str], **options: Any) -> Page:
    """Open the page that decides; note what it should not say."""
    page = await (await browser.new_context(**options)).new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    await page.goto(url)
    await page.get_by_role("heading", name="Approve an action").wait_for()
    return page


def address(forwarder: Forwarder, action: str) -> str:
    return f"http://{forwarder.ops.address}/approve/{action}"


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing_where_reactions_have_some_of_everything(
    tmp_path: Path, browser: Browser, look: str
) -> None:
    async with scene(tmp_path) as forwarder:
        errors: list[str] = []
        page = await opened(browser, forwarder, errors, bypass_csp=True, **LOOKS[look])
        section = page.get_by_role("region", name="Reactions", exact=True)
        await section.get_by_text("overdue").wait_for()
        for text in (
            "Mode: enforce",
            "3 actions wait for approval.",
            "2 actions wait until the System Log shows the event.",
            "1 effect is live. 1 should have ended and is still there.",
            "Limits that held actions back in the last 24 hours",
            "The action block_ip is paused:",
            "Reactions to the rule A sign-out are paused:",
        ):
            await expect(section.get_by_text(text)).to_be_visible()
        assert await real.violations(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("status").get_by_text("Reactions need a human.").wait_for()
        assert errors == []


async def test_what_attackers_write_stays_harmless_text_among_reactions(tmp_path: Path, browser: Browser) -> None:
    async with scene(tmp_path) as forwarder:
        errors: list[str] = []
        page = await opened(browser, forwarder, errors)
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        section = page.get_by_role("region", name="Reactions", exact=True)
        await section.get_by_text("overdue").wait_for()
        shown = await section.inner_text()
        assert shown.count(HARMLESS) >= 4  # among approvals, what waits, what is live, pauses
        assert HOSTILE[-2:] not in await page.content()
        assert await page.locator("img").count() == 0
        assert errors == []


async def test_the_keyboard_alone_leads_from_the_list_to_a_decision(tmp_path: Path, browser: Browser) -> None:
    async with deciding(tmp_path) as (forwarder, org, action):
        errors: list[str] = []
        page = await opened(browser, forwarder, errors)
        await page.get_by_role("link", name="Decide").wait_for()
        await tab_to(page, f"Decide about suspend of {HARMLESS}")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="suspend of").wait_for()
        await tab_to_field(page)
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await page.get_by_text("The token is wrong.").wait_for()
        await expect(page.get_by_label("Token", exact=True)).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="suspend of")).to_be_focused()
        assert org.calls == []
        await tab_to(page, "Approve")
        await page.keyboard.press("Enter")
        await expect(page.locator("#result")).to_be_focused()
        assert "Approved by ops.token." in await page.locator("#result").inner_text()
        await until(lambda rows: [one for one in rows if one.state is ActionState.LIVE], forwarder)
        assert org.users.find(action.target.id).status == "SUSPENDED"
        assert await page.get_by_role("button", name="Approve").count() == 0
        assert await page.evaluate("document.cookie") == ""
        assert errors == []


async def tab_to_field(page: Page) -> None:
    """Press Tab until the field for the token has the focus."""
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.name === 'token'"):
            return
    raise AssertionError("Tab does not reach the field for the token")


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing_on_the_page_that_decides(tmp_path: Path, browser: Browser, look: str) -> None:
    async with deciding(tmp_path) as (forwarder, org, action):
        errors: list[str] = []
        url = address(forwarder, action.id)
        page = await visited(browser, url, errors, bypass_csp=True, **LOOKS[look])
        await page.get_by_text("It is undone after 4 h.").wait_for()
        await expect(page.get_by_text("It needs approval")).to_be_visible()
        assert await real.violations(page) == []
        await page.get_by_label("Token", exact=True).fill(TOKEN)
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_role("button", name="Refuse").wait_for()
        assert await real.violations(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("button", name="Refuse").click()
        await page.get_by_text("Refused by ops.token.").wait_for()
        assert await real.violations(page) == []
        await until(lambda rows: rows[0].state is ActionState.ENDED, forwarder)
        assert org.calls == []
        assert errors == []


async def test_from_elsewhere_the_page_shows_nothing_before_it_has_the_token(tmp_path: Path, browser: Browser) -> None:
    async with deciding(tmp_path) as (forwarder, _, action):
        errors: list[str] = []
        url = address(forwarder, action.id)
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        page = await visited(browser, url, errors, extra_http_headers=elsewhere)
        await page.get_by_text("To see the action, type the token of ops.token.").wait_for()
        assert action.target.id not in await page.content()
        await page.get_by_label("Token", exact=True).fill(TOKEN)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Approve").wait_for()
        shown = await page.locator("main").inner_text()
        assert (action.target.id in shown, HARMLESS in shown) == (True, True)
        assert await page.locator("img").count() == 0
        assert errors == []


async def test_an_action_that_another_person_decided_is_not_decided_again(tmp_path: Path, browser: Browser) -> None:
    async with deciding(tmp_path) as (forwarder, org, action):
        page = await visited(browser, address(forwarder, action.id), [])
        await page.get_by_label("Token", exact=True).fill(TOKEN)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Approve").wait_for()
        await forwarder._reactions.decide(action.id, "ada", given=False)
        await page.get_by_role("button", name="Approve").click()
        await page.get_by_role("alert").get_by_text("no action with this id is open").wait_for()
        assert await page.get_by_role("button", name="Approve").count() == 0
        assert org.calls == []


@pytest.mark.parametrize("id_", ["%3Cimg%20src=x%20onerror=alert(1)%3E", "%25zz", "%e2%80%ae%00", "nope", "%zz"])
async def test_a_link_with_an_id_that_is_none_says_so(tmp_path: Path, browser: Browser, id_: str) -> None:
    async with deciding(tmp_path) as (forwarder, _, _):
        errors: list[str] = []
        page = await visited(browser, address(forwarder, id_), errors)
        await page.get_by_role("alert").get_by_text("no action with this id is open").wait_for()
        assert await page.locator("img").count() == 0
        assert [error for error in errors if "404" not in error] == []


async def test_the_pages_escape_what_a_terminal_would_not_get_either(tmp_path: Path, browser: Browser) -> None:
    async with deciding(tmp_path) as (forwarder, _, action):
        page = await visited(browser, address(forwarder, action.id), [])
        found = await page.evaluate(
            """async () => {
                const { printable } = await import("/page/html.js");
                const all = Array.from({ length: 0x110000 }, (_, code) => code);
                const shown = all.map((code) => [code, printable(String.fromCodePoint(code))]);
                return shown.filter(([code, text]) => text !== String.fromCodePoint(code));
            }"""
        )
        changed = [[code, printable(chr(code))] for code in range(0x110000) if printable(chr(code)) != chr(code)]
        assert found == changed
