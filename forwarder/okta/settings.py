"""What the operator sets of the Okta side: credentials, the hook to have, and how the System Log is polled."""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from forwarder.config_types import Duration, PathStr, Secret, Section
from forwarder.okta.hooks.event_type_presets import PRESETS, RULES


class ApiSettings(Section):
    """How the forwarder reaches Okta's API: a token, or a service app.

    Attributes:
        token: an API token (SSWS). Either this, or a service app.
        client_id: of a service app, with its `private_key`.
        private_key: of the service app: an RSA key without a password, as PEM or JWK.
        key_id: `kid` of the private key, where the app has several and the key is PEM; a JWK brings its own.
        scopes: what the service app asks for. Each must be granted to it, or it gets no token. To poll the System Log
            alone, `[okta.logs.read]` is enough.
        dpop: bind the app's tokens to a key of this process. New service apps demand it; false for one that does not take it.
    """

    token: Secret | None = None
    client_id: str | None = None
    private_key: Secret | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = ("okta.eventHooks.read", "okta.eventHooks.manage", "okta.logs.read")
    dpop: bool = True

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.token and (self.client_id or self.private_key):
            raise ValueError("set `token`, or `client_id` with `private_key`, not both")
        if not self.token and not (self.client_id and self.private_key):
            raise ValueError("set `token`, or `client_id` with `private_key`")
        if self.token and not re.fullmatch(r"[!-~]+", self.token.reveal()):
            raise ValueError("`token` holds a blank or a line break, or a character beyond ASCII")
        if self.private_key and not re.match(
            r"\s*(-----BEGIN [A-Z ]*PRIVATE KEY-----|{)", self.private_key.reveal()
        ):
            raise ValueError(
                "`private_key` is neither PEM nor JWK; with PEM, it begins with -----BEGIN PRIVATE KEY-----"
            )
        if self.private_key and not self.scopes:
            raise ValueError("`scopes` is empty, and a service app needs one at least")
        return self


def _uri(written: str) -> str:
    """Okta takes https alone. Plain http is for a receiver on this very machine, as in a demo: nobody can listen in."""
    parts = urlsplit(written)  # it raises ValueError itself where nothing can be made of it
    if not parts.hostname or parts.port == 0 or any(char.isspace() for char in written):
        raise ValueError("is no address; write one as in https://hooks.example.com/okta/events")
    if parts.username is not None or parts.fragment:
        raise ValueError("must hold neither a user nor a fragment; the secret goes into `secrets`")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must begin with https://; plain http works only to a loopback address")
    return written


def is_loopback(host: str) -> bool:
    """Whether `host` is this very machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _events(written: Any) -> Any:
    if isinstance(written, str):
        if written not in PRESETS:
            raise ValueError(f"must be {', '.join(PRESETS)}, or a list of event types")
        return written
    if not isinstance(written, list | tuple) or not all(isinstance(name, str) and name for name in written):
        raise ValueError("write a list, as in [user.session.start, user.account.lock], or a preset")
    if not written:
        raise ValueError("at least one event type is needed")
    return tuple(written)


def _filters(written: dict[str, str] | None) -> dict[str, str] | None:
    for name, expression in (written or {}).items():
        if not expression.strip():
            raise ValueError(f"the filter of {name} is blank; leave it out")
    return written


class HookSettings(Section):
    """The event hook that this forwarder wants to have in the org.

    Attributes:
        name: the hook's, in Okta. By it the forwarder knows its own hook.
        uri: where Okta posts, from outside: https, or http to a loopback address.
        events: `all-eligible` (all that hooks carry), `security` (a choice of what detection needs), `rules` (what the
            rules of `rules` ask for), or a list of event types, among which these three may stand.
        rules: files and folders of detection rules, in the forms that docs/rules.md names; for `events: rules`.
        filters: event type → Okta expression; Okta then sends only events of that type for which it is true. Where
            this is not set, filters that the hook has in Okta stay; `{}` removes them.
        watch: time between two looks at whether Okta holds the hook for ACTIVE and VERIFIED.
        heal: let Okta verify the hook again where a look finds it UNVERIFIED. A hook that somebody deactivated stays so.
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "forwarder"
    uri: Annotated[str, AfterValidator(_uri)]
    events: Annotated[str | tuple[str, ...], BeforeValidator(_events)] = "all-eligible"
    rules: tuple[PathStr, ...] = ()
    filters: Annotated[dict[str, str] | None, AfterValidator(_filters)] = None
    watch: Duration = Field(default="60s", validate_default=True, ge=1)
    heal: bool = False

    @model_validator(mode="after")
    def _rules_belong_together(self) -> Self:
        asked = self.events == RULES or (not isinstance(self.events, str) and RULES in self.events)
        if asked and not self.rules:
            raise ValueError("`events: rules` needs the files, as in rules: [rules/okta]")
        if self.rules and not asked:
            raise ValueError("`rules` is set and `events` does not name it; write events: rules")
        return self


class ReconcileSettings(Section):
    """How the System Log is polled, for every org that has `api`.

    Attributes:
        poll: time between two looks.
        lookback: how far the first look goes back.
        grace: how late a hook may deliver before an event counts as missed.
        rate_share: share of Okta's rate limit that may be used.
    """

    poll: Duration = Field(default="60s", validate_default=True, gt=0)
    lookback: Duration = Field(default="1h", validate_default=True, gt=0)
    grace: Duration = Field(default="5m", validate_default=True, gt=0)
    rate_share: float = Field(default=0.3, gt=0, le=1)
