"""Checks Security Event Tokens (RFC 8417) by Okta's rules, and finds the user that a token is about."""

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec

from forwarder.emulator.http.errors import ApiError

RISK_CHANGE = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change"

_RISKS = {"low", "medium", "high", "secure", "none"}
_COMPLIANCES = {"compliant", "not-compliant"}
_ENTITIES = {"admin", "user", "policy", "system"}
_OKTA, _OPENID = "https://schemas.okta.com/secevent/okta/event-type", "https://schemas.openid.net/secevent"

_FIELDS: dict[str, dict[str, set[str] | None]] = {
    RISK_CHANGE: {"current_level": _RISKS, "previous_level": _RISKS},
    f"{_OKTA}/device-risk-change": {"current_level": _RISKS, "previous_level": _RISKS},
    f"{_OKTA}/ip-change": {"current_ip_address": None, "previous_ip_address": None},
    f"{_OPENID}/caep/event-type/session-revoked": {},
    f"{_OPENID}/caep/event-type/device-compliance-change": {
        "current_status": _COMPLIANCES,
        "previous_status": _COMPLIANCES,
    },
    f"{_OPENID}/risc/event-type/identifier-changed": {},
}
"""For each event type: the required fields, each with its allowed values. None allows any text.

Every event also needs a subject, a time and a reason.
"""


def refusal(err: str, description: str) -> ApiError:
    """Return the error that refuses a token, in the form of RFC 8935."""
    return ApiError(f"{err}: {description}", 400, {"err": err, "description": description}, None)


class UnverifiedToken(msgspec.Struct, frozen=True):
    """A token whose signature is not checked yet."""

    text: str
    kid: str
    issuer: str
    audience: Any
    jti: str
    events: dict[str, Any]

    @property
    def event(self) -> tuple[str, dict[str, Any]]:
        """Type and content of the token's only event.

        Raises:
            ApiError: the token does not have exactly one event, or the event breaks a rule.
        """
        if len(self.events) != 1:
            raise refusal("invalid_request", "The token must have exactly one event.")
        ((kind, event),) = self.events.items()
        if kind not in _FIELDS or not isinstance(event, dict):
            raise refusal("invalid_request", f"The event type {kind} is not supported.")
        problems = list(_problems(event, _FIELDS[kind]))
        if problems:
            raise refusal("invalid_request", "; ".join(problems))
        return kind, event

    def verify(self, keys: Mapping[str, Any]) -> None:
        """Check the signature with the keys of the issuer.

        Raises:
            ApiError: no key has the token's `kid`, or the signature is invalid.
        """
        try:
            key = jwt.PyJWKSet.from_dict(dict(keys))[self.kid]
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise refusal("invalid_key", f"The issuer's keys have no key with the id {self.kid}.") from error
        try:
            jwt.PyJWS().decode(self.text, key, ["RS256"])
        except jwt.PyJWTError as error:
            raise refusal("authentication_failed", "The signature of the token is invalid.") from error


def parse(body: bytes) -> UnverifiedToken:
    """Decode a token, without checking its signature.

    Raises:
        ApiError: `body` is not a Security Event Token, or a claim is missing or of the wrong type.
    """
    try:
        text = body.decode("ascii").strip()
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
    except (UnicodeDecodeError, jwt.PyJWTError) as error:
        raise refusal("invalid_request", "The request body is not a signed JWT.") from error
    if str(header.get("typ")).lower() not in {"secevent+jwt", "application/secevent+jwt"}:
        raise refusal("invalid_request", "The header 'typ' must be secevent+jwt.")
    if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
        raise refusal("invalid_key", "The header must have the 'alg' RS256 and a 'kid'.")
    missing = [name for name in ("iss", "aud", "jti", "iat", "events") if not claims.get(name)]
    if missing:
        raise refusal("invalid_request", f"The token lacks these claims: {', '.join(missing)}.")
    wrong = [name for name in ("iss", "jti") if not isinstance(claims[name], str)]
    if wrong or not isinstance(claims["iat"], int) or not isinstance(claims["events"], dict):
        raise refusal("invalid_request", "A claim is of the wrong type.")
    return UnverifiedToken(text, header["kid"], claims["iss"], claims["aud"], claims["jti"], claims["events"])


def subject_user(event: Mapping[str, Any]) -> str | None:
    """Return the id or login of an event's user; None if the event names no user in a known format."""
    subject = event["subject"]
    user = subject.get("user", subject)
    if not isinstance(user, dict):
        return None
    field = {"email": "email", "opaque": "id", "iss_sub": "sub"}.get(str(user.get("format")))
    return str(user[field]) if field in user else None


def _problems(event: Mapping[str, Any], fields: Mapping[str, set[str] | None]) -> list[str]:
    problems = []  # Okta's descriptions name the fields in camel case
    if not isinstance(event.get("event_timestamp"), int):
        problems.append("eventTimestamp must be a number of seconds")
    if not isinstance(event.get("subject"), dict):
        problems.append("subject is missing")
    for name, values in fields.items():
        if not isinstance(event.get(name), str) or (values and event[name] not in values):
            first, *rest = name.split("_")
            problems.append(f"{first}{''.join(word.title() for word in rest)} is missing or invalid")
    if not event.get("reason_admin") and not event.get("reason_user"):
        problems.append("either reasonAdmin or reasonUser is required")
    entity = event.get("initiating_entity", "admin")
    if not isinstance(entity, str) or entity not in _ENTITIES:
        problems.append("initiatingEntity is invalid")
    return problems
