"""`forwarder zones` as an operator uses it, against the emulated org."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.emulator.org import Emulator
from tests.fakes.okta_org import TOKEN, okta_org

ZONES = "/api/v1/zones"
EMBARGO = {"embargo": {"countries": ["IR", "North Korea"], "regions": ["UA-43"]}}


@dataclass
class Scene:
    """An org and a configuration for it."""

    org: Emulator
    client: httpx.AsyncClient
    folder: Path

    async def run(self, *words: str, zones: Any = EMBARGO, **org: Any) -> tuple[int, str]:
        """The exit code and the output of `forwarder zones`, in a thread, so that the org can answer."""
        acme = {"url": self.org.settings.url, "api": {"token": TOKEN}, "zones": zones} | org
        tree = {
            "orgs": {"acme": acme},
            "store": {"path": str(self.folder / "s.db")},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "x.ndjson")}},
        }
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(tree))
        arguments = ["zones", words[0], "-c", str(config), *words[1:]]
        done = await asyncio.to_thread(CliRunner().invoke, main, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    async def shown(self, name: str) -> dict[str, Any]:
        """A zone as Okta shows it."""
        zones = (await self.client.get(ZONES)).json()
        (zone,) = [zone for zone in zones if zone["name"] == name]
        return dict(zone)

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(call.method, call.path) for call in self.org.calls.all() if call.path.startswith(ZONES)]


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        okta_org() as org,
        httpx.AsyncClient(
            base_url=org.settings.url, headers={"Authorization": f"SSWS {TOKEN}"}, trust_env=False
        ) as client,
    ):
        yield Scene(org, client, tmp_path)


async def test_nothing_is_written_unless_the_forwarder_is_exempt(there: Scene) -> None:
    for words in (("sync",), ("sync", "--activate"), ("sync", "--dry-run"), ("show",)):
        code, output = await there.run(*words)
        assert code == 1
        assert "+ IR\n    + KP\n    + UA-43" in output
        assert "✗ Refused: " in output
        assert "DefaultExemptIpZone" in output
        assert "127.0.0.1" in output
    assert there.changes == []


async def test_what_is_wrong_with_the_declaration_is_said_before_anything_is_sent(there: Scene) -> None:
    code, output = await there.run("sync", zones={"embargo": {"countries": ["Iran", "Atlantis"]}})
    assert code == 2
    assert "orgs.acme.zones.embargo.countries: 'Atlantis' is not a country" in output
    code, output = await there.run("sync", "--adopt", "embarg")
    assert (code, "embarg is not declared; declared are: embargo, forwarder-blocklist" in output) == (2, True)
    assert there.org.calls.all() == ()


async def test_a_machine_reads_what_would_be_done(there: Scene) -> None:
    code, output = await there.run("sync", "--dry-run", "--json")
    found = json.loads(output)
    assert (code, found["org"], found["dry_run"], len(found["refused"])) == (1, "acme", True, 1)
    (zone,) = found["zones"]
    assert (zone["name"], zone["type"], zone["action"], zone["id"]) == ("embargo", "DYNAMIC", "create", None)
    assert zone["differences"][0] == {"what": "places", "has": [], "wants": ["IR", "KP", "UA-43"]}


async def test_an_org_that_refuses_is_said_with_what_is_missing(there: Scene) -> None:
    code, output = await there.run("show", api={"token": "00wrong"})
    assert code == 1
    assert "The API token is wrong, revoked, or expired" in output


async def test_without_declared_zones_there_is_nothing_to_refuse(there: Scene) -> None:
    code, output = await there.run("sync", zones={})
    assert (code, "acme declares no zones." in output) == (0, True)
