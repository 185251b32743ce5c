"""Okta's lists of roles and resource sets, read page by page."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from forwarder.core.errors import OktaError
from forwarder.okta.api.port import Response
from forwarder.setup.okta_role.groups import pages as group_pages
from forwarder.setup.okta_role.iam import Iam


class Pages:
    """An `Api` that answers GETs with these bodies."""

    def __init__(self, bodies: Mapping[str, Any]) -> None:
        self.bodies = bodies

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Response:
        assert (method, query, body) == ("GET", None, None)
        return Response(200, json.dumps(self.bodies[path]).encode(), {})

    async def close(self) -> None:
        """As `Api.close`."""


async def test_a_next_page_on_the_admin_host_is_read_from_the_host_of_the_org() -> None:
    """Recorded links of roles name it, as in `https://acme-admin.okta.com/api/v1/iam/roles/cr0…`."""
    after = "/api/v1/iam/roles?after=cr0a&limit=100"
    first = {"id": "cr0a", "label": "first", "description": ""}
    second = {"id": "cr0b", "label": "second", "description": "found"}
    pages = {
        "/api/v1/iam/roles": {"roles": [first], "_links": {"next": {"href": f"https://acme-admin.okta.com{after}"}}},
        after: {"roles": [second], "_links": {}},
    }
    role = await Iam(Pages(pages)).role("second")
    assert role is not None
    assert (role.id, role.description) == ("cr0b", "found")
    assert await Iam(Pages(pages)).role("third") is None


@pytest.mark.parametrize("body", [[], {"roles": {}}, {"roles": [1]}, None])
async def test_what_is_no_list_of_roles_names_the_setting_to_check(body: Any) -> None:
    with pytest.raises(OktaError, match=r"GET /api/v1/iam/roles; check the org's `url`, and whether a proxy"):
        await Iam(Pages({"/api/v1/iam/roles": body})).role("first")


@pytest.mark.parametrize("body", [{}, [1], None])
async def test_what_is_no_list_of_groups_names_the_setting_to_check(body: Any) -> None:
    with pytest.raises(OktaError, match=r"GET /api/v1/groups; check the org's `url`, and whether a proxy"):
        await group_pages(Pages({"/api/v1/groups": body}), "/api/v1/groups")
