"""The error texts of the API client, and that no log line or text contains a secret."""

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError

from forwarder.clock import SystemClock
from forwarder.config.types import Secret
from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.okta.api.client import OktaClient
from forwarder.okta.api.errors import NoResponseError
from forwarder.okta.settings import ApiSettings
from tests.fakes.okta_client import HOOKS, LOGS, app_client, clock_of, key_pair, passing, token_client
from tests.fakes.okta_server import ACCESS_TOKEN, CLIENT_ID, TOKEN, OktaServer, Reply, oauth_refusal, refusal

KEY, PUBLIC = key_pair()
FORBIDDEN = refusal(403, "E0000006", "You do not have permission to perform the requested action")


@pytest.fixture
async def server() -> AsyncIterator[OktaServer]:
    async with OktaServer(public_key=PUBLIC, dpop=False, otherwise=FORBIDDEN) as server:
        yield server


@pytest.fixture
async def by_token(server: OktaServer) -> AsyncIterator[OktaClient]:
    client = token_client(server)
    yield client
    await client.close()


@pytest.fixture
async def by_app(server: OktaServer) -> AsyncIterator[OktaClient]:
    client = app_client(server, KEY, dpop=False)
    yield client
    await client.close()


async def told(client: OktaClient, method: str, path: str) -> str:
    with pytest.raises(OktaRefusedError) as caught:
        await client.call(method, path)
    assert (caught.value.status, caught.value.code) == (403, "E0000006")
    return str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "path", "scope", "permission"),
    [
        ("GET", HOOKS, "okta.eventHooks.read", "okta.eventhooks.read"),
        ("POST", HOOKS, "okta.eventHooks.manage", "okta.eventhooks.manage"),
        ("DELETE", f"{HOOKS}/who1", "okta.eventHooks.manage", "okta.eventhooks.manage"),
        ("GET", LOGS, "okta.logs.read", "view the System Log"),
    ],
)
async def test_a_missing_permission_is_named_with_its_scope(
    by_app: OktaClient, by_token: OktaClient, method: str, path: str, scope: str, permission: str
) -> None:
    of_app = await told(by_app, method, path)
    assert f"Okta refuses {method} http://127.0.0.1:" in of_app
    assert f"{path} (403 E0000006: You do not have permission" in of_app
    assert f"The scope is {scope}: grant it under Applications" in of_app
    assert permission in of_app
    of_token = await told(by_token, method, path)
    assert "The user who created the API token needs" in of_token
    assert scope in of_token
    assert permission in of_token


@pytest.mark.long
async def test_the_roles_that_may_read_the_log_are_named(by_app: OktaClient) -> None:
    text = await told(by_app, "GET", LOGS)
    assert "Report Administrator" in text
    assert "Read-only Administrator" in text


@pytest.mark.long
async def test_an_unknown_endpoint_gets_no_guessed_permission(by_app: OktaClient, by_token: OktaClient) -> None:
    assert "lacks a scope" in await told(by_app, "GET", "/api/v1/users")
    assert "lacks a permission" in await told(by_token, "GET", "/api/v1/users")


async def test_a_revoked_token_is_an_error_with_a_hint_after_one_call(server: OktaServer) -> None:
    server.token = "another"
    client = token_client(server)
    with pytest.raises(OktaRefusedError, match=r"401 E0000011.*Security > API > Tokens.*`api\.token`"):
        await client.call("GET", LOGS)
    assert len(server.calls) == 1
    await client.close()


async def test_a_token_that_was_replaced_in_its_file_is_used_without_a_restart(
    server: OktaServer, tmp_path: Path
) -> None:
    server.otherwise = Reply()
    file = tmp_path / "token"
    file.write_text(TOKEN)
    client = token_client(server, token=Secret.read({"file": str(file)}))
    await client.call("GET", LOGS)
    server.token = "00rotated-token"
    file.write_text("00rotated-token\n")
    assert (await client.call("GET", LOGS)).status == 200
    file.unlink()
    server.token = "00rotated-again"
    with pytest.raises(OktaRefusedError, match="401"):
        await client.call("GET", LOGS)
    await client.close()


class _Everything(logging.Handler):
    """Keeps the records of all loggers, at any level, with their tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter("%(name)s %(message)s").format(record))


@pytest.mark.long
async def test_no_error_log_line_or_repr_contains_a_secret(server: OktaServer) -> None:
    handler, lines = _Everything(), list[str]()
    logging.root.addHandler(handler)
    level = logging.root.level
    logging.root.setLevel(logging.DEBUG)
    server.otherwise = Reply()
    try:
        with structlog.testing.capture_logs() as events:
            for client, known in ((token_client(server), TOKEN), (app_client(server, KEY), KEY)):
                told_us = f"{known} SSWS {TOKEN} {ACCESS_TOKEN}1"
                lines += [repr(client), str(client), repr(vars(client))]
                await client.call("GET", LOGS)
                # A server that tells us our own words.
                server.answers.extend([refusal(400, told_us, told_us), Reply(hang_up=True), Reply(503)])
                for _ in range(2):
                    try:
                        await passing(clock_of(server), client.call("GET", LOGS))
                    except OktaError as error:
                        lines += [repr(error), *traceback.format_exception(error)]
                await client.close()
            server.token_answers.append(oauth_refusal(401, "invalid_client", told_us))
            unknown = app_client(server, KEY, dpop=False)
            with pytest.raises(OktaRefusedError, match=r"\*\*\*") as caught:
                await unknown.call("GET", LOGS)
            lines += [repr(caught.value), *traceback.format_exception(caught.value)]
            await unknown.close()
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(level)
    assertions = [call.form["client_assertion"] for call in server.token_calls]
    proofs = [call.headers["dpop"] for call in server.calls if "dpop" in call.headers]
    text = "\n".join([*lines, *handler.lines, *map(repr, events)])
    assert "okta" in text
    for secret in (TOKEN, ACCESS_TOKEN, *KEY.splitlines()[1:-1], *assertions, *proofs):
        assert secret not in text


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({}, "set `token`, or `client_id` with `private_key`"),
        ({"client_id": CLIENT_ID}, "set `token`, or `client_id` with `private_key`"),
        ({"private_key": KEY}, "set `token`, or `client_id` with `private_key`"),
        ({"token": TOKEN, "client_id": CLIENT_ID, "private_key": KEY}, "not both"),
        ({"token": TOKEN, "client_id": CLIENT_ID}, "not both"),
        ({"token": f"{TOKEN}\r\nX: y"}, "line break"),
        (
            {"client_id": CLIENT_ID, "private_key": "/run/secrets/planted.pem"},
            "not a readable key in PEM or JWK format",
        ),
        ({"client_id": CLIENT_ID, "private_key": KEY, "scopes": ()}, "`scopes` is empty"),
    ],
)
def test_contradictory_or_incomplete_credentials_are_refused(written: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as caught:
        ApiSettings.model_validate(written)
    assert TOKEN not in str(caught.value)
    assert "planted.pem" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("http://127.0.0.1:{port}", r"the proxy refuses it \(HTTP 407\).*`https_proxy`.*user and password"),
        ("127.0.0.1:{port}", r"the address of the proxy is not a URL.*`https_proxy`"),
        ("http://127.0.0.1:99999", r"the address of the proxy is not a URL.*`https_proxy`"),
    ],
)
async def test_a_proxy_that_refuses_or_has_no_url_is_named_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, proxy: str, reason: str
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        monkeypatch.setenv("https_proxy", proxy.format(port=server.sockets[0].getsockname()[1]))
        client = OktaClient("https://acme.okta.test", ApiSettings(token=Secret(TOKEN)), 1.0, SystemClock())
        failure = await client.send_once("POST", HOOKS)
        await client.close()
    assert isinstance(failure, NoResponseError)
    assert not failure.sent
    assert re.search(reason, client.explain("POST", HOOKS, failure))


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (
            Reply(503, b"<html>"),
            "Okta, or a proxy before it, has a problem: look at its log or status page, then try again",
        ),
        (refusal(500, "E0000009", "Internal Server Error"), "then try again"),
        (Reply(418, b""), "Check the org's `url`: a proxy or another server may answer in place of Okta"),
        (Reply(600, b""), "a proxy or another server may answer in place of Okta"),
        (refusal(400, "E0000001", "Api validation failed: uri"), ""),
    ],
)
async def test_a_refusal_that_does_not_explain_itself_names_a_next_step(
    server: OktaServer, by_token: OktaClient, reply: Reply, hint: str
) -> None:
    server.otherwise = reply
    with pytest.raises(OktaRefusedError) as caught:
        await passing(clock_of(server), by_token.call("GET", LOGS))
    assert str(caught.value).endswith(hint or "(400 E0000001: Api validation failed: uri)")
    assert caught.value.hint.endswith(hint)


@pytest.mark.parametrize("location", ["http://[::1", "//[x", "https://[acme.okta.com/login"])
async def test_a_redirect_to_something_that_is_not_a_url_is_named(
    server: OktaServer, by_token: OktaClient, location: str
) -> None:
    server.otherwise = Reply(302, b"", (("location", location),))
    with pytest.raises(OktaRefusedError, match="redirects to another address") as caught:
        await by_token.call("GET", LOGS)
    assert caught.value.status == 302
