"""The public keys that the running forwarder serves, through a rotation of the keys."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.core.errors import ForwarderError
from forwarder.react.settings.signing_keys import signing_key
from forwarder.settings import Settings, read
from tests.fakes.keys import pem, rsa_key
from tests.fakes.receivers import fetched
from tests.integration.test_reload import Process, until


def settings(here: Path, **changes: Any) -> Settings:
    return read(
        {
            "orgs": {"acme": {"secrets": ["hook-secret"]}},
            "receiver": {"listen": "127.0.0.1:0"},
            "ops": {"listen": "127.0.0.1:0"},
            "store": {"path": str(here / "store.db")},
            "sinks": {"archive": {"kind": "file", "path": str(here / "archive.ndjson")}},
            "reactions": {"set": {"issuer": "https://fw.example", "jwks": "serve"} | changes},
        }
    )


async def published(forwarder: Forwarder) -> list[str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{forwarder.server.address}/.well-known/jwks.json")
    if answer.status_code == 404:
        return []
    assert "PRIVATE" not in answer.text
    return [key["kid"] for key in json.loads(answer.content)["keys"]]


@pytest.mark.long
async def test_a_key_file_that_changes_is_published_without_a_signal(tmp_path: Path) -> None:
    old, new = pem(rsa_key()), pem(rsa_key("other"))
    (tmp_path / "secret").write_text("hook-secret")
    (tmp_path / "set.pem").write_text(old)
    signing = {"issuer": "https://fw.example", "key": {"file": str(tmp_path / "set.pem")}, "jwks": "serve"}
    async with Process(tmp_path, reactions={"set": signing}) as there:
        url = f"http://{await there.started()}/.well-known/jwks.json"

        async def serves(key: str) -> None:
            async with asyncio.timeout(20):
                while json.loads(await fetched(url))["keys"][0]["kid"] != signing_key(key).kid:
                    await asyncio.sleep(0.05)

        await serves(old)
        (tmp_path / "set.pem").write_text(new)
        await serves(new)
        (tmp_path / "set.pem").write_text(pem(rsa_key("weak", 1024)))
        await until(lambda: there.actions("reload_failed"))
        (line,) = there.actions("reload_failed")
        assert "reactions.set.key: the key has 1024 bits" in str(line)
        await serves(new)


@pytest.mark.long
async def test_a_reload_publishes_the_new_key_beside_the_old_one_and_then_alone(tmp_path: Path) -> None:
    old, new = pem(rsa_key()), pem(rsa_key("other"))
    old_id, new_id = signing_key(old).kid, signing_key(new).kid
    file = tmp_path / "set.pem"
    file.write_text(old)
    forwarder = Forwarder(settings(tmp_path, key={"file": str(file)}), SystemClock())
    await forwarder.start()
    try:
        assert await published(forwarder) == [old_id]
        assert file in forwarder.settings.files()  # so that its change is noticed without a signal
        await forwarder.reload(settings(tmp_path, key=old, previous_key=new))
        assert await published(forwarder) == [old_id, new_id]
        await forwarder.reload(settings(tmp_path, key=new, previous_key=old))
        assert await published(forwarder) == [new_id, old_id]
        with pytest.raises(ForwarderError, match=r"reactions\.set\.key: the key has 1024 bits"):
            await forwarder.reload(settings(tmp_path, key=pem(rsa_key("weak", 1024))))
        assert await published(forwarder) == [new_id, old_id]
        await forwarder.reload(settings(tmp_path, key=new))
        assert await published(forwarder) == [new_id]
        await forwarder.reload(settings(tmp_path, key=new, jwks="https://cdn.example/keys.json"))
        assert await published(forwarder) == []
    finally:
        await forwarder.stop(grace=0)
