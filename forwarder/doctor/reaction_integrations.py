"""Checks of what reactions use besides users and groups.

They cover prompts by push and CIBA, the blocklist of block_ip, the keys of `reactions.set`, webhooks and receivers.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import httpx
import msgspec

from forwarder.core.errors import OktaError
from forwarder.core.wording import count
from forwarder.doctor.check import Check, CheckVerdict, Finding, Found, fail, from_line, ok, warn
from forwarder.doctor.context import Context
from forwarder.doctor.network import explain, request
from forwarder.doctor.reactions import HEADING, orgs_with, refused, users_of
from forwarder.okta.zones.blocklist import Blocklist
from forwarder.okta.zones.build import protected_by, zone_writer
from forwarder.react.actions.receiver_checks import check_jwks, check_provider
from forwarder.react.actions.security_event import SecurityEvents
from forwarder.react.actions.webhook import Webhooks
from forwarder.react.settings.entries import prompt_of
from forwarder.reaction_runner.okta_calls import OrgCalls
from forwarder.settings import Settings
from forwarder.setup.okta_role.groups import pages
from forwarder.setup.okta_role.needs import concerned

_CIBA = "urn:openid:params:grant-type:ciba"
_SCARCE = 50  # if the blocklist has room for at most this number of entries, the check warns
_MOST_USERS = 10  # the largest number of users whose factors are read


class _Metadata(msgspec.Struct):
    """The metadata of an OAuth authorization server: only the fields that the check reads."""

    issuer: str
    grant_types_supported: list[str] | None = None


def _prompting(settings: Settings, by: str) -> Iterable[str]:
    return [
        name
        for name in orgs_with("prompt", settings=settings)
        if any((prompt := prompt_of(each.do)) and prompt.by == by for each in concerned(settings.reactions, name))
    ]


def _pushing(settings: Settings) -> Iterable[str]:
    return _prompting(settings, "push")


def _by_ciba(settings: Settings) -> Iterable[str]:
    return _prompting(settings, "ciba")


def _blocking(settings: Settings) -> Iterable[str]:
    return orgs_with("block_ip", settings=settings)


async def _push(context: Context, name: str) -> Found:
    """Check that Okta, asked from this machine, lists an active push factor for at least one user.

    Which factors Okta lists depends on the IP address of the caller.
    """
    try:
        users = (await users_of(context, name))[:_MOST_USERS]
        for user in users:
            path = f"/api/v1/users/{quote(str(user.get('id')))}/factors"
            factors = await pages(context.okta(name), path)
            if any(each.get("factorType") == "push" and each.get("status") == "ACTIVE" for each in factors):
                return ok("Okta lists push factors to this machine's address")
    except OktaError as error:
        return refused(name, "the factors of a user cannot be read", error, "okta.users.manage")
    return fail(
        f"Okta lists no active push factor for {count(len(users), 'user')}, so a prompt by push cannot reach them",
        "ask these users to set up Okta Verify with push; if they have done so, Okta hides this factor from this "
        "machine: add this machine's address to the network zone in the authenticator's policy",
    )


async def _zone(context: Context, name: str) -> Found:
    settings, org = context.settings, context.org(name)
    assert org.url is not None
    assert org.api is not None
    writer = zone_writer(
        name,
        org.url,
        org,
        context.okta(name),
        context.clock,
        store=settings.store.path,
        client_id=org.api.client_id,
        protected=protected_by("reactions.protect.ips", settings.reactions.protect.ips),
    )
    try:
        state = await Blocklist(org.blocklist, writer).state()
    except OktaError as error:
        return refused(name, "the network zones cannot be read", error, "okta.networkZones.manage")
    zone = org.blocklist.zone
    found = [from_line(CheckVerdict.FAIL, line, "see docs/zones.md") for line in state.problems]
    if state.room == 0:
        found.append(
            fail(
                f"the zone {zone} is full ({state.entries:,} entries), so block_ip fails",
                "shorten `for` of block_ip, or remove entries from the zone",
            )
        )
    elif state.room <= _SCARCE:
        found.append(warn(f"the zone {zone} has room for {state.room} more entries", "shorten `for` of block_ip"))
    if not state.blocks and (state.zone_id or not org.blocklist.activate):
        what = "is INACTIVE" if state.zone_id else "will be INACTIVE when block_ip creates it"
        fix = (
            "activate the zone in the Admin Console" if state.zone_id else f"set `orgs.{name}.blocklist.activate: true`"
        )
        found.append(warn(f"the zone {zone} {what}, so Okta does not block the addresses in the zone", fix))
    return found or ok(f"the zone {zone} has room for {state.room:,} more entries")


async def _ciba(context: Context, name: str) -> Found:
    ciba, url = context.settings.reactions.ciba, (context.org(name).url or "").rstrip("/")
    assert ciba is not None
    issuer = url if ciba.server is None else f"{url}/oauth2/{ciba.server}"
    address = f"{issuer}/.well-known/openid-configuration"
    try:
        answer = await request("GET", address, timeout=context.timeout)
    except (httpx.HTTPError, OSError) as error:
        return explain(address, error, f"`orgs.{name}.url`")
    if answer.status == 404:
        return fail(
            f"{address} answers 404", "correct `reactions.ciba.server`: the org has no such authorization server"
        )
    try:
        grants = msgspec.json.decode(answer.body, type=_Metadata).grant_types_supported
    except (ValueError, RecursionError):
        return fail(
            f"{address} answers {answer.status}, but the response is not the metadata of an authorization server",
            f"check `reactions.ciba.server` and `orgs.{name}.url`",
        )
    if answer.status != 200:
        return fail(f"{address} answers {answer.status}", "check `reactions.ciba.server`")
    if grants is not None and _CIBA not in grants:
        return fail(
            f"the authorization server {issuer} does not offer CIBA",
            "enable CIBA in the org, and in the access policy of the authorization server",
        )
    return ok(f"the authorization server {issuer} answers")


async def _keys(context: Context, name: str) -> Found:
    del name
    keys = context.settings.reactions.set
    assert keys is not None
    return _lines(await check_jwks(keys)) or ok(f"{keys.jwks_url} publishes our keys")


async def _provider(context: Context, name: str) -> Found:
    receiver = context.settings.reactions.receivers[name]
    keys, org = context.settings.reactions.set, receiver.org
    assert keys is not None
    assert org is not None
    calls = OrgCalls(context.okta(org), context.clock)
    return _lines(await check_provider(name, org, keys, calls)) or ok(f"{org} accepts the forwarder's risk events")


async def _receivers(context: Context, name: str) -> Found:
    del name
    reactions = context.settings.reactions
    webhooks = Webhooks(reactions.webhooks, context.clock)
    try:
        lines = await webhooks.problems()
        if reactions.set:
            urls = {name: org.url for name, org in context.settings.orgs.items()}
            events = SecurityEvents(reactions, urls, context.clock)
            try:
                lines += await events.problems()
            finally:
                await events.close()
    finally:
        await webhooks.close()
    return _lines(lines) or ok("webhooks and receivers can be reached")


def _lines(lines: Sequence[str]) -> list[Finding]:
    return [from_line(CheckVerdict.FAIL, line, "see docs/reactions-receivers.md") for line in lines]


def _with_keys(settings: Settings) -> Iterable[str]:
    reactions = settings.reactions
    return ("",) if reactions.set and (reactions.receivers or reactions.set.jwks == "serve") else ()


def _with_provider(settings: Settings) -> Iterable[str]:
    reactions = settings.reactions
    return [
        name
        for name, receiver in reactions.receivers.items()
        if reactions.set and receiver.org in settings.orgs and settings.orgs[receiver.org].api
    ]


def _with_receivers(settings: Settings) -> Iterable[str]:
    return ("",) if settings.reactions.webhooks or settings.reactions.receivers else ()


_NEEDS = ("okta.reachable",)
CHECKS = (
    Check("reactions.push", "Okta lists push factors to this machine", HEADING, _push, _pushing, _NEEDS),
    Check("reactions.ciba", "the authorization server of `reactions.ciba`", HEADING, _ciba, _by_ciba, _NEEDS),
    Check(
        "reactions.zone",
        "the blocklist of block_ip is active and has room; Okta exempts the addresses that must not be blocked",
        HEADING,
        _zone,
        _blocking,
        _NEEDS,
    ),
    Check("reactions.keys", "the public keys of `reactions.set` are published", HEADING, _keys, _with_keys),
    Check(
        "reactions.provider",
        "the org knows the forwarder as a provider of security events",
        HEADING,
        _provider,
        _with_provider,
    ),
    Check("reactions.receivers", "webhooks and receivers can be reached", HEADING, _receivers, _with_receivers),
)
