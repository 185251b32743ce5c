"""CIBA of the emulated org: whom it asks, how it is polled, and each error in Okta's words."""

import base64
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from forwarder.emulator.users.directory import EmulatedUser
from tests.fakes.clock import ManualClock
from tests.integration.emulator.helpers import Service, assert_error, running

APP, SECRET_APP, SERVICE_APP, PLAIN_APP = "0oaciba", "0oasecret", "0oaservice", "0oaplain"
SIGNING_APP = "0oasigning"
SECRET = "the secret of the app"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
CLIENTS = {
    APP: {"keys": [PUBLIC.decode()], "ciba": True},
    SIGNING_APP: {"keys": [PUBLIC.decode()], "ciba": True, "request_alg": "ES256"},
    SECRET_APP: {"secret": SECRET, "ciba": True},
    PLAIN_APP: {"secret": SECRET},
    SERVICE_APP: {"keys": [PUBLIC.decode()]},
}
GRANT = "urn:openid:params:grant-type:ciba"
EXPIRED = (400, "expired_token", "The 'auth_req_id' is invalid or has expired. Make a new authentication request.")
PENDING = (
    400,
    "authorization_pending",
    "The authorization request is still pending as the user hasn't yet been authenticated.",
)
SLOW_DOWN = (400, "slow_down", "Slow down the polling frequency. Try again later.")


@dataclass
class App:
    """An app that asks by CIBA; each assertion is new and names the endpoint that it is for."""

    service: Service
    clock: ManualClock
    server: str = "/default"
    client_id: str = APP
    number: list[int] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.service.org.settings.url}/oauth2{self.server}/v1/{path}"

    async def post(self, path: str, form: dict[str, str], audience: str = "") -> httpx.Response:
        self.number.append(0)
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience or self.url(path),
            "exp": self.clock.now() // 1_000_000 + 60,
            "jti": str(len(self.number)),
        }
        proof = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, KEY, "ES256"),
        }
        return await plain(self.service, self.url(path), form | proof)

    async def ask(self, user: EmulatedUser, **changes: str) -> httpx.Response:
        form = {"scope": "openid", "login_hint": user.login} | changes
        return await self.post("bc/authorize", {key: value for key, value in form.items() if value})

    async def poll(self, auth_req_id: str) -> httpx.Response:
        return await self.post("token", {"grant_type": GRANT, "auth_req_id": auth_req_id})


async def plain(service: Service, url: str, form: dict[str, str], **headers: str) -> httpx.Response:
    """A call without the token of the service's own client."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(url, data=form, headers=headers)


def somebody(service: Service) -> EmulatedUser:
    return next(user for user in service.org.users.all() if not user.roles)


def refused(answer: httpx.Response, status: int, error: str, description: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {"error": error, "error_description": description})


async def answers(service: Service, **order: Any) -> None:
    assert (await service.client.post("/emulator/answers", json=order)).status_code == 200


@pytest.mark.long
@pytest.mark.parametrize("server", ["", "/default"])
async def test_an_approval_is_redeemed_once_for_a_signed_id_token(server: str) -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock, server), somebody(service)
        await answers(service, user=user.id, answer="approve", after="6s")
        asked = (await app.ask(user, binding_message="Sign-in from Lagos. Code 4K7Q")).json()
        assert (asked["expires_in"], asked["interval"]) == (300, 5)
        await clock.advance(5)
        refused(await app.poll(asked["auth_req_id"]), *PENDING)
        await clock.advance(5)
        tokens = (await app.poll(asked["auth_req_id"])).json()
        assert tokens.keys() == {"access_token", "id_token", "token_type", "expires_in", "scope"}
        issuer = service.org.settings.url + (f"/oauth2{server}" if server else "")
        metadata = (await service.client.get(f"{issuer}/.well-known/openid-configuration")).json()
        assert metadata["issuer"] == issuer
        assert metadata["backchannel_authentication_endpoint"] == app.url("bc/authorize")
        keys = jwt.PyJWKSet.from_dict((await service.client.get(metadata["jwks_uri"])).json())
        key = keys[jwt.get_unverified_header(tokens["id_token"])["kid"]]
        claims = jwt.decode(
            tokens["id_token"], key, ["RS256"], audience=APP, issuer=issuer, options={"verify_exp": False}
        )
        assert (claims["sub"], claims["iat"]) == (user.id, 1_767_268_810)
        await clock.advance(10)
        refused(await app.poll(asked["auth_req_id"]), *EXPIRED)
        (prompt,) = service.org.prompts.all()
        assert (prompt.message, prompt.early) == ("Sign-in from Lagos. Code 4K7Q", 0)


async def test_a_denial_is_403_and_its_event_is_the_users() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        await answers(service, user=user.id, answer="deny")
        asked = (await app.ask(user)).json()
        await clock.advance(5)
        reason = "The resource owner or authorization server denied the request."
        refused(await app.poll(asked["auth_req_id"]), 403, "access_denied", reason)
        events = (await service.client.get("/api/v1/logs")).json()
        shown = [(event["eventType"], event["actor"]["id"], event["outcome"]["reason"]) for event in events]
        assert shown == [
            ("device.custom_push.send_notification", user.id, None),
            ("user.authentication.auth_via_mfa", user.id, "INVALID_CREDENTIALS"),
        ]


async def test_tokens_are_events_of_the_app() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        await answers(service, answer="approve")
        asked = (await app.ask(user)).json()
        await clock.advance(5)
        assert (await app.poll(asked["auth_req_id"])).status_code == 200
        events = (await service.client.get("/api/v1/logs")).json()
        granted = [event for event in events if event["eventType"].startswith("app.oauth2.as.token.grant")]
        assert {event["actor"]["id"] for event in granted} == {APP}
        assert len(granted) == 2


async def test_a_poll_that_is_early_must_slow_down_for_good() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app = App(service, clock)
        asked = (await app.ask(somebody(service))).json()
        await clock.advance(4)
        refused(await app.poll(asked["auth_req_id"]), *SLOW_DOWN)
        await clock.advance(5)
        refused(await app.poll(asked["auth_req_id"]), *SLOW_DOWN)
        await clock.advance(15)
        refused(await app.poll(asked["auth_req_id"]), *PENDING)
        refused(await app.poll(asked["auth_req_id"]), *SLOW_DOWN)
        assert service.org.prompts.all()[0].early == 3


async def test_slow_down_may_come_to_a_poll_in_time() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        await answers(service, user=user.id, fault="slow_down")
        asked = (await app.ask(user)).json()
        await clock.advance(5)
        refused(await app.poll(asked["auth_req_id"]), *SLOW_DOWN)
        await clock.advance(10)
        refused(await app.poll(asked["auth_req_id"]), *PENDING)
        assert service.org.prompts.all()[0].early == 0


@pytest.mark.parametrize(("fault", "expiry", "wait"), [("", "20", 20), ("expired", "", 5)])
async def test_without_an_answer_the_request_expires(fault: str, expiry: str, wait: int) -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        await answers(service, user=user.id, fault=fault)
        asked = (await app.ask(user, request_expiry=expiry)).json()
        assert asked["expires_in"] == int(expiry or 300)
        await clock.advance(wait)
        refused(await app.poll(asked["auth_req_id"]), *EXPIRED)


@pytest.mark.parametrize(
    ("fault", "status", "error", "description"),
    [
        (
            "unassigned",
            400,
            "invalid_request",
            "The hint provided in the request did not match a user assigned to the client app.",
        ),
        (
            "mfa_start_failed",
            400,
            "access_denied",
            "Failed to initiate the MFA challenge for the Client-Initiated Backchannel Authentication flow.",
        ),
    ],
)
async def test_a_user_that_cannot_be_asked_is_told_in_okta_s_words(
    fault: str, status: int, error: str, description: str
) -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        await answers(service, user=user.id, fault=fault)
        refused(await app.ask(user), status, error, description)
        assert service.org.prompts.all() == ()


async def test_a_user_without_an_enrolment_is_refused_in_the_other_form_of_errors() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        await answers(service, user=user.id, fault="not_enrolled")
        error = assert_error(await app.ask(user), 400, "E0000214")
        summary = "User has no custom authenticator enrollments that have CIBA as a transactionType"
        assert error["errorSummary"] == summary


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"login_hint": "nobody@example.com"}, "invalid_request"),
        ({"login_hint": ""}, "invalid_request"),
        ({"id_token_hint": "x.y.z"}, "invalid_request"),
        ({"login_hint": "", "id_token_hint": "x.y.z"}, "invalid_request"),
        ({"request_expiry": "301"}, "invalid_request"),
        ({"request_expiry": "soon"}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
    ],
)
async def test_a_request_that_breaks_a_rule_asks_nobody(changes: dict[str, str], error: str) -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        answer = await App(service, clock).ask(somebody(service), **changes)
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert service.org.prompts.all() == ()


def signed(service: Service, clock: ManualClock, user: EmulatedUser, **changes: Any) -> str:
    claims = {
        "iss": SIGNING_APP,
        "aud": f"{service.org.settings.url}/oauth2/default",
        "exp": clock.now() // 1_000_000 + 60,
        "jti": "r1",
        "scope": "openid",
        "login_hint": user.login,
        "binding_message": "Code 4K7Q",
    }
    key = changes.pop("key", KEY)
    return jwt.encode({name: value for name, value in (claims | changes).items() if value is not None}, key, "ES256")


async def test_a_signed_request_holds_everything_and_works_once() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock, client_id=SIGNING_APP), somebody(service)
        request = signed(service, clock, user)
        assert (await app.post("bc/authorize", {"request": request})).status_code == 200
        assert service.org.prompts.all()[0].message == "Code 4K7Q"
        refused(
            await app.post("bc/authorize", {"request": request}),
            400,
            "invalid_request_object",
            "The request object has already been used.",
        )
        assert "request=" not in service.org.calls[0].body


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"aud": "https://elsewhere.example"}, 400, "invalid_request_object"),
        ({"exp": 1}, 400, "invalid_request_object"),
        ({"exp": 1_767_268_800 + 7200}, 400, "invalid_request_object"),
        ({"jti": None}, 400, "invalid_request_object"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, 400, "invalid_request_object"),
        ({"iss": APP}, 401, "invalid_client"),
        ({"scope": "profile"}, 400, "invalid_scope"),
    ],
)
async def test_a_signed_request_that_does_not_hold_asks_nobody(
    changes: dict[str, Any], status: int, error: str
) -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock, client_id=SIGNING_APP), somebody(service)
        answer = await app.post("bc/authorize", {"request": signed(service, clock, user, **changes)})
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert service.org.prompts.all() == ()


async def test_only_an_app_with_an_algorithm_may_sign_its_request() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        for client_id, request, error in (
            (APP, signed(service, clock, user), "invalid_client"),
            (SIGNING_APP, "x.y.z", "invalid_request_object"),
        ):
            app.client_id = client_id
            answer = await app.post("bc/authorize", {"request": request})
            assert answer.json()["error"] == error


async def test_an_app_proves_who_it_is_by_key_or_secret() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        user = somebody(service)
        url = f"{service.org.settings.url}/oauth2/v1/bc/authorize"
        form = {"scope": "openid", "login_hint": user.login}
        basic = base64.b64encode(f"{SECRET_APP}:{SECRET}".encode()).decode()
        by_post = form | {"client_id": SECRET_APP, "client_secret": SECRET}
        assert (await plain(service, url, form, Authorization=f"Basic {basic}")).status_code == 200
        assert (await plain(service, url, by_post)).status_code == 200
        wrong = base64.b64encode(f"{SECRET_APP}:x".encode()).decode()
        for answer in (
            await plain(service, url, form),
            await plain(service, url, form, Authorization=f"Basic {wrong}"),
            await plain(service, url, form, Authorization="Bearer x"),
            await plain(service, url, by_post | {"client_id": APP}),
            await App(service, clock).post("bc/authorize", form, audience=service.org.settings.url),
        ):
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_an_app_without_the_grant_and_a_service_app_ask_nobody() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        user = somebody(service)
        url = f"{service.org.settings.url}/oauth2/v1/bc/authorize"
        form = {"scope": "openid", "login_hint": user.login, "client_id": PLAIN_APP, "client_secret": SECRET}
        reason = "The client doesn't have the 'urn:openid:params:grant-type:ciba' grant type configured."
        refused(await plain(service, url, form), 401, "invalid_client", reason)
        answer = await App(service, clock, client_id=SERVICE_APP).ask(user)
        web = "The Client-Initiated Backchannel Authentication flow currently only supports web applications."
        refused(answer, 400, "access_denied", web)


@pytest.mark.long
async def test_an_auth_req_id_is_worth_nothing_to_another_app_or_server() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app = App(service, clock)
        await answers(service, answer="approve")
        asked = (await app.ask(somebody(service))).json()
        await clock.advance(5)
        refused(await App(service, clock, "", number=[0] * 9).poll(asked["auth_req_id"]), *EXPIRED)
        form = {"grant_type": GRANT, "auth_req_id": asked["auth_req_id"]}
        other = {"client_id": SECRET_APP, "client_secret": SECRET}
        refused(await plain(service, app.url("token"), form | other), *EXPIRED)
        assert (await app.poll(asked["auth_req_id"])).status_code == 200
        assert_error(await App(service, clock, "/ausnone").ask(somebody(service)), 404, "E0000007")


async def test_the_record_of_calls_holds_no_secret() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app, user = App(service, clock), somebody(service)
        asked = (await app.ask(user)).json()
        await clock.advance(5)
        await app.poll(asked["auth_req_id"])
        form = {"scope": "openid", "login_hint": user.login, "client_id": SECRET_APP, "client_secret": SECRET}
        await plain(service, app.url("bc/authorize"), form)
        calls = (await service.client.get("/emulator/calls")).json()
        assert [(call["path"], call["caller"], call["status"], call["effect"]) for call in calls] == [
            ("/oauth2/default/v1/bc/authorize", APP, 200, True),
            ("/oauth2/default/v1/token", APP, 400, False),
            ("/oauth2/default/v1/bc/authorize", SECRET_APP, 200, True),
        ]
        assert "login_hint=" in calls[0]["body"]
        text = str(calls)
        assert "client_assertion=" not in text
        assert "the+secret" not in text


@pytest.mark.long
async def test_a_lost_answer_to_the_last_poll_spends_the_request() -> None:
    clock = ManualClock()
    async with running(clock, clients=CLIENTS) as service:
        app = App(service, clock)
        await answers(service, answer="approve")
        asked = (await app.ask(somebody(service))).json()
        await clock.advance(5)
        await service.client.put("/emulator/faults", json={"polls": {"error_after": 1.0}})
        assert (await app.poll(asked["auth_req_id"])).status_code == 503
        await service.client.put("/emulator/faults", json={})
        await clock.advance(10)
        refused(await app.poll(asked["auth_req_id"]), *EXPIRED)
