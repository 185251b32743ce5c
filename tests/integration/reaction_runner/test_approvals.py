"""The approval page: a GET changes nothing, and a token decides about one action, once."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from forwarder.app import Forwarder
from forwarder.core.action import Action, ActionState, Outcome, Waits
from forwarder.emulator.emulator import Emulator
from forwarder.settings import Settings
from tests.fakes.okta_org import okta_org
from tests.integration.reaction_runner.scene import running, settings, until

TOKEN = "the-token-of-the-approval-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.timeout(120)


def wanted(folder: Path, org: Emulator, **ops: Any) -> Settings:
    folder.mkdir(exist_ok=True)
    made = settings(folder, org, [{"suspend": {"for": "1h"}}])
    return made.model_copy(update={"ops": type(made.ops)(listen="127.0.0.1:0", token=TOKEN, **ops)})


def client(forwarder: Forwarder, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{forwarder.ops.address}", trust_env=False, headers=headers)


async def waiting(forwarder: Forwarder, org: Emulator) -> Action:
    known = {one.key for one in await forwarder.store.load_actions(0)}
    await org.emit(1, ["user.session.start"])
    found = await until(
        lambda rows: [one for one in rows if one.waits_for is Waits.APPROVAL and one.key not in known], forwarder
    )
    return next(one for one in found if one.waits_for is Waits.APPROVAL and one.key not in known)


@pytest.mark.long
async def test_a_preview_of_the_link_changes_nothing_and_shows_no_data(tmp_path: Path) -> None:
    async with okta_org() as org, running(wanted(tmp_path, org)) as forwarder, client(forwarder) as bot:
        action = await waiting(forwarder, org)
        for method in ("GET", "HEAD"):
            answer = await bot.request(method, f"/approve/{action.id}")
            assert answer.status_code == 200
            assert action.target.id not in answer.text
        assert (await bot.post(f"/approve/{action.id}", json={"token": "x", "given": True})).status_code == 401
        assert org.calls == []
        assert forwarder._reactions.memory.get(action.key) == action


@pytest.mark.long
async def test_a_token_decides_about_its_action_once(tmp_path: Path) -> None:
    async with okta_org() as org, running(wanted(tmp_path, org)) as forwarder, client(forwarder, **BEARER) as human:
        first = await waiting(forwarder, org)
        shown = (await human.get(f"/api/reactions/{first.id}")).json()
        assert shown["action"]["target"]["id"] == first.target.id
        second = await waiting(forwarder, org)
        foreign = await human.post(f"/approve/{second.id}", json={"token": shown["token"], "given": True})
        assert (foreign.status_code, "another action" in foreign.json()["error"]) == (409, True)
        decision = {"token": shown["token"], "given": True}
        done = await human.post(f"/approve/{first.id}", json=decision)
        assert (done.status_code, done.json()["action"]["approval"]["by"]) == (200, "ops.token")
        await until(lambda rows: [one for one in rows if one.state is ActionState.LIVE], forwarder)
        again = await human.post(f"/approve/{first.id}", json=decision)
        assert again.status_code == 409
        assert len(org.calls) == 1
        refusal = (await human.get(f"/api/reactions/{second.id}")).json()["token"]
        await human.post(f"/approve/{second.id}", json={"token": refusal, "given": False})
        found = await until(lambda rows: [one for one in rows if one.outcome is Outcome.REFUSED], forwarder)
        assert any("refused by ops.token" in one.detail for one in found)


@pytest.mark.long
async def test_only_a_configured_proxy_can_name_the_person_who_decides(tmp_path: Path) -> None:
    proxy = {"header": "X-Forwarded-User", "from": ["127.0.0.1"]}
    async with okta_org() as org, running(wanted(tmp_path, org, proxy=proxy)) as forwarder:
        action = await waiting(forwarder, org)
        async with client(forwarder, **{"X-Forwarded-User": "ada@corp.example"}) as human:
            token = (await human.get(f"/api/reactions/{action.id}")).json()["token"]
            cross = {"Origin": "https://evil.example"}
            decision = {"token": token, "given": True}
            assert (await human.post(f"/approve/{action.id}", json=decision, headers=cross)).status_code == 403
            done = await human.post(f"/approve/{action.id}", json=decision)
            assert done.json()["action"]["approval"]["by"] == "ada@corp.example"
    elsewhere = {"header": "X-Forwarded-User", "from": ["10.0.0.0/8"]}
    async with okta_org() as org, running(wanted(tmp_path / "b", org, proxy=elsewhere)) as forwarder:
        action = await waiting(forwarder, org)
        async with client(forwarder, **{"X-Forwarded-User": "eve"}) as human:
            answer = await human.post(f"/approve/{action.id}", json={"token": "x", "given": True})
            assert answer.status_code == 401
