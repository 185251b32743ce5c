"""Reads and changes the event hooks of one org, over Okta's API."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from forwarder.core.errors import HookUnverifiedError, OktaError, OktaRefusedError
from forwarder.core.urls import same_url
from forwarder.okta.api.port import Api, not_okta
from forwarder.okta.hooks.hook import MAX_LIVE, DesiredHook, Hook, HookPlan, to_request

_PATH = "/api/v1/eventHooks"


class HookAdmin:
    """The event hooks of one org.

    Every method raises OktaRefusedError if Okta refuses, OktaUnreachableError if it does not respond, and OktaError if
    its response is unreadable.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def all(self) -> list[Hook]:
        """Return every hook of the org, ours and others."""
        hooks = (await self._api.call("GET", _PATH)).json()
        if not isinstance(hooks, list):
            raise not_okta("a list of event hooks")
        return [Hook.read(raw) for raw in hooks]

    async def get(self, hook_id: str) -> Hook:
        return await self._call("GET", hook_id)

    async def create(self, desired: DesiredHook) -> Hook:
        """Create a hook. The new hook is ACTIVE but UNVERIFIED, so Okta does not send events to it yet.

        Raises:
            OktaRefusedError: Okta refused, for example because a hook with this name exists.
        """
        try:
            return Hook.read((await self._api.call("POST", _PATH, body=to_request(desired))).json())
        except OktaRefusedError as error:
            taken = [hook for hook in await self.all() if hook.name == desired.name]
            if not taken:
                raise
            text = f"{error}. The hook was created meanwhile: {_listed(taken)}"
            hint = "if another command did that, wait until it ends, then run `forwarder hooks sync`"
            raise OktaRefusedError(error.status, error.code, f"{text}; {hint}", hint) from error

    async def replace(self, hook: Hook, desired: DesiredHook) -> Hook:
        """Replace `hook` so that it matches `desired`, and return the new hook. Properties that `DesiredHook` does not
        have keep their values."""
        await self._call("PUT", hook.id, body=to_request(desired, hook))
        # The response to a PUT can be stale: it may still say VERIFIED when the hook no longer is.
        return await self.get(hook.id)

    async def activate(self, hook: Hook) -> Hook:
        """Make `hook` ACTIVE, and return the changed hook. Whether the hook is VERIFIED does not change."""
        return await self._call("POST", hook.id, "/lifecycle/activate")

    async def deactivate(self, hook: Hook) -> Hook:
        """Make `hook` INACTIVE, so that Okta stops sending events to it. Return the changed hook. Whether the hook is
        VERIFIED does not change."""
        return await self._call("POST", hook.id, "/lifecycle/deactivate")

    async def verify(self, hook: Hook) -> Hook:
        """Ask Okta to verify `hook`, and return the hook. Okta sends a challenge to the hook's address.

        Raises:
            HookUnverifiedError: the address did not send the challenge back.
        """
        try:
            return await self._call("POST", hook.id, "/lifecycle/verify")
        except OktaRefusedError as error:
            if error.status != 400:
                raise
            raise HookUnverifiedError(error.status, error.code, _unverified_text(hook, error)) from error

    async def delete(self, hook: Hook) -> None:
        """Delete `hook` for good. Okta deletes only INACTIVE hooks, so an ACTIVE hook is deactivated first."""
        if hook.active:
            await self.deactivate(hook)
        await self._api.call("DELETE", _path(hook.id))

    async def apply(self, plan: HookPlan, desired: DesiredHook, hook: Hook | None) -> Hook:
        """Carry out `plan`, which was made for `desired` and `hook`, and return the hook as it is afterwards.

        Raises:
            HookUnverifiedError: all other steps are done, but the hook's address did not send the challenge back.
        """
        if hook is None:
            hook = await self.create(desired)
        elif plan.replace:
            hook = await self.replace(hook, desired)
        if not hook.active:
            hook = await self.activate(hook)
        # Replacing the hook un-verifies it if the secret differs. The plan cannot know, because Okta shows no secret.
        if plan.verify or not hook.verified:
            hook = await self.verify(hook)
        return hook

    async def _call(self, method: str, hook_id: str, step: str = "", body: Any = None) -> Hook:
        return Hook.read((await self._api.call(method, _path(hook_id) + step, body=body)).json())


def find_own(hooks: Iterable[Hook], name: str, uri: str) -> Hook | None:
    """Return the hook called `name`; None if there is none.

    Raises:
        OktaError: several hooks have this name. Or no hook has this name, but a hook with another name already posts to
            `uri`: with a second hook for `uri`, every event would be delivered twice.
    """
    hooks = list(hooks)
    named = [hook for hook in hooks if hook.name == name]
    if len(named) > 1:
        raise OktaError(f"Several event hooks are called {name}: {_listed(named)}. Choose one with --id.")
    if named:
        return named[0]
    same_uri = [hook for hook in hooks if same_url(hook.uri, uri)]
    if same_uri:
        raise OktaError(
            f"No event hook is called {name}, but another hook already posts to {uri}: {_listed(same_uri)}. "
            "To use that hook, set `hook.name` to its name, or give its ID with --id: then the hook is renamed."
        )
    return None


def check_quota(hooks: Iterable[Hook], hook: Hook | None) -> None:
    """Check that the org can have one more live hook (ACTIVE and VERIFIED). `hooks` are all hooks of the org. `hook` is
    the hook that will be live, and is not counted; None if it does not exist yet.

    Raises:
        OktaError: the org already has as many other live hooks as Okta allows.
    """
    live = [other for other in hooks if other.live and (hook is None or other.id != hook.id)]
    if len(live) >= MAX_LIVE:
        raise OktaError(
            f"{len(live)} event hooks are active and verified, and Okta allows {MAX_LIVE} in an org: "
            f"deactivate one of {_listed(live)}"
        )


def _path(hook_id: str) -> str:
    return f"{_PATH}/{quote(hook_id, safe='')}"


def _listed(hooks: Iterable[Hook]) -> str:
    return ", ".join(f"{hook.name} ({hook.id})" for hook in hooks)


def _unverified_text(hook: Hook, error: OktaRefusedError) -> str:
    return (
        f"Okta could not verify the hook {hook.name} ({hook.id}), and sends nothing to it until it is verified: {error}\n"
        f"Okta calls GET {hook.uri} from the internet, and expects its challenge back within 3 s. Check that\n"
        "  - the forwarder runs and can be reached at that address from the internet (its log shows the challenge),\n"
        f"  - the secret that Okta has in {hook.header or 'no header'} is one of the org's `secrets` "
        "(`forwarder hooks sync --resend-secret` sends the newest),\n"
        "  - the certificate at that address is valid, and signed by a public authority.\n"
        "Then try again with `forwarder hooks verify`. `event_hook.verified` in the System Log has Okta's reason."
    )
