"""The event hooks of one org, over Okta's API."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from forwarder.core.errors import HookUnverifiedError, OktaError, OktaRefusedError
from forwarder.okta.api.port import Answer, Api
from forwarder.okta.hooks.hook import MAX_LIVE, Hook, Plan, Wanted, body_of, find

_PATH = "/api/v1/eventHooks"


class HookAdmin:
    """Reads and changes event hooks.

    Every method raises OktaRefusedError where Okta refuses, OktaUnreachableError where it does not answer, and
    OktaError where nothing can be made of its answer.

    Args:
        api: of the org.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def all(self) -> list[Hook]:
        """Every hook of the org, ours and others."""
        found = _decoded(await self._api.call("GET", _PATH))
        if not isinstance(found, list):
            raise OktaError("Okta answered with something that is no list of event hooks")
        return [Hook.read(raw) for raw in found]

    async def get(self, hook_id: str) -> Hook:
        """One hook."""
        return await self._call("GET", hook_id)

    async def create(self, wanted: Wanted) -> Hook:
        """Make a hook. It is ACTIVE and UNVERIFIED then: Okta sends it nothing yet."""
        return Hook.read(_decoded(await self._api.call("POST", _PATH, body=body_of(wanted))))

    async def replace(self, hook: Hook, wanted: Wanted) -> Hook:
        """Make `hook` as `wanted`, and keep what `wanted` says nothing about."""
        await self._call("PUT", hook.id, body=body_of(wanted, hook))
        # The answer to a PUT was seen to be stale; whether the hook is still VERIFIED must not be taken from it.
        return await self.get(hook.id)

    async def activate(self, hook: Hook) -> Hook:
        """Make it ACTIVE; whether it is verified does not change."""
        return await self._call("POST", hook.id, "/lifecycle/activate")

    async def deactivate(self, hook: Hook) -> Hook:
        """Make it INACTIVE: Okta sends it nothing more. Whether it is verified does not change."""
        return await self._call("POST", hook.id, "/lifecycle/deactivate")

    async def verify(self, hook: Hook) -> Hook:
        """Let Okta send the challenge to the hook's address.

        Raises:
            HookUnverifiedError: the right echo did not come.
        """
        try:
            return await self._call("POST", hook.id, "/lifecycle/verify")
        except OktaRefusedError as error:
            if error.status != 400:
                raise
            raise HookUnverifiedError(error.status, error.code, _why(hook, error)) from error

    async def delete(self, hook: Hook) -> None:
        """Delete it for good. Okta deletes only INACTIVE hooks, so it is deactivated before."""
        if hook.active:
            await self.deactivate(hook)
        await self._api.call("DELETE", _path(hook.id))

    async def carry_out(self, plan: Plan, wanted: Wanted, hook: Hook | None) -> Hook:
        """Do what `plan` says.

        Args:
            plan: made for `wanted` and `hook`.
            wanted: the hook to have.
            hook: the one that is there, if any.

        Returns:
            The hook as it is then.

        Raises:
            HookUnverifiedError: all of it is done, but the right echo did not come.
        """
        if hook is None:
            hook = await self.create(wanted)
        elif plan.replace:
            hook = await self.replace(hook, wanted)
        if not hook.active:
            hook = await self.activate(hook)
        # Not the plan alone: a replacement can un-verify where only Okta knows that the secret is another one.
        if plan.verify or not hook.verified:
            hook = await self.verify(hook)
        return hook

    async def _call(self, method: str, hook_id: str, step: str = "", body: Any = None) -> Hook:
        return Hook.read(_decoded(await self._api.call(method, _path(hook_id) + step, body=body)))


def ours(hooks: Iterable[Hook], name: str, uri: str) -> Hook | None:
    """The hook of this name, or None.

    Raises:
        OktaError: there are several; or there is none, but another one posts to the same address already, so that a
            second one would double every event.
    """
    hooks = list(hooks)
    named = find(hooks, name)
    if len(named) > 1:
        raise OktaError(f"Several event hooks are called {name}: {_listed(named)}. Choose one with --id.")
    if named:
        return named[0]
    there = [hook for hook in hooks if hook.uri == uri]
    if there:
        raise OktaError(
            f"No event hook is called {name}, but this one posts to {uri} already: {_listed(there)}. "
            "Write its name into `hook.name`, or take it over with --id, which renames it."
        )
    return None


def check_room(hooks: Iterable[Hook], hook: Hook | None) -> None:
    """See whether the org has room for one more hook that is live.

    Args:
        hooks: all of the org.
        hook: the one that shall be live; it counts as it will be.

    Raises:
        OktaError: it has none.
    """
    live = [other for other in hooks if other.live and (hook is None or other.id != hook.id)]
    if len(live) >= MAX_LIVE:
        raise OktaError(
            f"{len(live)} event hooks are active and verified, and Okta allows {MAX_LIVE} in an org: "
            f"deactivate one of {_listed(live)}"
        )


def _path(hook_id: str) -> str:
    return f"{_PATH}/{quote(hook_id, safe='')}"


def _decoded(answer: Answer) -> Any:
    try:
        return answer.json()
    except msgspec.DecodeError as error:
        raise OktaError(f"Okta answered with something that is no JSON: {error}") from None


def _listed(hooks: Iterable[Hook]) -> str:
    return ", ".join(f"{hook.name} ({hook.id})" for hook in hooks)


def _why(hook: Hook, error: OktaRefusedError) -> str:
    return (
        f"Okta could not verify the hook {hook.name} ({hook.id}), and sends it nothing until it can: {error}\n"
        f"Okta calls GET {hook.uri} from the Internet, waits 3 s, and wants its challenge back. See that\n"
        "  - the forwarder runs, and that address reaches it from outside (its log shows the challenge),\n"
        f"  - the secret that Okta has in {hook.header or 'no header'} is one of the org's `secrets` "
        "(`forwarder hooks sync --resend-secret` sends the newest),\n"
        "  - the certificate there is valid, and signed by an authority that everybody trusts.\n"
        "Then try again with `forwarder hooks verify`. The System Log's `event_hook.verified` tells Okta's reason."
    )
