"""Checks of the event hook: the state of the hook in Okta, and whether its public address answers as Okta expects."""

import secrets
from urllib.parse import urlsplit

import httpx
import msgspec

from forwarder.core.wording import listed
from forwarder.doctor.check import Check, CheckVerdict, Found, fail, ok, warn
from forwarder.doctor.context import Context
from forwarder.doctor.network import ProbeResponse, explain, judge_expiry, request
from forwarder.doctor.okta import with_hook
from forwarder.okta.hooks.admin import find_own
from forwarder.okta.hooks.hook import DesiredHook, Hook, PropertyDifference, desired_hook, plan
from forwarder.okta.hooks.needed_event_types import desired_types
from forwarder.okta.hooks.watch import HINTS, Condition
from forwarder.okta.settings import HookSettings

_HEADING = "Hook address"
OKTA_WAITS = 3.0
"""The number of seconds that Okta waits for a response to a request to the hook. Then Okta gives up."""


def hook_settings(context: Context, name: str) -> HookSettings:
    """Return the section `hook` of the org `name`. The org must have this section."""
    settings = context.org(name).hook
    assert settings is not None
    return settings


def wanted(context: Context, name: str) -> DesiredHook:
    """Return the hook that the configuration describes for the org `name`."""
    org, settings = context.org(name), hook_settings(context, name)
    return desired_hook(settings, desired_types(settings)[1], org.header, org.secrets)


def _own(context: Context, name: str) -> Hook | None:
    settings = hook_settings(context, name)
    return find_own(context.hooks[name], settings.name, settings.uri)


async def _exists(context: Context, name: str) -> Found:
    hook = _own(context, name)
    if hook is None:
        called = hook_settings(context, name).name
        return fail(f"the org has no event hook named {called}", f"run `forwarder hooks sync --org {name}`")
    return ok(f"{hook.name} ({hook.id})")


async def _state(context: Context, name: str) -> Found:
    hook = _own(context, name)
    assert hook is not None
    if not hook.active:
        return fail("the hook is inactive: Okta sends nothing to it", HINTS[Condition.INACTIVE].format(org=name))
    if not hook.verified:
        return fail("the hook is not verified: Okta sends nothing to it", HINTS[Condition.UNVERIFIED].format(org=name))
    return ok("active and verified")


async def _uri(context: Context, name: str) -> Found:
    found = [each for each in _differences(context, name) if each.what in {"URL", "authentication field"}]
    if found:
        return fail(_listed(found), f"run `forwarder hooks sync --org {name}`")
    return ok("Okta posts to `hook.uri`, with the configured header")


async def _events(context: Context, name: str) -> Found:
    found = [each for each in _differences(context, name) if each.what in {"events", "filters", "name"}]
    if found:
        return warn(_listed(found), f"run `forwarder hooks sync --org {name}`")
    return ok(f"{len(wanted(context, name).types)} event types, as configured")


def _differences(context: Context, name: str) -> tuple[PropertyDifference, ...]:
    return plan(wanted(context, name), _own(context, name)).differences


def _listed(differences: list[PropertyDifference]) -> str:
    texts = []
    for each in differences:
        sides = (("has", each.has), ("lacks", each.wants))
        parts = [f"{verb} {listed(names, 3)}" for verb, names in sides if names]
        texts.append(f"{each.what}: the hook in Okta {', '.join(parts)}")
    return "; ".join(texts)


async def _reachable(context: Context, name: str) -> Found:
    """Check that the host of the hook's public URL answers `GET /`, and that its certificate does not expire soon.

    Any HTTP status is accepted.
    """
    settings = hook_settings(context, name)
    parts = urlsplit(settings.uri)
    root = f"{parts.scheme}://{parts.netloc}/"
    try:
        answer = await request("GET", root, timeout=context.timeout)
    except (httpx.HTTPError, OSError) as error:
        chain = "Okta needs a certificate of a public CA: serve its whole chain, with the intermediates"
        finding = explain(root, error, f"`orgs.{name}.hook.uri`", chain)
        fix = f"{finding.fix}; if only Okta can reach the address, run `forwarder doctor --skip hook.reachable`"
        return fail(finding.seen, fix)
    ended = judge_expiry(
        answer.certificate_end,
        f"the certificate of {root}",
        "renew the certificate: Okta refuses an expired certificate",
    )
    return ok(f"{root} answers") if ended.verdict is CheckVerdict.OK else ended


async def _challenge(context: Context, name: str) -> Found:
    desired = wanted(context, name)
    challenge = secrets.token_urlsafe(30)
    headers = {
        "accept": "application/json",
        "x-okta-verification-challenge": challenge,
        desired.header: desired.secret.reveal(),
    }
    began = context.clock.monotonic()
    try:
        answer = await request("GET", desired.uri, headers=headers, timeout=context.timeout)
    except (httpx.HTTPError, OSError) as error:
        return explain(desired.uri, error, f"`orgs.{name}.hook.uri`")
    seconds = context.clock.monotonic() - began
    if answer.status == 200 and _echo(answer) == challenge:
        seen = f"{desired.uri} returns the challenge"
        if seconds >= OKTA_WAITS:
            fix = "find what is slow between the internet and the forwarder: Okta gives up after 3 s"
            return fail(f"{seen}, but only after {seconds:.1f} s", fix)
        return ok(seen)
    return _not_echoed(name, desired, answer.status)


def _not_echoed(name: str, desired: DesiredHook, status: int) -> Found:
    seen = f"{desired.uri} answers {status}, and does not return the challenge"
    if status == 401:
        seen = f"{desired.uri} answers 401 to the newest of `orgs.{name}.secrets`"
    return fail(seen, fix_for_status(name, desired.header, status))


def fix_for_status(name: str, header: str, status: int) -> str:
    """Return what to do if the public URL of the hook of the org `name` answers with an unexpected HTTP `status`."""
    if status == 401:
        return (
            "reload the forwarder that answers at this URL (SIGHUP), so that the forwarder knows the secret; then "
            f"run `forwarder hooks sync --org {name} --resend-secret`; if there is a proxy in front of the "
            f"forwarder, check that the proxy forwards the header {header}"
        )
    if status == 404:
        return (
            f"compare the path of `orgs.{name}.hook.uri` with `orgs.{name}.path`, and with the paths that the proxy "
            "in front of the forwarder forwards"
        )
    if status in {502, 503, 504}:
        return (
            "start the forwarder with `forwarder run`, or correct the address to which the proxy in front of the "
            "forwarder sends requests"
        )
    return (
        f"check that requests to `orgs.{name}.hook.uri` reach the forwarder's receiver, and that no proxy on the way "
        "asks for a login or answers from a cache"
    )


def _echo(answer: ProbeResponse) -> object:
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return body.get("verification") if isinstance(body, dict) else None


CHECKS = (
    Check("hook.exists", "the org has our hook", "ForwarderHookDown", _exists, with_hook, ("okta.hooks",)),
    Check(
        "hook.state",
        "the forwarder's hook in Okta is active and verified",
        "ForwarderHookDown",
        _state,
        with_hook,
        ("hook.exists",),
    ),
    Check("hook.uri", "the forwarder's hook in Okta posts to `hook.uri`", _HEADING, _uri, with_hook, ("hook.exists",)),
    Check(
        "hook.events",
        "the forwarder's hook in Okta has the configured event types and filters",
        "ForwarderEventsMissed",
        _events,
        with_hook,
        ("hook.exists",),
    ),
    Check("hook.reachable", "the hook's public address: DNS, TLS, certificate", _HEADING, _reachable, with_hook),
    Check(
        "hook.challenge",
        "the hook's public address returns Okta's challenge",
        _HEADING,
        _challenge,
        with_hook,
        ("hook.reachable",),
    ),
)
