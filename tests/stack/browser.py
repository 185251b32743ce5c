"""A real browser: Debian's Chromium, driven by Playwright, and axe-core, which finds faults of accessibility."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

from tests.stack.process import CACHE

_AXE = CACHE / "axe" / "node_modules" / "axe-core" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """rules => axe.run(document, {runOnly: rules}).then(({violations}) => violations.map(
    ({impact, id, nodes}) => `${impact} ${id}: ${nodes.map(({html}) => html.slice(0, 200)).join(' | ')}`))"""
_QUIET = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def missing() -> str | None:
    """Say what keeps the browser from starting and how to get it, or None."""
    if _chromium() is None:
        return "needs Chromium: apt-get install chromium"
    if not (CACHE / "axe" / ".complete").exists():
        return "needs axe-core: run `make stack`, which needs Node.js 18 or newer with npm"
    return None


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium without a window."""
    arguments = [*_QUIET, "--no-sandbox"] if os.geteuid() == 0 else _QUIET
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_chromium(), args=arguments)
        try:
            yield chromium
        finally:
            await chromium.close()


async def violations(page: Page) -> list[str]:
    """Return the faults of accessibility that axe-core finds. The page's context must bypass its content policy."""
    await page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: list[str] = await page.evaluate(_RUN, _RULES)
    return found
