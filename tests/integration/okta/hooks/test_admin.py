"""`HookAdmin` against the emulated org, whose hooks change their status as in Okta."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from forwarder.config.types import Secret
from forwarder.core.errors import HookUnverifiedError, OktaError, OktaRefusedError, OktaUnreachableError
from forwarder.emulator.emulator import Emulator
from forwarder.okta.hooks.admin import HookAdmin, check_quota, find_own
from forwarder.okta.hooks.hook import MAX_LIVE, DesiredHook, Hook, plan
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_api import PlainApi
from tests.fakes.okta_org import okta_org

TYPES = frozenset({"user.session.start", "user.session.end"})


@dataclass
class Scene:
    """An org, its API, and the receiver of our hook."""

    org: Emulator
    api: PlainApi
    admin: HookAdmin
    receiver: HookReceiver

    def wanted(self, **changes: Any) -> DesiredHook:
        plain: dict[str, Any] = {
            "name": "forwarder",
            "uri": self.receiver.url,
            "types": TYPES,
            "header": "Authorization",
            "secret": Secret("first-secret"),
        }
        return DesiredHook(**plain | changes)

    async def sync(self, wanted: DesiredHook, *, resend_secret: bool = False) -> list[str]:
        """Do what `forwarder hooks sync` does, and return the calls that changed something."""
        self.api.sent.clear()
        hook = find_own(await self.admin.all(), wanted.name, wanted.uri)
        made = plan(wanted, hook, resend_secret=resend_secret)
        if not made.is_empty:
            await self.admin.apply(made, wanted, hook)
        return self.api.changes

    async def hook(self) -> Hook:
        (hook,) = await self.admin.all()
        return hook

    @property
    def shown_secrets(self) -> list[str]:
        return [call.headers["authorization"] for call in self.receiver.calls]


@asynccontextmanager
async def scene(**org: Any) -> AsyncIterator[Scene]:
    async with HookReceiver() as receiver, okta_org(**org) as emulator, PlainApi(emulator.settings.url) as api:
        yield Scene(emulator, api, HookAdmin(api), receiver)


@pytest.fixture
async def there() -> AsyncIterator[Scene]:
    async with scene() as made:
        yield made


async def test_sync_creates_a_missing_hook_and_verifies_it(there: Scene) -> None:
    assert await there.sync(there.wanted()) == ["POST eventHooks", "POST verify"]
    hook = await there.hook()
    assert hook.live
    assert hook.types == TYPES
    assert there.shown_secrets == ["first-secret"]


async def test_a_sync_beside_another_one_says_that_the_hook_was_created_meanwhile(there: Scene) -> None:
    made = plan(there.wanted(), None)
    first = await there.admin.apply(made, there.wanted(), None)
    with pytest.raises(
        OktaRefusedError, match=rf"created meanwhile: forwarder \({first.id}\); .* run `forwarder hooks sync`"
    ):
        await there.admin.apply(made, there.wanted(), None)
    assert await there.hook() == first


async def test_a_second_sync_changes_nothing(there: Scene) -> None:
    wanted = there.wanted(filters={"user.session.start": "event.outcome.result eq 'FAILURE'"})
    await there.sync(wanted)
    assert await there.sync(wanted) == []


@pytest.mark.long
async def test_a_change_of_the_events_keeps_the_hook_verified_and_the_secret(there: Scene) -> None:
    await there.sync(there.wanted())
    assert await there.sync(there.wanted(types=TYPES | {"user.account.lock"})) == ["PUT " + (await there.hook()).id]
    assert (await there.hook()).live
    await there.org.emit(1, ["user.account.lock"])
    await there.org.drain()
    assert there.shown_secrets[-1] == "first-secret"


async def test_a_change_of_the_address_verifies_the_hook_again(there: Scene) -> None:
    await there.sync(there.wanted())
    async with HookReceiver() as other:
        assert (await there.sync(there.wanted(uri=other.url)))[1:] == ["POST verify"]
        assert (await there.hook()).live
        assert len(other.calls) == 1


async def test_a_resent_secret_is_verified(there: Scene) -> None:
    await there.sync(there.wanted())
    rotated = there.wanted(secret=Secret("second-secret"))
    assert await there.sync(rotated) == []
    assert (await there.sync(rotated, resend_secret=True))[1:] == ["POST verify"]
    assert there.shown_secrets == ["first-secret", "second-secret"]
    assert (await there.hook()).live


async def test_a_replacement_with_a_new_secret_is_verified_again(there: Scene) -> None:
    await there.sync(there.wanted())
    other = there.wanted(secret=Secret("second-secret"), types=TYPES | {"user.account.lock"})
    assert (await there.sync(other))[1:] == ["POST verify"]
    assert (await there.hook()).live


async def test_a_deactivated_hook_is_activated_before_it_is_verified(there: Scene) -> None:
    await there.sync(there.wanted())
    await there.admin.deactivate(await there.hook())
    async with HookReceiver() as other:
        changes = await there.sync(there.wanted(uri=other.url))
    assert changes[1:] == ["POST activate", "POST verify"]
    assert (await there.hook()).live


async def test_a_replacement_keeps_the_properties_that_an_admin_set(there: Scene) -> None:
    spec = {
        "name": "forwarder",
        "description": "made by hand",
        "events": {
            "type": "EVENT_TYPE",
            "items": sorted(TYPES),
            "filter": {
                "type": "EXPRESSION_LANGUAGE",
                "eventFilterMap": [{"event": "user.session.start", "condition": {"expression": "x"}}],
            },
        },
        "channel": {
            "type": "HTTP",
            "version": "1.0.0",
            "config": {
                "uri": there.receiver.url,
                "headers": [{"key": "X-Team", "value": "blue"}],
                "authScheme": {"type": "HEADER", "key": "authorization", "value": "first-secret"},
            },
        },
    }
    there.org.create_hook(msgspec.json.encode(spec))
    await there.sync(there.wanted(types=TYPES | {"user.account.lock"}))
    hook = await there.hook()
    assert hook.raw["description"] == "made by hand"
    assert hook.filters == {"user.session.start": "x"}
    assert hook.custom_headers == [{"key": "X-Team", "value": "blue"}]


async def test_a_failed_verification_is_an_error_with_hints_and_the_next_sync_retries(there: Scene) -> None:
    there.receiver.answers.extend([401, 401])
    with pytest.raises(HookUnverifiedError) as error:
        await there.sync(there.wanted())
    told = str(error.value)
    assert "Hook forwarder execution failed" in told
    assert there.receiver.url in told
    assert "--resend-secret" in told
    assert "first-secret" not in told
    assert await there.sync(there.wanted()) == ["POST verify"]
    assert (await there.hook()).live


async def test_other_refusals_of_a_verification_do_not_count_as_a_failed_challenge(there: Scene) -> None:
    await there.sync(there.wanted())
    hook = await there.hook()
    await there.admin.delete(hook)
    with pytest.raises(OktaRefusedError) as error:
        await there.admin.verify(hook)
    assert error.value.status == 404
    assert not isinstance(error.value, HookUnverifiedError)


async def test_an_active_hook_is_deactivated_and_then_deleted(there: Scene) -> None:
    await there.sync(there.wanted())
    await there.admin.delete(await there.hook())
    assert await there.admin.all() == []


async def test_a_second_hook_with_our_address_is_not_created(there: Scene) -> None:
    await there.sync(there.wanted(name="made by hand"))
    with pytest.raises(OktaError, match=r"made by hand \(who\w+\)"):
        await there.sync(there.wanted())
    assert len(await there.admin.all()) == 1


def named(name: str, hook_id: str) -> Hook:
    return Hook(hook_id, name, "ACTIVE", "VERIFIED", f"https://{hook_id}.example.com/", None, TYPES, {})


def test_the_operator_must_choose_between_two_hooks_of_our_name() -> None:
    with pytest.raises(OktaError, match="--id"):
        find_own([named("forwarder", "who1"), named("forwarder", "who2")], "forwarder", "https://x.example.com/")


def test_an_org_with_the_maximum_of_live_hooks_gets_no_other_hook() -> None:
    hooks = [named(f"hook{n}", f"who{n}") for n in range(MAX_LIVE)]
    with pytest.raises(OktaError, match="25 event hooks are active"):
        check_quota(hooks, None)
    check_quota(hooks, hooks[3])
    check_quota(hooks[1:], None)
    sleeping = msgspec.structs.replace(hooks[0], verification="UNVERIFIED")
    check_quota([sleeping, *hooks[1:]], None)


async def test_an_org_that_does_not_answer_is_an_error() -> None:
    async with PlainApi("http://127.0.0.1:9") as api:
        with pytest.raises(OktaUnreachableError):
            await HookAdmin(api).all()
