"""`forwarder stats` of an org that was renamed."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.event import Source
from forwarder.core.ports import Batch
from forwarder.okta.system_log.cursor import cursor_name
from forwarder.okta.system_log.pages import RETENTION
from tests.integration.store.helpers import logged, opened

URL = "https://acme.okta.com"


def stats(folder: Path, read_as: str, *, url: str = URL, ago: int = 0) -> str:
    """What `stats` prints about the org `emea` at `URL`, whose System Log was read under the name `read_as` before."""
    tree = {
        "orgs": {"emea": {"url": URL, "secrets": [{"env": "NOT_SET_HERE"}]}},
        "store": {"path": str(folder / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(folder / "events.ndjson")}},
    }
    (folder / "forwarder.yaml").write_text(json.dumps(tree))
    read = SystemClock().now() - ago
    cursor = json.dumps({"next": f"{url}/api/v1/logs?after=9", "polled": read, "newest": read, "hook": ""})

    async def fill() -> None:
        async with opened(folder / "store.db", sinks=("archive",)) as store:
            batch = Batch([logged(org=read_as)], (), Source.LOG, (cursor_name(read_as), cursor))
            await store.append(batch, timeout=5)

    asyncio.run(fill())
    done = CliRunner().invoke(main, ["stats", "--config", str(folder / "forwarder.yaml")], catch_exceptions=False)
    assert done.exit_code == 0
    return " ".join(done.output.split())


def test_an_org_that_was_renamed_is_named_with_what_to_do(tmp_path: Path) -> None:
    said = stats(tmp_path, "acme")
    assert f"the System Log of {URL} was read under the name acme before emea" in said
    assert "forwarder gaps --org acme" in said


@pytest.mark.parametrize(
    ("read_as", "url", "ago"),
    [("emea", URL, 0), ("acme", "https://acme.okta.community", 0), ("acme", "https://other.okta.com", 0), ("acme", URL, 2 * RETENTION)],
)  # fmt: skip
def test_nothing_is_said_about_an_org_that_was_not_renamed(tmp_path: Path, read_as: str, url: str, ago: int) -> None:
    assert "under the name" not in stats(tmp_path, read_as, url=url, ago=ago)
