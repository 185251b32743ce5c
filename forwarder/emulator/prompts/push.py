"""`/api/v1/users/{id}/factors`: the factors of a user, and the push that sends a prompt to the user."""

import secrets
from typing import Any

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath

from forwarder.core.time import SECOND, iso
from forwarder.emulator.http.errors import OktaApiError, decode, invalid, not_found
from forwarder.emulator.http.responses import OktaRequest, caller, org, org_url
from forwarder.emulator.prompts.prompts import Prompt
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.emulator.users.factors import PUSH, Factor

_FACTORS = "/users/{user_id:str}/factors"
_FACTOR = f"{_FACTORS}/{{factor_id:str}}"
_TRANSACTION = f"{_FACTOR}/transactions/{{transaction_id:str}}"


def service_error() -> OktaApiError:
    """Return the error for a failure of Okta's factor service."""
    return OktaApiError(504, "E0000067", "Factors Service Error.")


class _Verify(msgspec.Struct, rename="camel"):
    use_number_matching_challenge: bool = False


def _find(request: OktaRequest, user_id: str, factor_id: str) -> tuple[EmulatedUser, Factor]:
    user = org(request).users.in_path(user_id)
    for factor in user.factors:
        if factor.id == factor_id:
            return user, factor
    raise not_found(f"{factor_id} (UserFactor)")


def _user_url(request: OktaRequest, user: EmulatedUser) -> str:
    return f"{org_url(request)}/api/v1/users/{user.id}"


@get(_FACTORS)
async def _list(request: OktaRequest, user_id: FromPath[str]) -> list[dict[str, Any]]:
    user = org(request).users.in_path(user_id)
    return [factor.view(_user_url(request, user), user.login, user.created) for factor in user.factors]


@get(_FACTOR)
async def _show(request: OktaRequest, user_id: FromPath[str], factor_id: FromPath[str]) -> dict[str, Any]:
    user, factor = _find(request, user_id, factor_id)
    return factor.view(_user_url(request, user), user.login, user.created)


@post(f"{_FACTOR}/verify", status_code=201)
async def _verify(request: OktaRequest, user_id: FromPath[str], factor_id: FromPath[str]) -> dict[str, Any]:
    emulator = org(request)
    user, factor = _find(request, user_id, factor_id)
    body = await request.body()
    order = decode(body, _Verify, "verify") if body else _Verify()
    if not request.headers.get("user-agent"):
        raise invalid("User-Agent", "User-Agent: The header is required.")
    _require_askable(user, factor)
    if emulator.prompts.phone(user).fault == "service_error":
        raise service_error()
    now = emulator.clock.now()
    prompt = Prompt(
        id=f"v2mst.{secrets.token_urlsafe(16)}",
        by="push",
        user=user.id,
        caller=caller(request).id,
        asked=now,
        expires=now + round(emulator.settings.push_lifetime * SECOND),
        factor=factor.id,
        number=10 + secrets.randbelow(90) if order.use_number_matching_challenge else None,
    )
    emulator.prompts.ask(prompt, user)
    return _waiting(request, user, factor, prompt)


@get(_TRANSACTION)
async def _poll(
    request: OktaRequest, user_id: FromPath[str], factor_id: FromPath[str], transaction_id: FromPath[str]
) -> dict[str, Any]:
    user, factor = _find(request, user_id, factor_id)
    prompt = _transaction(request, factor, transaction_id)
    prompt.polls.append(org(request).clock.now())
    if prompt.result == "WAITING":
        return _waiting(request, user, factor, prompt)
    if prompt.result == "REJECTED":
        url = f"{_user_url(request, user)}/factors/{factor.id}"
        links = {"verify": {"href": f"{url}/verify", "hints": {"allow": ["POST"]}}}
        profile = {"credentialId": user.login}
        return {"factorResult": "REJECTED", "profile": profile, "_links": links}
    return {"factorResult": prompt.result}


@delete(_TRANSACTION)
async def _cancel(
    request: OktaRequest, user_id: FromPath[str], factor_id: FromPath[str], transaction_id: FromPath[str]
) -> None:
    _, factor = _find(request, user_id, factor_id)
    org(request).prompts.cancel(_transaction(request, factor, transaction_id))


def _require_askable(user: EmulatedUser, factor: Factor) -> None:
    """Check that a push can be sent to this factor of the user. If not, raise an OktaApiError with Okta's
    answer."""
    if user.status == "LOCKED_OUT":
        raise OktaApiError(403, "E0000069", "User Locked")
    if user.status not in {"ACTIVE", "PASSWORD_EXPIRED", "RECOVERY"}:
        raise OktaApiError(423, "E0000155", "User is not currently active.")
    if factor.status != "ACTIVE":
        raise OktaApiError(410, "E0000154", "Invalid factor id, it is not currently active.")
    if factor.suspended:
        raise OktaApiError(423, "E0000180", "Factor id is currently not active.")
    if factor.type != PUSH:
        raise OktaApiError(403, "E0000068", "Invalid Passcode/Answer")


def _transaction(request: OktaRequest, factor: Factor, transaction_id: str) -> Prompt:
    prompt = org(request).prompts.find(transaction_id)
    if prompt is None or prompt.factor != factor.id:
        raise not_found(f"{transaction_id} (Transaction)")
    return prompt


def _waiting(request: OktaRequest, user: EmulatedUser, factor: Factor, prompt: Prompt) -> dict[str, Any]:
    url = f"{_user_url(request, user)}/factors/{factor.id}/transactions/{prompt.id}"
    answer = {
        "factorResult": "WAITING",
        "expiresAt": iso(prompt.expires, "milliseconds"),
        "_links": {
            "cancel": {"href": url, "hints": {"allow": ["DELETE"]}},
            "poll": {"href": url, "hints": {"allow": ["GET"]}},
        },
    }
    if prompt.number is not None:
        answer["_embedded"] = {"challenge": {"correctAnswer": prompt.number}}
    return answer


PUSH_ROUTES = (_list, _show, _verify, _poll, _cancel)
