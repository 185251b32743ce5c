"""The users of the emulated org, as callers of Okta's API see and change them."""

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running

USERS = "/api/v1/users"


async def somebody(service: Service) -> dict[str, Any]:
    """A user who is no admin."""
    user = next(user for user in service.org.users.all() if not user.roles)
    shown: dict[str, Any] = (await service.client.get(f"{USERS}/{user.id}")).json()
    return shown


async def events(service: Service, event_type: str) -> list[dict[str, Any]]:
    found = (await service.client.get("/api/v1/logs")).json()
    return [event for event in found if event["eventType"] == event_type]


async def test_a_user_is_found_by_id_and_by_login_in_any_case() -> None:
    async with running() as service:
        user = await somebody(service)
        for key in (user["id"], user["profile"]["login"], user["profile"]["login"].upper()):
            assert (await service.client.get(f"{USERS}/{key}")).json() == user
        assert_error(await service.client.get(f"{USERS}/00unobody"), 404, "E0000007")


async def test_a_path_may_name_a_user_by_the_login_before_the_at_unless_several_have_it() -> None:
    async with running(ManualClock()) as service:
        for login in ("ada@corp.example", "Ben.Ray@corp.example", "ben.ray@other.example"):
            assert (await service.client.post("/emulator/users", json={"login": login})).status_code == 200
        found = await service.client.get("/api/v1/users/ADA")
        assert found.json()["profile"]["login"] == "ada@corp.example"
        assert (await service.client.post("/api/v1/users/ada/lifecycle/suspend")).status_code == 200
        assert_error(await service.client.get("/api/v1/users/ben.ray"), 404, "E0000007")


async def test_users_are_listed_in_pages_and_found_by_name_status_and_login() -> None:
    async with running() as service:
        answer = await service.client.get(USERS, params={"limit": 40})
        assert len(answer.json()) == 40
        more = await service.client.get(answer.links["next"]["url"])
        assert len(more.json()) == 21
        assert more.links["self"]["url"] == answer.links["next"]["url"]
        user = await somebody(service)
        login = user["profile"]["login"]
        for query in ({"q": login[:6].upper()}, {"filter": f'profile.login eq "{login}"'}):
            assert (await service.client.get(USERS, params=query)).json() == [user]
        suspended = {"search": 'status eq "SUSPENDED"'}
        assert (await service.client.get(USERS, params=suspended)).json() == []
        assert_error(await service.client.get(USERS, params={"filter": "x"}), 400, "E0000031")


async def test_found_users_are_sorted_as_the_caller_asks_and_only_in_a_search() -> None:
    async with running() as service:
        for login, name in (
            ("z@corp.example", "bea Ray"),
            ("y@corp.example", "Ann Ray"),
            ("x@corp.example", "Zoe Ray"),
        ):
            await service.client.post("/emulator/users", json={"login": login, "name": name})
        search = {"search": 'profile.lastName eq "Ray" and profile.login ew "corp.example"'}
        for order, names in (
            ({"sortBy": "profile.firstName"}, ["Ann", "bea", "Zoe"]),
            ({"sortBy": "profile.firstName", "sortOrder": "desc"}, ["Zoe", "bea", "Ann"]),
            ({"sortBy": "Profile.firstName", "sortOrder": "desc"}, ["Zoe", "bea", "Ann"]),  # as in a filter
            ({"sortBy": "profile.login", "sortOrder": "ASC"}, ["Zoe", "Ann", "bea"]),
            ({"sortOrder": "desc"}, ["bea", "Ann", "Zoe"]),
        ):
            found = (await service.client.get(USERS, params=search | order)).json()
            assert [user["profile"]["firstName"] for user in found] == names
        unsorted = (await service.client.get(USERS)).json()
        assert (await service.client.get(USERS, params={"sortBy": "profile.login"})).json() == unsorted
        wrong = search | {"sortBy": "profile.lastNmae"}
        assert_error(await service.client.get(USERS, params=wrong), 400, "E0000031")
        wrong = search | {"sortBy": "profile.login", "sortOrder": "up"}
        assert_error(await service.client.get(USERS, params=wrong), 400, "E0000001")


async def test_a_sorted_list_has_all_its_users_on_its_pages() -> None:
    async with running() as service:
        query = {"search": "profile.login pr", "sortBy": "profile.lastName", "limit": "7"}
        answer = await service.client.get(USERS, params=query)
        found = answer.json()
        while following := answer.links.get("next"):
            answer = await service.client.get(following["url"])
            found += answer.json()
        names = [user["profile"]["lastName"].lower() for user in found]
        assert names == sorted(names)
        assert len({user["id"] for user in found}) == len(found) == 61


@pytest.mark.parametrize("limit", ["abc", "-1", "0", "1.5", "²"])
@pytest.mark.parametrize("path", [USERS, "/api/v1/groups", "/api/v1/zones"])
async def test_a_limit_that_is_no_positive_number_is_refused(path: str, limit: str) -> None:
    async with running() as service:
        assert_error(await service.client.get(path, params={"limit": limit}), 400, "E0000001")


@pytest.mark.parametrize("path", [USERS, "/api/v1/groups", "/api/v1/zones"])
async def test_a_cursor_that_the_org_did_not_issue_is_refused(path: str) -> None:
    async with running() as service:
        for cursor in ("nope", "00unobody", "MTIz", "%"):
            assert_error(await service.client.get(path, params={"after": cursor}), 400, "E0000001")
        first = await service.client.get(path, params={"after": "", "limit": "2"})
        last = first.json()[-1]["id"]
        following = (await service.client.get(first.links["next"]["url"])).json()
        assert (await service.client.get(path, params={"after": last, "limit": "2"})).json() == following


async def test_no_user_is_left_out_if_the_last_one_of_a_page_is_deleted() -> None:
    async with running() as service:
        first = await service.client.get(USERS, params={"limit": "5"})
        for user in first.json()[1:]:
            await service.client.delete(f"/emulator/users/{user['id']}")
        rest = [user["id"] for user in (await service.client.get(USERS)).json()]
        following = (await service.client.get(first.links["next"]["url"])).json()
        assert rest[1] in [user["id"] for user in following]


async def test_a_lookup_by_name_shows_ten_users_unless_a_limit_says_otherwise() -> None:
    async with running() as service:
        assert len((await service.client.get(USERS, params={"q": "user"})).json()) == 10
        more = await service.client.get(USERS, params={"q": "user", "limit": "20"})
        assert len(more.json()) == 20


async def test_a_deprovisioned_user_is_listed_only_if_asked_for() -> None:
    async with running() as service:
        user = await somebody(service)
        path = f"/emulator/users/{user['id']}"
        await service.client.put(path, json={"status": "DEPROVISIONED"})
        login = user["profile"]["login"]
        for query in ({}, {"q": login}):
            found = (await service.client.get(USERS, params=query)).json()
            assert user["id"] not in [each["id"] for each in found]
        for query in ({"filter": 'status eq "DEPROVISIONED"'}, {"search": f'profile.login eq "{login}"'}):
            found = (await service.client.get(USERS, params=query)).json()
            assert [each["id"] for each in found] == [user["id"]]


async def test_a_suspended_user_has_no_session_and_can_only_be_unsuspended() -> None:
    async with running() as service:
        user = await somebody(service)
        path = f"{USERS}/{user['id']}/lifecycle"
        assert_error(await service.client.post(f"{path}/unsuspend"), 400, "E0000001")
        answer = await service.client.post(f"{path}/suspend")
        assert (answer.status_code, answer.json()) == (200, {})
        seen = service.org.users.find(user["id"])
        assert (seen.status, seen.sessions) == ("SUSPENDED", 0)
        assert_error(await service.client.post(f"{path}/suspend"), 400, "E0000001")
        assert (await service.client.post(f"{path}/unsuspend")).status_code == 200
        assert seen.status == "ACTIVE"
        assert_error(await service.client.post(f"{path}/deactivate"), 404, "E0000007")


async def test_an_expired_password_shows_in_the_status_and_leaves_the_sessions() -> None:
    async with running() as service:
        user = await somebody(service)
        answer = await service.client.post(f"{USERS}/{user['id']}/lifecycle/expire_password")
        assert answer.json()["status"] == "PASSWORD_EXPIRED"
        assert service.org.users.find(user["id"]).sessions == 1


@pytest.mark.parametrize(("query", "left"), [("", 1), ("?oauthTokens=true", 0), ("?oauthTokens=false", 1)])
async def test_sessions_end_and_tokens_only_if_asked(query: str, left: int) -> None:
    async with running() as service:
        user = await somebody(service)
        for _ in range(2):  # repeating it changes nothing
            answer = await service.client.delete(f"{USERS}/{user['id']}/sessions{query}")
            assert (answer.status_code, answer.content) == (204, b"")
        seen = service.org.users.find(user["id"])
        assert (seen.sessions, seen.refresh_tokens) == (0, left)


async def test_everything_can_be_revoked_at_once() -> None:
    async with running() as service:
        user = await somebody(service)
        body = {"sub_id": {"format": "opaque", "id": user["id"]}}
        answer = await service.client.post("/oauth2/v1/global-token-revocation", json=body)
        assert answer.status_code == 204
        assert service.org.users.find(user["id"]).refresh_tokens == 0
        assert len(await events(service, "user.authentication.universal_logout")) == 1


async def test_the_risk_is_new_once_and_its_reason_has_a_small_alphabet() -> None:
    async with running() as service:
        path = f"{USERS}/{(await somebody(service))['id']}/risk"
        before = (await service.client.get(path)).json()
        assert (before["riskLevel"], "reason" in before) == ("NONE", False)
        body = {"riskLevel": "HIGH", "riskReason": "Sign-in from Lagos, 14.02"}
        assert (await service.client.put(path, json=body)).status_code == 201
        assert (await service.client.put(path, json={"riskLevel": "LOW"})).status_code == 200
        assert (await service.client.get(path)).json()["reason"] == "Admin override risk"
        for wrong in ({"riskLevel": "NONE"}, {}, body | {"riskReason": "at 14:02"}, body | {"riskReason": "x" * 501}):
            assert_error(await service.client.put(path, json=wrong), 400, "E0000001")


async def test_a_change_is_an_event_of_the_org_whose_actor_is_the_caller() -> None:
    async with running() as service:
        user = await somebody(service)
        await service.client.delete(f"{USERS}/{user['id']}/sessions")
        (event,) = await events(service, "user.session.clear")
        assert event["actor"]["id"] == service.org.users.owner.id
        assert event["transaction"]["detail"]["requestApiTokenId"].startswith("00T")
        assert [target["id"] for target in event["target"]] == [user["id"]]
        assert event["uuid"] in service.org.ledger().events


async def test_every_changing_call_is_recorded_in_order_with_what_became_of_it() -> None:
    async with running() as service:
        user = await somebody(service)
        path = f"{USERS}/{user['id']}/lifecycle/suspend"
        await service.client.get(f"{USERS}/me")
        for _ in range(2):
            await service.client.post(path)
        await service.client.delete(
            f"{USERS}/{user['id']}/sessions?oauthTokens=true", headers={"Authorization": "SSWS x"}
        )
        calls = (await service.client.get("/emulator/calls")).json()
        shown = [(call["method"], call["path"], call["status"], call["effect"]) for call in calls]
        assert shown == [
            ("POST", path, 200, True),
            ("POST", path, 400, False),
            ("DELETE", f"{USERS}/{user['id']}/sessions?oauthTokens=true", 401, False),
        ]
        assert [call["caller"] for call in calls] == [service.org.users.owner.id] * 2 + [""]


async def test_a_repetition_that_changes_nothing_has_no_effect() -> None:
    async with running() as service:
        user, group = await somebody(service), service.org.groups.named("Contractors")
        member = f"/api/v1/groups/{group.id}/users/{user['id']}"
        gateways = [{"type": "CIDR", "value": "192.0.2.0/24"}]
        body = {"type": "IP", "name": "blocked", "usage": "BLOCKLIST", "gateways": gateways}
        zone = (await service.client.post("/api/v1/zones", json=body)).json()["id"]
        for method, path, order in (
            ("DELETE", f"{USERS}/{user['id']}/sessions?oauthTokens=true", None),
            ("POST", f"{USERS}/{user['id']}/lifecycle/expire_password", None),
            ("PUT", f"{USERS}/{user['id']}/risk", {"riskLevel": "HIGH"}),
            ("PUT", member, None),
            ("DELETE", member, None),
            ("PUT", f"/api/v1/zones/{zone}", body | {"gateways": []}),
            ("POST", f"/api/v1/zones/{zone}/lifecycle/deactivate", None),
        ):
            for _ in range(2):
                await service.client.request(method, path, json=order)
            first, second = service.org.calls[-2:]
            assert (first.effect, second.effect) == (True, False), path
            assert max(first.status, second.status) < 300


@pytest.mark.parametrize(
    ("fault", "status", "suspended"),
    [("rate_limited", 429, False), ("error_before", 503, False), ("error_after", 503, True)],
)
async def test_a_fault_is_before_or_after_the_effect(fault: str, status: int, *, suspended: bool) -> None:
    async with running() as service:
        user = await somebody(service)
        await service.client.put("/emulator/faults", json={"changes": {fault: 1.0}})
        answer = await service.client.post(f"{USERS}/{user['id']}/lifecycle/suspend")
        assert answer.status_code == status
        assert (service.org.users.find(user["id"]).status == "SUSPENDED") is suspended
        assert [(call.status, call.effect) for call in service.org.calls] == [(status, suspended)]


async def test_the_state_shows_users_groups_and_zones() -> None:
    async with running() as service:
        state = (await service.client.get("/emulator/state")).json()
        assert len(state["users"]) == 61
        assert {group["name"] for group in state["groups"]} >= {"Everyone", "Contractors"}
        assert all(zone["system"] for zone in state["zones"])


@pytest.mark.parametrize(("fault", "status"), [("rate_limited", 429), ("error_before", 503)])
async def test_faults_of_reads_may_hit_one_path_only(fault: str, status: int) -> None:
    async with running() as service:
        user = await somebody(service)
        faults = {"reads": {fault: 1.0, "only": "/roles"}}
        assert (await service.client.put("/emulator/faults", json=faults)).status_code == 200
        path = f"{USERS}/{user['id']}"
        assert (await service.client.get(f"{path}/roles")).status_code == status
        assert (await service.client.get(path)).status_code == 200
        assert (await service.client.delete(f"{path}/sessions")).status_code == 204
        assert (await service.client.get("/api/v1/logs")).status_code == 200


async def test_a_delayed_call_takes_effect_after_the_delay() -> None:
    clock = ManualClock()
    async with running(clock) as service:
        user = await somebody(service)
        await service.client.put("/emulator/faults", json={"changes": {"delay": "20s"}})
        call = asyncio.create_task(service.client.post(f"{USERS}/{user['id']}/lifecycle/suspend"))
        async with asyncio.timeout(10):
            await clock.asleep()
        assert service.org.users.find(user["id"]).status == "ACTIVE"
        await clock.advance(20)
        assert (await call).status_code == 200
        assert service.org.users.find(user["id"]).status == "SUSPENDED"
