import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import structlog.testing

from forwarder.core.errors import OktaRefusedError, OktaUnreachableError
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.hooks.hooks import EmulatedHook
from forwarder.metrics import Metrics
from forwarder.okta.hooks.watch import Condition, HookWatch
from forwarder.okta.settings import HookSettings
from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_api import PlainApi
from tests.fakes.okta_org import okta_org

TYPES = ["user.session.start"]


@dataclass
class Scene:
    """An org with our live hook, and the watch of the hook."""

    org: Emulator
    api: PlainApi
    receiver: HookReceiver
    hook: EmulatedHook
    clock: ManualClock
    metrics: Metrics

    def watch(self, **changes: Any) -> HookWatch:
        settings = HookSettings(**{"uri": self.receiver.url} | changes)
        return HookWatch("acme", self.api, settings, self.metrics, self.clock)

    @property
    def gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("forwarder_hook_verified", {"org": "acme"})


@pytest.fixture
async def there() -> AsyncIterator[Scene]:
    async with HookReceiver() as receiver, okta_org() as org, PlainApi(org.settings.url) as api:
        hook = org.add_hook(receiver.url, "the-secret", types=TYPES)
        await org.verify(hook.id)
        receiver.calls.clear()
        yield Scene(org, api, receiver, hook, ManualClock(), Metrics())


@pytest.fixture
def told() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_live_hook_is_logged_and_its_id_is_known(there: Scene) -> None:
    watch = there.watch()
    assert (watch.state.condition, watch.hook_id(), there.gauge) == (Condition.UNKNOWN, None, None)
    await watch.check()
    assert (watch.state.condition, watch.hook_id(), there.gauge) == (Condition.LIVE, there.hook.id, 1)


async def test_each_changed_condition_is_logged_once_with_a_hint(there: Scene, told: list[dict[str, Any]]) -> None:
    watch = there.watch()
    await watch.check()
    there.hook.verified = False
    await watch.check()
    await watch.check()
    assert (watch.state.condition, there.gauge) == (Condition.UNVERIFIED, 0)
    there.hook.active = False
    await watch.check()
    assert (watch.state.condition, there.gauge) == (Condition.INACTIVE, 0)
    there.org.delete_hook(there.hook.id)
    await watch.check()
    assert (watch.state.condition, watch.hook_id(), there.gauge) == (Condition.MISSING, None, 0)
    assert [(line["log_level"], line["action"]) for line in told] == [
        ("info", "hook_live"),
        ("warning", "hook_unverified"),
        ("warning", "hook_inactive"),
        ("warning", "hook_missing"),
    ]
    assert "forwarder hooks verify --org" in told[1]["hint"]
    assert "forwarder hooks sync --org" in told[2]["hint"]


async def test_since_is_the_time_of_the_last_change(there: Scene) -> None:
    watch = there.watch()
    await watch.check()
    first = watch.state.since
    await there.clock.advance(60)
    await watch.check()
    assert watch.state.since == first
    there.hook.verified = False
    await watch.check()
    assert watch.state.since == first + 60_000_000


async def rename(there: Scene) -> None:
    body = {
        "name": "renamed",
        "events": {"type": "EVENT_TYPE", "items": TYPES},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": "https://elsewhere.example.com/"}},
    }
    await there.api.call("PUT", f"/api/v1/eventHooks/{there.hook.id}", body=body)


async def test_a_renamed_hook_is_still_ours(there: Scene) -> None:
    watch = there.watch()
    await watch.check()
    await rename(there)
    await watch.check()
    assert (watch.hook_id(), watch.state.condition) == (there.hook.id, Condition.REDIRECTED)


async def test_a_hook_that_was_given_another_address_is_not_live(there: Scene, told: list[dict[str, Any]]) -> None:
    watch = there.watch()
    await watch.check()
    watch = there.watch(uri="https://elsewhere.example.com/okta/events", auto_verify=True)
    for verified in (True, False):
        there.hook.verified = verified
        await watch.check()
        assert (watch.hook_id(), watch.state.condition, there.gauge) == (there.hook.id, Condition.REDIRECTED, 0)
    assert there.api.changes == []
    (line,) = [line for line in told if line["action"] == "hook_redirected"]
    assert "forwarder hooks sync --org acme" in line["hint"]


async def test_another_spelling_of_the_address_is_the_same_address(there: Scene) -> None:
    watch = there.watch(uri=there.receiver.url.replace("http://", "HTTP://"))
    await watch.check()
    assert watch.state.condition is Condition.LIVE


async def test_a_new_hook_with_our_name_replaces_one_that_was_renamed(there: Scene) -> None:
    watch = there.watch()
    await watch.check()
    await rename(there)
    again = there.org.add_hook(there.receiver.url, "the-secret", types=TYPES)
    await there.org.verify(again.id)
    await watch.check()
    assert (watch.hook_id(), watch.state.condition) == (again.id, Condition.LIVE)


async def test_a_hook_with_our_address_and_another_name_is_ours(there: Scene) -> None:
    watch = there.watch(name="another")
    await watch.check()
    assert watch.hook_id() == there.hook.id


async def test_hooks_of_others_are_not_ours(there: Scene) -> None:
    watch = there.watch(name="another", uri="https://elsewhere.example.com/")
    await watch.check()
    assert (watch.hook_id(), watch.state.condition) == (None, Condition.MISSING)


async def test_a_hook_that_was_created_again_is_found(there: Scene) -> None:
    watch = there.watch()
    await watch.check()
    there.org.hooks.deactivate(there.hook.id)
    there.org.delete_hook(there.hook.id)
    again = there.org.add_hook(there.receiver.url, "the-secret", types=TYPES)
    await watch.check()
    assert (watch.hook_id(), watch.state.condition) == (again.id, Condition.UNVERIFIED)


async def test_the_last_known_condition_stays_while_okta_does_not_answer(
    there: Scene, told: list[dict[str, Any]]
) -> None:
    watch = there.watch()
    await watch.check()
    there.api.fault = OktaUnreachableError("no answer from the org")
    await watch.check()
    await watch.check()
    assert (watch.state.condition, there.gauge) == (Condition.LIVE, 1)
    assert watch.state.error == "no answer from the org"
    there.api.fault = OktaRefusedError(403, "E0000006", "the scope okta.eventHooks.read is missing")
    await watch.check()
    there.api.fault = None
    await watch.check()
    assert watch.state.error is None
    actions = [line["action"] for line in told]
    assert actions == ["hook_live", "hook_unknown", "hook_unknown", "hook_live"]


@pytest.mark.long
async def test_the_hook_is_checked_at_the_start_and_at_each_interval(there: Scene) -> None:
    running = asyncio.create_task(there.watch(check_interval="30s").run())
    await there.clock.asleep()
    assert there.clock.waits == [30]
    there.api.fault = OktaUnreachableError("no answer")
    asked = len(there.api.sent)
    await there.clock.advance(30)
    await there.clock.asleep()
    there.api.fault = None
    await there.clock.advance(30)
    await there.clock.asleep()
    assert len(there.api.sent) == asked + 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_hook_is_not_verified_again_without_auto_verify(there: Scene) -> None:
    there.hook.verified = False
    await there.watch().check()
    assert there.receiver.calls == []


async def test_auto_verify_verifies_an_unverified_hook_again(there: Scene) -> None:
    there.hook.verified = False
    watch = there.watch(auto_verify=True)
    await watch.check()
    assert (watch.state.condition, there.gauge) == (Condition.LIVE, 1)


async def test_auto_verify_leaves_a_deactivated_hook_inactive(there: Scene) -> None:
    there.hook.active = there.hook.verified = False
    watch = there.watch(auto_verify=True)
    await watch.check()
    assert watch.state.condition is Condition.INACTIVE
    assert there.api.changes == []


@pytest.mark.long
async def test_the_wait_of_auto_verify_grows_with_each_failure(there: Scene, told: list[dict[str, Any]]) -> None:
    there.hook.verified = False
    there.receiver.otherwise = 401
    watch = there.watch(auto_verify=True)
    tries = []
    for _ in range(8):
        await watch.check()
        tries.append(len(there.api.changes))
        await there.clock.advance(60)
    assert tries == [1, 2, 2, 3, 3, 3, 3, 4]
    assert [line["action"] for line in told].count("hook_unverified") == 1
    there.receiver.otherwise = 200
    for _ in range(8):
        await watch.check()
        await there.clock.advance(60)
    assert watch.state.condition is Condition.LIVE


class OddApi(PlainApi):
    """Answers with hooks that have odd ids."""

    async def call(self, method: str, path: str, **more: Any) -> Any:
        answer = await super().call(method, path, **more)
        hooks = answer.json()
        for hook in hooks if isinstance(hooks, list) else [hooks]:
            hook["id"] = 5
        return msgspec.structs.replace(answer, content=msgspec.json.encode(hooks))


async def test_an_odd_id_is_only_an_error_of_the_check(there: Scene) -> None:
    async with OddApi(there.org.settings.url) as there.api:
        watch = there.watch()
        await watch.check()
    assert watch.state.condition is Condition.UNKNOWN
    assert watch.state.error is not None
    assert "`$.id`" in watch.state.error
