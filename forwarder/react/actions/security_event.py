"""Sends security event tokens (SET, RFC 8417) by push (RFC 8935) to an Okta org or to any other receiver.

    receiver       event                      key of the user    level
    an Okta org    Okta's user-risk-change    `subject.user`     low, medium or high
    others         CAEP's risk-level-change   `sub_id`           LOW, MEDIUM or HIGH

Okta answers 202 even if it does not know the user, or has already received a token with this `jti`. So sending a token
twice does no harm, and the answer does not say what effect the token had. Other receivers get the event of CAEP 1.0,
because it is the only standard event about a risk.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

import msgspec

from forwarder.core.action import ActionTarget
from forwarder.core.ports import Clock
from forwarder.core.printable import printable_line
from forwarder.core.time import SECOND, Micros
from forwarder.react.actions.poster import Poster, Posters, PostServer, usual_hint
from forwarder.react.ports import NOT_CONFIGURED, Answer
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.settings.signing_keys import ALGORITHM, SigningKey, signing_key

OKTA_EVENT = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change"
CAEP_EVENT = "https://schemas.openid.net/secevent/caep/event-type/risk-level-change"
OKTA_PATH = "/security/api/v1/security-events"

Level = Literal["low", "medium", "high"]
LEVELS: Mapping[str, Level] = {
    "informational": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "high",
}
"""The level of the risk, by the level of the rule."""

_LONGEST_REASON = 500  # characters; Okta's limit for the reason of a risk

_AGAIN = "in Okta's provider, `issuer` and the JWKS URL must be those of reactions.set; test it with: forwarder reactions check"
_ERRORS = {
    "invalid_issuer": "the receiver expects another `iss`; write the same issuer there and in reactions.set.issuer",
    "invalid_audience": "the receiver expects another `aud`; correct the `url` of the org, or the receiver's `audience`",
    "invalid_key": "the receiver has no key with this `kid`; check that it can fetch the keys: forwarder reactions check",
    "authentication_failed": f"the receiver does not accept the signature; {_AGAIN}",
    "access_denied": "the receiver does not accept events from this issuer; register the issuer there",
    "invalid_request": "the receiver could not read the token; report this as a bug, with the claims of the token",
}
"""What to do about a refusal, by its `err` (RFC 8935)."""


def _err(body: object) -> str:
    """Return the `err` (RFC 8935) in the body of a refusal; empty if the body has none."""
    err = body.get("err") if isinstance(body, dict) else None
    return err[:100] if isinstance(err, str) else ""


def _hint(status: int, body: object) -> str:
    return _ERRORS.get(_err(body), _AGAIN) if status == 400 else usual_hint(status, body)


class Risk(msgspec.Struct, frozen=True):
    """The content of a risk event.

    Attributes:
        id: the `jti` of the token. An action uses one `jti` for all its tries, so that a receiver recognises a
            repetition.
        org: the name of the user's org in `orgs`.
        reason: the reason of the risk, in words for an admin.
        at: when the risk became known.
    """

    id: str
    org: str
    user: ActionTarget
    level: Level
    reason: str
    at: Micros


class SecurityEvents(Posters):
    """Sends security event tokens to the receivers of risk events. A reload of the configuration makes a new object."""

    def __init__(self, settings: ReactionsSettings, org_urls: Mapping[str, str | None], clock: Clock) -> None:
        """Prepare to send to the receivers in `settings`. `org_urls` has the URL of each org.

        Raises:
            SettingsError: a `ca_file` cannot be used.
        """
        super().__init__()
        self._clock = clock
        self._settings = settings
        self._org_urls = org_urls
        self._key = signing_key(settings.set.key.reveal()) if settings.set else None
        for name, one in settings.receivers.items():
            server = PostServer(
                one.url or self._url(one.org) + OKTA_PATH,
                f"reactions.receivers.{name}.url" if one.url else f"orgs.{one.org}.url",
                one.timeout,
                ca_file=one.ca_file,
                environment=one.org is not None,
            )
            self._posters[name] = Poster(server, clock)

    def claims(self, name: str, risk: Risk) -> dict[str, Any] | None:
        """Return the claims of the token for the receiver `name`; None if the receiver is not in the configuration. The
        claims are the body of the action's request. The request is stored before it is sent."""
        receiver = self._settings.receivers.get(name)
        if receiver is None or self._settings.set is None:
            return None
        seconds = risk.at // SECOND
        common: dict[str, Any] = {
            "event_timestamp": seconds,
            "initiating_entity": "policy",
            "reason_admin": {"en": printable_line(risk.reason)[:_LONGEST_REASON]},
        }
        subject = self._subject(risk)
        claims: dict[str, Any] = {
            "iss": self._settings.set.issuer,
            "aud": receiver.audience or self._url(receiver.org),
            "jti": risk.id,
            "iat": self._clock.now() // SECOND,
        }
        if receiver.org is not None:
            levels = {"current_level": risk.level, "previous_level": "none"}  # required, but not known
            return claims | {"events": {OKTA_EVENT: common | levels | {"subject": {"user": subject}}}}
        level = {"principal": "USER", "current_level": risk.level.upper()}
        return claims | {"sub_id": subject, "events": {CAEP_EVENT: common | level}}

    async def send(self, name: str, claims: Mapping[str, Any]) -> Answer:
        """Sign `claims`, send them once to the receiver `name`, and return the answer. An error of the receiver is also
        an answer, not an exception."""
        if name not in self._posters or self._key is None:
            text = f"reactions.receivers has no {name} any more; add it, or take it out of `do`"
            return Answer(0, code=NOT_CONFIGURED, text=text, sent=False)
        headers = {"accept": "application/json"}
        if authorization := self._settings.receivers[name].authorization:
            headers["authorization"] = authorization.reveal()
        token = signed(claims, self._key)
        answer = await self._posters[name].post("application/secevent+jwt", token, headers, _hint)
        return msgspec.structs.replace(answer, code=_err(answer.body)) if answer.status == 400 else answer

    def _url(self, org: str | None) -> str:
        """Return the URL of an org in the form that Okta expects in `aud`."""
        return (self._org_urls.get(org or "") or "").rstrip("/")

    def _subject(self, risk: Risk) -> dict[str, str]:
        """Return the subject identifier (RFC 9493) of the user: the login if it is an email address, else Okta's
        id."""
        local, at, domain = risk.user.name.partition("@")
        if local and at and "." in domain and "@" not in domain and not any(map(str.isspace, risk.user.name)):
            return {"format": "email", "email": risk.user.name}
        return {"format": "iss_sub", "iss": self._url(risk.org), "sub": risk.user.id}


def signed(claims: Mapping[str, Any], key: SigningKey) -> bytes:
    """Return the token with `claims`, signed with `key`."""
    headers = {"typ": "secevent+jwt", "kid": key.kid}
    token: str = import_module("jwt").encode(dict(claims), key.private, ALGORITHM, headers)
    return token.encode()
