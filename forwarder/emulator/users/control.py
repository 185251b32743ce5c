"""Serves `/emulator/users`, a path that Okta does not have: changes users without writing events."""

from typing import Any

import msgspec
from litestar import delete, post, put
from litestar.params import FromPath

from forwarder.emulator.http.errors import decode
from forwarder.emulator.http.responses import OktaRequest, org
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.emulator.users.factors import factor_of


class _FactorRequest(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    status: str = "ACTIVE"
    suspended: bool = False


class _UserRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /emulator/users` and `PUT /emulator/users/{id}`; absent fields change nothing.

    Attributes:
        status: one of Okta's statuses, such as SUSPENDED.
        roles: standard admin roles by Okta's names, such as HELP_DESK_ADMIN.
        groups: ids or names of groups. The user joins these groups, and leaves all other groups of type
            OKTA_GROUP.
        factors: all factors of the user: a type, such as `push` or `token:software:totp`, or an object with
            `type`, `status` and `suspended`.
    """

    login: str | None = None
    name: str | None = None
    status: str | None = None
    roles: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    factors: tuple[str | _FactorRequest, ...] | None = None
    sessions: int | None = None
    refresh_tokens: int | None = None


@post("/users", status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    requested = decode(await request.body(), _UserRequest, "user")
    emulator = org(request)
    user = emulator.users.create(requested.login or "", requested.name or "")
    everyone = emulator.groups.named("Everyone")
    everyone.members.add(user.id)
    return _apply(request, user, requested)


@put("/users/{user_id:str}")
async def _change(request: OktaRequest, user_id: FromPath[str]) -> dict[str, Any]:
    return _apply(request, org(request).users.find(user_id), decode(await request.body(), _UserRequest, "user"))


@delete("/users/{user_id:str}")
async def _delete(request: OktaRequest, user_id: FromPath[str]) -> None:
    emulator = org(request)
    user = emulator.users.find(user_id)
    emulator.users.delete(user)
    for group in emulator.groups.of(user):
        group.members.discard(user.id)


def _apply(request: OktaRequest, user: EmulatedUser, requested: _UserRequest) -> dict[str, Any]:
    emulator = org(request)
    groups = None if requested.groups is None else [emulator.groups.named(key) for key in requested.groups]
    if requested.status is not None:
        emulator.users.set_status(user, requested.status)
    for name in ("login", "name", "roles", "sessions", "refresh_tokens"):
        if (value := getattr(requested, name)) is not None:
            setattr(user, name, value)
    if requested.factors is not None:
        factors = [_FactorRequest(each) if isinstance(each, str) else each for each in requested.factors]
        user.factors = [factor_of(user.id, each.type, status=each.status, suspended=each.suspended) for each in factors]
    if groups is not None:
        for group in emulator.groups.all():
            if group.type == "OKTA_GROUP":
                group.members.discard(user.id)
        for group in groups:
            group.members.add(user.id)
    return msgspec.structs.asdict(user) | {"groups": [group.name for group in emulator.groups.of(user)]}


USER_CONTROL = (_create, _change, _delete)
