"""The settings for Okta's API: the credentials, the event hook, and the polling of the System Log."""

import difflib
import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from forwarder.config.hosts import is_loopback, split_url
from forwarder.config.rsa_keys import private_rsa_key
from forwarder.config.types import Duration, PathStr, Secret, Section, Share
from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.okta.hooks.event_type_presets import PRESETS, RULES, event_type_problems, resolve
from forwarder.okta.scopes import SCOPES, check_scopes

_DOMAINS = ("okta.com", "oktapreview.com", "okta-emea.com", "okta-gov.com", "okta.mil")
"""The domains of Okta's orgs."""
_ANY_DOMAIN = f"({'|'.join(map(re.escape, _DOMAINS))})"


def is_of_okta(host: str) -> bool:
    """Whether `host` is in one of Okta's own domains. An org may also have a domain of its own."""
    return re.fullmatch(rf"(.+\.)?{_ANY_DOMAIN}", host.lower()) is not None


def misspelt_domain(host: str) -> str:
    """Return the domain of Okta that `host` probably misspells; an empty string if there is none."""
    domain = ".".join(host.lower().split(".")[-2:])
    near = [] if is_of_okta(host) else difflib.get_close_matches(domain, _DOMAINS, n=1, cutoff=0.8)
    return near[0] if near else ""


def org_origin(url: str) -> str:
    """Return the scheme and host of an org's URL, as in https://acme.okta.com.

    Raises:
        ValueError: `url` is not the URL of an org, or credentials must not be sent to it.
    """
    parts = split_url(url)
    host = (parts.hostname or "").removesuffix(".")
    if parts.username is not None:
        raise ValueError("the URL has a user or a password; remove them, and write the credentials under `api`")
    if not host or parts.path not in {"", "/"} or "?" in url or "#" in url:
        raise ValueError("is not the URL of an org; write a URL as in https://acme.okta.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("must begin with https://, because credentials are sent to it")
    if re.search(rf"-admin\.{_ANY_DOMAIN}$", host):
        raise ValueError("is the address of the Admin Console; remove `-admin` from the host name")
    if re.fullmatch(rf"((www|login|developer|support|.+\..+)\.)?{_ANY_DOMAIN}", host):
        raise ValueError("is not the URL of an org; write the org's own URL, as in https://acme.okta.com")
    if is_of_okta(host) and parts.port not in (None, 443):
        raise ValueError("the URL has a port, but Okta listens only on port 443; remove the port")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _org_url(url: str) -> str:
    org_origin(url)
    return url


OrgUrl = Annotated[str, AfterValidator(_org_url)]
"""The URL of an org to which credentials may be sent: it begins with https, or leads to a loopback address."""


_MAKE_KEY = "create one under Applications > (the app) > General > Client Credentials"
_ID_OF_TOKENS = "^00T[A-Za-z0-9]{1,40}$"


def _token_id(written: str) -> str:
    if not re.fullmatch(_ID_OF_TOKENS, written):
        raise ValueError(
            "is not the id of a token; write the id that Security > API > Tokens shows, which begins with 00T"
        )
    return written


class ApiSettings(Section):
    """Credentials for Okta's API: an API token, or the client id and the private key of a service app.

    Attributes:
        token: an API token (SSWS). Set either this, or the keys of a service app.
        token_id: the id of the token (00T…); see Security > API > Tokens in the Admin Console. With this id, reactions
            recognize the events that they caused.
        client_id: the client id of a service app; needs `private_key`.
        private_key: the private key of the service app: an RSA key without a password, as PEM or JWK.
        key_id: the `kid` of the private key. It is needed only if the app has several keys and this key is PEM; a JWK
            contains its `kid`.
        scopes: the scopes that the service app requests. If a requested scope is not granted to the app, the app gets
            no access token. `[okta.logs.read]` is enough if the forwarder only polls the System Log, and
            `okta.eventHooks.manage` is needed only by `hooks` commands that change the hook, and by `hook.auto_verify`.
        dpop: whether to bind the app's access tokens to a key of this process (DPoP). New service apps require DPoP;
            write `false` for an app that does not accept it.
    """

    token: Secret | None = None
    token_id: (
        Annotated[str, AfterValidator(_token_id), WithJsonSchema({"type": "string", "pattern": _ID_OF_TOKENS})] | None
    ) = None
    client_id: str | None = None
    private_key: Secret | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = SCOPES
    dpop: bool = True

    def scopes_missing_for(self, hook: "HookSettings") -> str:
        """Return the scopes that a service app lacks to watch `hook` and, with `auto_verify`, to have Okta verify it."""
        missing = [scope for scope in SCOPES if self.private_key and scope not in self.scopes]
        return " and ".join(scope for scope in missing if hook.auto_verify or scope.endswith(".read"))

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.token and (self.client_id or self.private_key):
            raise ValueError("set `token`, or `client_id` with `private_key`, not both")
        if not self.token and not (self.client_id and self.private_key):
            raise ValueError("set `token`, or `client_id` with `private_key`")
        return self

    @model_validator(mode="after")
    def _token_is_sound(self) -> Self:
        if not self.token:
            return self
        for key in ("key_id", "scopes", "dpop"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` is only for a service app; an API token does not need it, so remove it")
        if not re.fullmatch(r"[!-~]+", self.token.reveal()):
            raise ValueError(
                "`token` contains a blank, a line break, or a character that is not ASCII; write only the token, without SSWS "
                "before it, which the forwarder adds"
            )
        if re.fullmatch(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", self.token.reveal()):
            raise ValueError(
                "`token` is an access token of OAuth, which expires; write an API token, or `client_id` and `private_key`"
            )
        if re.fullmatch(r"00T[A-Za-z0-9]{17}", self.token.reveal()):
            raise ValueError(
                "`token` is the id of a token, not the token itself; Okta shows the token only when you create "
                "it, so create a new token"
            )
        return self

    @model_validator(mode="after")
    def _app_is_sound(self) -> Self:
        if not self.client_id or not self.private_key:
            return self
        if self.token_id:
            raise ValueError("`token_id` is only for `token`; a service app does not need it, so remove it")
        if not re.fullmatch(r"[!-~]+", self.client_id):
            raise ValueError("`client_id` has a blank or a character that is not ASCII; write the app's client id")
        if self.key_id == self.client_id:
            raise ValueError(
                "`key_id` is the client id; write the KID in Applications > (the app) > General > Client Credentials"
            )
        check_scopes(self.scopes)
        if not self.private_key.is_read:
            return self
        try:
            private_rsa_key(self.private_key.reveal(), _MAKE_KEY)
        except ValueError as error:
            raise ValueError(f"`private_key` {error}") from None
        return self


def _uri(written: str) -> str:
    """Check a hook's URI. Okta accepts https only; plain http is for a receiver on this machine, as in the demo."""
    parts = split_url(written)
    if not parts.hostname:
        raise ValueError("is not an address; write one as in https://hooks.example.com/okta/events")
    if parts.username is not None or parts.fragment:
        raise ValueError("must not contain a user, a password or a #fragment; write the secret under `secrets`")
    if is_of_okta(parts.hostname):
        raise ValueError("is an address of Okta; write the public address of this forwarder")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must begin with https://; plain http works only to a loopback address")
    return written


def _events(written: Any) -> Any:
    if isinstance(written, str):
        if written not in PRESETS:
            raise ValueError(f"must be one of {', '.join(PRESETS)}, or a list of event types")
        return written
    if not isinstance(written, list | tuple):
        raise ValueError("write a list, as in [user.session.start, user.account.lock], or a preset")  # noqa: TRY004  # pydantic takes no TypeError
    if not written:
        raise ValueError("at least one event type is needed")
    # This validation reports the number of each item that has an error.
    return _EVENT_LIST.validate_python(tuple(written))


def _event(name: str) -> str:
    if "*" in name:
        raise ValueError("a hook cannot have patterns such as `*`; write each event type, or a preset such as security")
    if name not in PRESETS and (problems := event_type_problems([name])):
        raise ValueError(problems[0])
    return name


_EVENT_LIST = TypeAdapter(
    tuple[Annotated[str, StringConstraints(min_length=1), AfterValidator(_event)], ...],
    config=ConfigDict(hide_input_in_errors=True),
)


def _known_events(events: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Raise ValueError for event types that Okta would refuse.

    With the preset `rules`, the rule files decide the types, so the types are checked when these files are read.
    """
    if not _needs_rules(events) and (problems := event_type_problems(resolve(events))):
        raise ValueError("; ".join(problems))
    return events


def _needs_rules(events: str | tuple[str, ...]) -> bool:
    return events == RULES or (not isinstance(events, str) and RULES in events)


def _filters(written: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
    for name, expression in (written or {}).items():
        if not expression.strip():
            raise ValueError(f"the filter of {name} is blank; write a filter, or remove {name} from `filters`")
    events = info.data.get("events")
    if events and not _needs_rules(events):
        types = resolve(events)
        if unknown := sorted(set(written or ()) - types):
            raise ValueError(
                f"`filters` has a filter for {unknown[0]}, which is not in `events`; add it to `events`, or remove "
                "the filter"
            )
    return written


_NAMES = [*PRESETS, *(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags)]
_EVENTS_SCHEMA = {"anyOf": [{"enum": list(PRESETS)}, {"type": "array", "items": {"enum": _NAMES}, "minItems": 1}]}
"""The JSON schema of `events`. It lists the valid names, so that an editor can complete them."""


class HookSettings(Section):
    """The event hook that the org should have.

    Attributes:
        name: the name of the hook in Okta. The forwarder finds the hook by this name.
        uri: the address to which Okta posts, as seen from the internet: https, or http to a loopback address.
        events: `all-eligible` (all event types that hooks can carry), `security` (a selection for detection), `rules`
            (the event types that the rule files in `rules` need), or a list of event types, which may contain these
            three words.
        rules: files and folders of detection rules for `events: rules`, in the formats of docs/rules.md. Without this
            key, the rules that the forwarder runs (`rules.files`) are used.
        filters: event type → Okta expression. Okta sends an event of that type only if the expression is true. Without
            `filters`, the filters that the hook has in Okta stay; `{}` removes them.
        check_interval: time between two checks that the hook is ACTIVE and VERIFIED.
        auto_verify: whether to ask Okta to verify the hook again if a check finds it UNVERIFIED. A deactivated hook
            stays deactivated.
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "forwarder"
    uri: Annotated[str, AfterValidator(_uri)]
    events: Annotated[
        str | tuple[str, ...], BeforeValidator(_events), AfterValidator(_known_events), WithJsonSchema(_EVENTS_SCHEMA)
    ] = "all-eligible"
    rules: tuple[PathStr, ...] = ()
    filters: Annotated[dict[str, str] | None, AfterValidator(_filters)] = None
    check_interval: Duration = Field(default="60s", validate_default=True, ge=1)
    auto_verify: bool = False

    @property
    def needs_rules(self) -> bool:
        """Whether `events` contains the preset `rules`, so that rule files decide the event types."""
        return _needs_rules(self.events)

    @model_validator(mode="after")
    def _rules_belong_together(self) -> Self:
        if self.rules and not self.needs_rules:
            raise ValueError(
                "`rules` is set, but has no effect, because `events` does not list it; add `rules` to `events`"
            )
        return self


class ReconcileSettings(Section):
    """How the System Log is polled, for every org that has `api`.

    Attributes:
        poll: time between the starts of two polls.
        lookback: how far back in time the first poll starts.
        grace: how long to wait for the hook to deliver an event before the event counts as missed.
        rate_share: the share of each of Okta's rate limits that the forwarder may use.
    """

    poll: Duration = Field(default="60s", validate_default=True, gt=0)
    lookback: Duration = Field(default="1h", validate_default=True, gt=0)
    grace: Duration = Field(default="5m", validate_default=True, gt=0)
    rate_share: Share = Field(default=0.3, gt=0, le=1)
