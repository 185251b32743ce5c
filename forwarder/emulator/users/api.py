"""`/api/v1/users`: the caller only, whom Terraform's provider asks for to check its token."""

from typing import Any

from litestar import get
from litestar.params import FromPath

from forwarder.core.time import iso
from forwarder.emulator.http.errors import not_found
from forwarder.emulator.http.responses import OktaRequest, org


@get("/users/{user_id:str}")
async def get_user(request: OktaRequest, user_id: FromPath[str]) -> dict[str, Any]:
    """Return the admin who made the API token; an org has no other users."""
    emulator = org(request)
    admin_id, login = emulator.hooks.created_by, "admin@example.com"
    if user_id not in ("me", admin_id, login):
        raise not_found(f"{user_id} (User)")
    url = f"{emulator.settings.url}/api/v1/users/{admin_id}"
    started = iso(emulator.started, "milliseconds")
    profile = {"firstName": "Ada", "lastName": "Admin", "login": login, "email": login}
    return {
        "id": admin_id,
        "status": "ACTIVE",
        "created": started,
        "activated": started,
        "statusChanged": started,
        "lastLogin": started,
        "lastUpdated": started,
        "passwordChanged": started,
        "type": {"id": f"oty{admin_id[3:]}"},
        "profile": profile | {"mobilePhone": None, "secondEmail": None},
        "credentials": {"password": {}, "provider": {"type": "OKTA", "name": "OKTA"}},
        "_links": {"self": {"href": url}},
    }
