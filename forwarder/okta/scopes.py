"""The scopes of Okta's API that a service app may request."""

import difflib
import re

SCOPES = ("okta.eventHooks.read", "okta.eventHooks.manage", "okta.logs.read")
"""The scopes that the hook and the System Log need."""

_RESOURCES = (
    "agentPools", "apiTokens", "appGrants", "apps", "authenticators", "authorizationServers", "behaviors", "brands",
    "captchas", "certificateAuthorities", "clients", "deviceAssurance", "devices", "domains", "emailDomains",
    "eventHooks", "factors", "features", "groups", "identitySources", "idps", "inlineHooks", "linkedObjects",
    "logs", "logStreams", "networkZones", "oauthIntegrations", "orgs", "policies", "profileMappings",
    "pushProviders", "rateLimits", "realms", "roles", "schemas", "securityEventsProviders", "sessions", "templates",
    "threatInsights", "trustedOrigins", "uischemas", "universalLogout", "userRisk", "userTypes", "users",
)  # fmt: skip
_KNOWN_SCOPES = tuple(f"okta.{resource}.{right}" for resource in _RESOURCES for right in ("read", "manage"))
"""Okta's scopes, used to recognize typos."""


def check_scopes(scopes: tuple[str, ...]) -> None:
    """Raise ValueError if a scope is misspelled, or if the scope okta.logs.read, which every org needs, is missing."""
    if not scopes:
        raise ValueError("`scopes` is empty, but a service app needs at least one scope; add okta.logs.read")
    for scope in scopes:
        if scope in _KNOWN_SCOPES:
            continue
        if re.search(r"[\s,;]", scope):
            raise ValueError(
                "`scopes`: one item contains a blank, a comma or a semicolon; write each scope as an item of its own, "
                "as in [okta.logs.read, okta.users.read]"
            )
        if near := difflib.get_close_matches(scope, _KNOWN_SCOPES, n=1, cutoff=0.85):
            raise ValueError(f"`scopes`: unknown scope {scope}; did you mean {near[0]}?")
        if not scope.startswith("okta."):
            raise ValueError(f"`scopes`: {scope} is not a scope of Okta's API; write one such as okta.logs.read")
    if "okta.logs.read" not in scopes:
        raise ValueError(
            "`scopes` lacks okta.logs.read, which the forwarder needs to read the System Log; add okta.logs.read"
        )
