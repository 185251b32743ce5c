"""Okta's own client reads back from the emulated org what reactions write: groups, zones, risk, factors, providers, roles."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from okta.client import Client
from okta.models.create_group_rule_request import CreateGroupRuleRequest
from okta.models.create_iam_role_request import CreateIamRoleRequest
from okta.models.create_resource_set_request import CreateResourceSetRequest
from okta.models.ip_network_zone import IPNetworkZone
from okta.models.security_events_provider_request import SecurityEventsProviderRequest
from okta.models.user_factor_push import UserFactorPush
from okta.models.user_risk_request import UserRiskRequest

from forwarder.emulator.emulator import Emulator
from forwarder.emulator.prompts.prompts import Phone
from forwarder.emulator.users.directory import EmulatedUser
from tests.fakes.clock import ManualClock
from tests.fakes.okta_org import TOKEN, okta_org


@pytest.fixture(autouse=True)
def _plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_TESTING_TESTINGDISABLEHTTPSCHECK", "true")


@pytest.fixture
async def org() -> AsyncIterator[Emulator]:
    async with okta_org() as served:
        yield served


@pytest.fixture
def okta(org: Emulator) -> Any:
    return Client({"orgUrl": org.settings.url, "token": TOKEN, "rateLimit": {"maxRetries": 0}})


@pytest.fixture
def user(org: Emulator) -> EmulatedUser:
    return next(user for user in org.users.all() if not user.roles)


def taken(answer: tuple[Any, ...]) -> Any:
    """What the client gives, which must be no error."""
    assert answer[-1] is None, answer[-1]
    return answer[0]


async def test_the_client_moves_a_user_into_a_group_and_out_again(okta: Any, org: Emulator, user: EmulatedUser) -> None:
    group = org.groups.named("Contractors")
    group.apps, group.roles = ("Payroll",), ("USER_ADMIN",)
    taken(await okta.assign_user_to_group(group.id, user.id))
    assert [each.id for each in taken(await okta.list_group_users(group.id))] == [user.id]
    assert taken(await okta.get_group(group.id)).type == "OKTA_GROUP"
    assert [each.label for each in taken(await okta.list_assigned_applications_for_group(group.id))] == ["Payroll"]
    (role,) = taken(await okta.list_assigned_roles_for_user(user.id))
    assert (role.actual_instance.type, role.actual_instance.assignment_type) == ("USER_ADMIN", "GROUP")
    taken(await okta.unassign_user_from_group(group.id, user.id))
    assert taken(await okta.list_group_users(group.id)) == []


async def test_the_client_reads_group_rules(okta: Any, org: Emulator) -> None:
    rule = {
        "type": "group_rule",
        "name": "sales",
        "conditions": {"expression": {"value": "true", "type": "urn:okta:expression:1.0"}},
        "actions": {"assignUserToGroups": {"groupIds": [org.groups.named("Sales").id]}},
    }
    made = taken(await okta.create_group_rule(CreateGroupRuleRequest.from_dict(rule)))
    (shown,) = taken(await okta.list_group_rules())
    assert (shown.id, shown.status) == (made.id, "INACTIVE")


async def test_the_client_suspends_a_user_and_sees_when(okta: Any, user: EmulatedUser) -> None:
    taken(await okta.suspend_user(user.id))
    shown = taken(await okta.get_user(user.login))
    assert (shown.status, shown.status_changed > shown.created) == ("SUSPENDED", True)


async def test_the_client_reads_every_zone_that_an_org_has_at_first_and_keeps_a_blocklist(okta: Any) -> None:
    zones = taken(await okta.list_network_zones())
    assert [(zone.name, zone.system) for zone in zones] == [
        ("LegacyIpZone", True),
        ("BlockedIpZone", True),
        ("DefaultEnhancedDynamicZone", True),
        ("DefaultExemptIpZone", True),
    ]
    body = {"type": "IP", "name": "forwarder-blocklist", "usage": "BLOCKLIST", "gateways": _gateways(4)}
    made = taken(await okta.create_network_zone(IPNetworkZone.from_dict(body)))
    more = IPNetworkZone.from_dict(body | {"gateways": _gateways(4, 5)})
    taken(await okta.replace_network_zone(made.id, more))
    shown = taken(await okta.get_network_zone(made.id))
    assert [gateway.value for gateway in shown.gateways] == ["198.51.100.4/32", "198.51.100.5/32"]
    taken(await okta.deactivate_network_zone(made.id))
    taken(await okta.delete_network_zone(made.id))


async def test_the_client_reads_a_risk(okta: Any, user: EmulatedUser) -> None:
    assert taken(await okta.get_user_risk(user.id)).risk_level == "NONE"
    taken(await okta.upsert_user_risk(user.id, UserRiskRequest.from_dict({"riskLevel": "HIGH"})))
    shown = taken(await okta.get_user_risk(user.id))
    assert (shown.risk_level, shown.reason) == ("HIGH", "Admin override risk")


async def test_the_client_registers_a_provider_of_security_events(okta: Any) -> None:
    settings = {"issuer": "https://fw.example", "jwks_url": "https://fw.example/.well-known/jwks.json"}
    body = {"name": "forwarder", "type": "okta-forwarder", "settings": settings}
    made = taken(await okta.create_security_events_provider_instance(SecurityEventsProviderRequest.from_dict(body)))
    assert taken(await okta.get_security_events_provider_instance(made.id)).settings.issuer == settings["issuer"]
    taken(await okta.deactivate_security_events_provider_instance(made.id))
    (shown,) = taken(await okta.list_security_events_provider_instances())
    assert (shown.id, shown.status) == (made.id, "INACTIVE")
    taken(await okta.delete_security_events_provider_instance(made.id))


async def test_the_client_asks_a_factor_and_polls_its_answer() -> None:
    clock = ManualClock()
    async with okta_org(clock) as org:
        okta: Any = Client({"orgUrl": org.settings.url, "token": TOKEN, "rateLimit": {"maxRetries": 0}})
        user = org.users.all()[-1]
        org.prompts.set_phone(user, Phone("deny", 2.0))
        push, codes = taken(await okta.list_factors(user.id))
        assert isinstance(push, UserFactorPush)
        assert codes.factor_type == "token:software:totp"
        sent = taken(await okta.verify_factor(user.id, push.id))
        assert sent.factor_result == "WAITING"
        (prompt,) = org.prompts.all()
        for result in ("WAITING", "REJECTED"):
            shown = taken(await okta.get_factor_transaction_status(user.id, push.id, prompt.id))
            assert shown.factor_result == result
            await clock.advance(2)


async def test_the_client_makes_a_role_on_a_resource_set(okta: Any, org: Emulator) -> None:
    role = {"label": "Forwarder", "description": "reactions", "permissions": ["okta.users.read"]}
    made = taken(await okta.create_role(CreateIamRoleRequest.from_dict(role)))
    users = f"{org.settings.url}/api/v1/users"
    found = {"label": "Staff", "description": "no admins", "resources": [users]}
    resources = taken(await okta.create_resource_set(CreateResourceSetRequest.from_dict(found)))
    assert [each.id for each in taken(await okta.list_roles()).roles] == [made.id]
    (shown,) = taken(await okta.list_resource_set_resources(resources.id)).resources
    assert shown.orn.endswith(":users")
    (permission,) = taken(await okta.list_role_permissions(made.id)).permissions
    assert permission.label == "okta.users.read"


def _gateways(*hosts: int) -> list[dict[str, str]]:
    return [{"type": "CIDR", "value": f"198.51.100.{host}/32"} for host in hosts]
