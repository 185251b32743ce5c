"""Event hooks as recordings of Okta's own API show them, from Okta's tests of its Terraform provider and its
Python client: the same requests, in our own form, must get the same responses."""

from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import HookReceiver
from tests.integration.emulator.helpers import HOOKS, Service, running

SENT = ["user.lifecycle.create", "user.lifecycle.delete.initiated", "user.account.update_profile"]


def body(uri: str, *, items: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    """A hook as the Terraform provider writes it."""
    auth = {"key": "Authorization", "type": "HEADER", "value": "123"}
    return {
        "name": "recorded",
        "status": "ACTIVE",
        "events": {"type": "EVENT_TYPE", "items": items or SENT},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": uri, "authScheme": auth}},
    } | changes


async def ask(service: Service, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = await service.client.request(method, HOOKS + path, json=body)
    assert answer.status_code == 200, answer.text
    tree: dict[str, Any] = answer.json()
    return tree


async def test_a_hook_is_made_active_unverified_and_without_a_call_to_its_address() -> None:
    async with running(ManualClock()) as service:
        made = await ask(service, "POST", "", body("https://example.com/test"))
        (hook_id, creator) = (made["id"], made["createdBy"])
        assert (hook_id[:3], creator[:3], len(hook_id), len(creator)) == ("who", "00u", 20, 20)
        url = f"{service.org.settings.url}{HOOKS}/{hook_id}"
        assert made == {
            "id": hook_id,
            "status": "ACTIVE",
            "verificationStatus": "UNVERIFIED",
            "name": "recorded",
            "description": None,
            "created": "2026-01-01T12:00:00.000Z",
            "createdBy": creator,
            "lastUpdated": "2026-01-01T12:00:00.000Z",
            "events": {"type": "EVENT_TYPE", "items": made["events"]["items"], "filter": None},
            "channel": {
                "type": "HTTP",
                "version": "1.0.0",
                "config": {
                    "uri": "https://example.com/test",
                    "headers": [],
                    "method": "POST",
                    "authScheme": {"type": "HEADER", "key": "Authorization"},
                },
            },
            "_links": {
                "self": {"href": url},
                "verify": {"href": f"{url}/lifecycle/verify", "hints": {"allow": ["POST"]}},
                "deactivate": {"href": f"{url}/lifecycle/deactivate", "hints": {"allow": ["POST"]}},
            },
        }


async def test_types_come_back_as_a_set() -> None:
    async with running() as service:
        made = await ask(service, "POST", "", body("https://example.com/test"))
        assert set(made["events"]["items"]) == set(SENT)
        assert made["events"]["items"] != SENT


@pytest.mark.parametrize("status", ["INACTIVE", "ACTIVE"])
async def test_a_put_takes_the_status_that_is_documented_as_read_only(status: str) -> None:
    async with running() as service:
        made = await ask(service, "POST", "", body("https://example.com/test"))
        if status == "ACTIVE":
            await ask(service, "POST", f"/{made['id']}/lifecycle/deactivate")
        put = await ask(service, "PUT", f"/{made['id']}", body("https://example.com/test", status=status))
        assert put["status"] == status
        verbs = {"ACTIVE": {"self", "verify", "deactivate"}, "INACTIVE": {"activate", "self", "delete"}}
        assert put["_links"].keys() == verbs[status]


async def test_a_put_with_another_channel_drops_the_verification_and_shows_the_old_last_updated() -> None:
    clock = ManualClock()
    async with running(clock) as service, HookReceiver() as receiver:
        made = await ask(service, "POST", "", body(receiver.url))
        await clock.advance(3)
        verified = await ask(service, "POST", f"/{made['id']}/lifecycle/verify")
        assert verified["verificationStatus"] == "VERIFIED"
        await clock.advance(7.4)
        put = await ask(service, "PUT", f"/{made['id']}", body(receiver.url + "/other"))
        assert (put["status"], put["verificationStatus"]) == ("ACTIVE", "UNVERIFIED")
        assert put["lastUpdated"] == verified["lastUpdated"] == "2026-01-01T12:00:03.000Z"
        shown = await ask(service, "GET", f"/{made['id']}")
        assert shown["lastUpdated"] == "2026-01-01T12:00:10.000Z"
        assert {**put, "lastUpdated": ""} == {**shown, "lastUpdated": ""}


async def test_a_stop_keeps_what_is_known_of_the_verification() -> None:
    async with running() as service, HookReceiver() as receiver:
        for verify in (False, True):
            made = await ask(service, "POST", "", body(receiver.url, name=f"hook {verify}"))
            if verify:
                await ask(service, "POST", f"/{made['id']}/lifecycle/verify")
            stopped = await ask(service, "POST", f"/{made['id']}/lifecycle/deactivate")
            assert stopped["status"] == "INACTIVE"
            assert stopped["verificationStatus"] == ("VERIFIED" if verify else "UNVERIFIED")


async def test_custom_headers_are_shown_in_clear_and_the_secret_never() -> None:
    async with running() as service:
        spec = body("https://example.com/test")
        spec["channel"]["config"]["headers"] = [{"key": "x-test-header", "value": "test header value"}]
        made = await ask(service, "POST", "", spec)
        shown = await ask(service, "GET", f"/{made['id']}")
        assert shown["channel"]["config"]["headers"] == spec["channel"]["config"]["headers"]
        assert "value" not in shown["channel"]["config"]["authScheme"]


async def test_one_token_sees_a_limit_of_1000() -> None:
    async with running() as service:
        headers = (await service.client.get(HOOKS)).headers
        assert (headers["x-rate-limit-limit"], headers["x-rate-limit-remaining"]) == ("1000", "999")
        assert headers["cache-control"] == "no-cache, no-store"
