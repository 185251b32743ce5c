"""The checks of `reactions check` for the receivers of security event tokens. Each problem is one line: the key,
the problem and a hint."""

import asyncio
import json
from typing import Any

import httpx

from forwarder.connection_errors import http_client, why_unreachable
from forwarder.core.printable import printable_line
from forwarder.react.ports import Answer, OktaCall
from forwarder.react.settings.receivers import JWKS_PATH, SetSettings
from forwarder.react.settings.signing_keys import PRIVATE_MEMBERS
from forwarder.response_bodies import read_start

PROVIDERS_PATH = "/api/v1/security-events-providers"
PROVIDERS_SCOPE = "okta.securityEventsProviders.read"

_TIMEOUT = 10.0  # seconds
_LIMIT = 256 * 1024  # bytes
_PUBLISH = "publish there the output of: forwarder reactions jwks"
_PASS = f"let the proxy in front of `receiver.listen` pass {JWKS_PATH} to the forwarder; start or reload the forwarder"


async def check_jwks(settings: SetSettings) -> list[str]:
    """Fetch the public keys from the URL that receivers use, and compare them with the keys in the configuration.
    Return the problems."""
    url = settings.jwks_url
    key = "reactions.set.jwks" if settings.jwks else "reactions.set.issuer"
    fix = _PASS if settings.jwks == "serve" else _PUBLISH
    try:
        async with asyncio.timeout(_TIMEOUT), http_client(timeout=_TIMEOUT) as client:
            answer = await _get(client, url)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        why, hint = why_unreachable(error, key)
        return [f"{key}: {url}: {why}; {hint}; Okta fetches the keys from the internet, so try it from there too"]
    status, content_type, content = answer
    if status != 200:
        return [f"{key}: {url} answers {status} instead of the keys; {fix}"]
    problems = []
    if content_type.partition(";")[0].strip().lower() != "application/json":
        shown = printable_line(content_type)[:80] or "nothing"
        problems.append(f"{key}: {url} has the content type {shown}, but Okta accepts only application/json; {fix}")
    return problems + [f"{key}: {url} {problem}; {hint or fix}" for problem, hint in _compare(settings, content)]


async def check_provider(receiver: str, org: str, settings: SetSettings, okta: OktaCall) -> list[str]:
    """Check that the forwarder is registered in an org as a provider of security events. Return the problems.

    `receiver` is the name under which `reactions.receivers` lists the org. The call of Okta's API needs the scope
    `PROVIDERS_SCOPE`.
    """
    key = f"reactions.receivers.{receiver}.org"
    await okta.ready("GET", PROVIDERS_PATH)
    answer = await okta.call("GET", PROVIDERS_PATH)
    if not answer.ok or not isinstance(answer.body, list):
        return [f"{key}: cannot be checked, because the providers of {org} cannot be read: {_refusal(answer)}"]
    for provider in answer.body:
        registered = provider.get("settings") if isinstance(provider, dict) else None
        if isinstance(registered, dict) and registered.get("issuer") == settings.issuer:
            return [f"{key}: {line}" for line in _provider_problems(provider, registered, settings, org)]
    how = "register it: docs/reactions-receivers.md"
    return [f"{key}: {org} has no security events provider with the issuer {settings.issuer}; {how}"]


def _provider_problems(
    provider: dict[str, Any], registered: dict[str, Any], settings: SetSettings, org: str
) -> list[str]:
    name = printable_line(str(provider.get("name")))[:100]
    problems = []
    if provider.get("status") != "ACTIVE":
        problems.append(f"the provider {name!r} of {org} is not active, so its events are refused; activate it")
    if (url := registered.get("jwks_url")) and url != settings.jwks_url:
        shown = printable_line(str(url))[:200]
        problems.append(
            f"the provider {name!r} of {org} fetches the keys from {shown}, but they are at {settings.jwks_url}; "
            "correct one of the two"
        )
    return problems


def _refusal(answer: Answer) -> str:
    if answer.status in {401, 403}:
        return f"{answer.text or answer.status} (this needs the scope {PROVIDERS_SCOPE})"
    return answer.text or f"Okta answers {answer.status}"


async def _get(client: httpx.AsyncClient, url: str) -> tuple[int, str, bytes]:
    """Return the status, the content type and the first bytes of the document at `url`."""
    async with client.stream("GET", url, headers={"accept": "application/json"}) as response:
        content = await read_start(response, _LIMIT)
    return response.status_code, response.headers.get("content-type", ""), content


def _compare(settings: SetSettings, content: bytes) -> list[tuple[str, str]]:
    """Return (problem, hint) for each problem of the published keys. If `hint` is empty, the caller shows its usual
    hint."""
    try:
        published = {key.get("kid"): key for key in json.loads(content)["keys"]}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return [("holds no set of keys (JWKS)", "")]
    problems = []
    for kid, key in published.items():
        if PRIVATE_MEMBERS & key.keys():
            stop = "others can sign as you: replace this key now, and remove it from this URL"
            problems.append((f"publishes the private key {printable_line(str(kid))[:100]}", stop))
    for wanted in json.loads(settings.key_set())["keys"]:
        found = published.get(wanted["kid"])
        if found is None:
            problems.append((f"lacks the key {wanted['kid']}", ""))
        elif (found.get("n"), found.get("e")) != (wanted["n"], wanted["e"]):
            problems.append((f"has another key with the id {wanted['kid']}", ""))
    return problems
