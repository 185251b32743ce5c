"""The files of the page: nothing inline, nothing from elsewhere, and the vendored library as it was published."""

import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import forwarder.ops
from forwarder.metrics import Metrics
from forwarder.ops.listener import OpsListener
from forwarder.ops.page_files import base_path
from tests.fakes.store_data import FakeData
from tests.unit.ops.test_listener import FakeStatus, NoEvents

PAGE = Path(forwarder.ops.__file__).parent / "page"
LIT_HTML = "b878e7f95dec8a9b6e9b217faca6b6a11bad82ebc44c0caa77419ed83edd81f2"
"""SHA-256 of lit-html.js in lit-html 3.3.3 of npm."""
OURS = sorted(path.name for path in PAGE.glob("*.*s") if path.name != "lit-html.js")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def client() -> httpx.AsyncClient:
    ops = OpsListener(Metrics(), FakeStatus(), NoEvents(), FakeData(), lambda: None)
    transport: Any = httpx.ASGITransport(ops.app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def test_the_vendored_library_is_the_published_file_with_its_licence() -> None:
    assert hashlib.sha256((PAGE / "lit-html.js").read_bytes()).hexdigest() == LIT_HTML
    assert "BSD 3-Clause" in (PAGE / "lit-html.LICENSE").read_text()


@pytest.mark.long
async def test_the_page_and_its_files_come_with_a_policy_that_allows_nothing_inline() -> None:
    async with client() as ops:
        page = await ops.get("/")
        assert page.headers["content-type"].startswith("text/html")
        linked = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)
        assert set(linked) == {"/page/page.css", "/page/page.js"}
        for name in [*OURS, "lit-html.js"]:
            file = await ops.get(f"/page/{name}")
            assert file.headers["content-type"].startswith(("text/css", "text/javascript"))
            for answer in (page, file):
                assert answer.headers["content-security-policy"] == POLICY
                assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    pages = ["approve.html", "index.html"]
    for name in pages:
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", (PAGE / name).read_text())
    for name in [*OURS, *pages]:
        text = (PAGE / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|\bimport\(|\sstyle=|innerHTML|unsafe|\beval\b", text), name


def test_every_file_draws_by_the_template_that_makes_texts_harmless() -> None:
    using = {name for name in OURS if name.endswith(".js") and "lit-html.js" in (PAGE / name).read_text()}
    assert using == {"html.js"}


@pytest.mark.long
async def test_other_files_are_not_served() -> None:
    async with client() as ops:
        for path in ("/page/nope.js", "/page/lit-html.LICENSE", "/page/index.html", "/page/..%2flistener.py"):
            assert (await ops.get(path)).status_code == 404


@pytest.mark.long
@pytest.mark.parametrize(
    ("prefix", "base"),
    [
        ("", "/"),
        ("/", "/"),
        ("/forwarder", "/forwarder/"),
        ("/a/b-c/", "/a/b-c/"),
        ("//evil.example", "/"),
        ('/"><script>', "/"),
        ("https://evil.example", "/"),
    ],
)
async def test_a_proxy_may_serve_the_page_below_a_path(prefix: str, base: str) -> None:
    assert base_path(prefix) == base
    async with client() as ops:
        page = await ops.get("/", headers={"X-Forwarded-Prefix": prefix})
    assert f'<meta name="base" content="{base}">' in page.text
    assert f'src="{base}page/page.js"' in page.text
