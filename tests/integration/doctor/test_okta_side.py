"""Staged faults between Okta, the hook's public address and the forwarder: each has its check and what fixes it."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forwarder.core.time import to_micros
from forwarder.emulator.emulator import Emulator
from tests.certificates import Certificate
from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_org import TOKEN, okta_org
from tests.fakes.okta_server import OktaServer, Reply, refusal
from tests.integration.doctor.scene import Scene


@pytest.fixture
async def org() -> AsyncIterator[Emulator]:
    async with okta_org() as org:
        yield org


@pytest.fixture
def there(tmp_path: Path, org: Emulator) -> Scene:
    return Scene(tmp_path, org.settings.url)


@pytest.mark.long
async def test_all_is_well_with_a_hook_and_a_running_forwarder(there: Scene) -> None:
    async with there.forwarder():
        assert (await there.command("hooks", "sync"))[0] == 0
    async with there.forwarder():
        found = await there.doctor()
    assert (found.code, found.ok, found.bad) == (0, True, {}), found.rows
    assert found.of("hook.state")["seen"] == "acme: active and verified"
    assert found.verdict("listener.port", "receiver.listen") == "ok"
    assert "the forwarder listens at" in found.of("listener.port", "ops.listen")["seen"]


async def test_before_the_first_start_only_what_must_be_done_is_named(there: Scene) -> None:
    found = await there.doctor()
    assert found.bad == {"forwarder.running": "warn", "hook.exists": "fail", "hook.reachable": "fail"}
    assert (found.code, found.ok) == (1, False)
    assert found.of("hook.exists")["mend"] == "run `forwarder hooks sync --org acme`"
    assert found.of("hook.state")["seen"] == "acme: because hook.exists failed"
    assert "connection refused" in found.of("hook.reachable")["seen"]
    assert not there.store.exists()


@pytest.mark.long
async def test_a_hook_that_somebody_changed_is_named_with_what_differs(there: Scene, org: Emulator) -> None:
    async with there.forwarder():
        await there.command("hooks", "sync")
        there.org = {"hook": {"uri": there.hook_uri, "events": ["user.session.start", "user.account.lock"]}}
        found = await there.doctor("hook")
        assert found.bad == {"hook.events": "warn"}
        assert "lacks user.account.lock" in found.of("hook.events")["seen"]
        assert found.code == 0
        assert (await there.doctor("hook", "--strict")).code == 1

        there.org = {"hook": {"uri": there.hook_uri.replace("127.0.0.1", "localhost")}}
        await there.command("hooks", "deactivate")
        found = await there.doctor("hook.state", "hook.uri")
        assert found.bad == {"hook.state": "fail", "hook.uri": "fail"}
        assert "inactive" in found.of("hook.state")["seen"]
        assert "forwarder hooks sync --org acme" in found.of("hook.uri")["mend"]


async def test_an_unverified_hook_is_named_with_the_command_that_verifies_it(there: Scene) -> None:
    await there.command("hooks", "sync")  # nobody answers the challenge yet
    found = await there.doctor("hook.state")
    assert (found.code, found.verdict("hook.state")) == (1, "fail")
    assert found.of("hook.state")["mend"] == "run `forwarder hooks verify --org acme`"


async def test_a_wrong_token_is_named_with_where_to_make_a_new_one(there: Scene) -> None:
    there.org = {"api": {"token": "00wrong0token"}}
    found = await there.doctor("okta")
    assert (found.verdict("okta.reachable"), found.verdict("okta.log")) == ("ok", "fail")
    assert "E0000011" in found.of("okta.log")["seen"]
    assert found.of("okta.log")["mend"].startswith("The API token is wrong")


async def test_a_missing_role_is_named_for_the_call_that_lacks_it(tmp_path: Path) -> None:
    async with OktaServer() as server:
        server.otherwise = refusal(403, "E0000006", "You do not have permission")
        there = Scene(tmp_path, server.url, {"api": {"token": server.token}})
        found = await there.doctor("okta.hooks")
    assert found.verdict("okta.hooks") == "fail"
    assert "okta.eventhooks.read" in found.of("okta.hooks")["mend"]


async def test_a_wrong_host_of_the_org_is_named_and_what_needs_it_is_skipped(there: Scene) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        there.url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        found = await there.doctor("okta", "hook.exists")
    assert found.verdict("okta.reachable") == "fail"
    assert "`orgs.acme.url`" in found.of("okta.reachable")["mend"]
    assert found.of("hook.exists")["seen"] == "acme: because okta.reachable failed"


async def test_a_check_that_cannot_run_shows_what_it_needs_and_fails(there: Scene) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        there.url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        found = await there.doctor("hook.state")
    assert found.of("hook.state")["seen"] == "acme: because okta.reachable failed"
    assert (found.code, found.bad) == (1, {"okta.reachable": "fail"})


async def test_a_clock_that_is_off_is_named(tmp_path: Path) -> None:
    behind = ManualClock(to_micros(datetime.now(UTC)) - 600_000_000)
    async with OktaServer(clock=behind) as server:
        there = Scene(tmp_path, server.url, {"api": {"token": server.token}})
        found = await there.doctor("okta.clock")
    assert found.verdict("okta.clock") == "fail"
    assert "ahead of Okta's" in found.of("okta.clock")["seen"]
    assert "timedatectl" in found.of("okta.clock")["mend"]


@pytest.mark.long
async def test_a_secret_that_the_running_forwarder_does_not_know_is_named(there: Scene) -> None:
    async with there.forwarder():
        there.org = {"secrets": ["planted-second-secret-77aa1c"]}
        found = await there.doctor("hook.challenge")
    row = found.of("hook.challenge")
    assert (row["verdict"], "answers 401" in row["seen"]) == ("fail", True)
    assert "forwarder hooks sync --org acme --resend-secret" in row["mend"]


@pytest.mark.long
async def test_events_with_another_secret_are_in_what_the_forwarder_reports(there: Scene, org: Emulator) -> None:
    async with there.forwarder():
        await there.command("hooks", "sync")
    there.org = {"secrets": ["planted-second-secret-77aa1c"]}
    async with there.forwarder():
        await org.emit(1, ["user.session.start"])
        async with asyncio.timeout(20):
            while not (await there.doctor("forwarder")).bad:
                await asyncio.sleep(0.05)
        found = await there.doctor("forwarder.problems")
    row = found.of("forwarder.problems", "1 request of Okta to acme")
    assert (row["verdict"], "forwarder hooks sync --org acme --resend-secret" in row["mend"]) == ("fail", True)


@pytest.mark.parametrize(
    ("status", "mend"), [(404, "compare the path"), (502, "`forwarder run`"), (200, "asks for a login")]
)
async def test_a_proxy_that_does_not_reach_the_receiver_is_named(
    tmp_path: Path, org: Emulator, status: int, mend: str
) -> None:
    async with HookReceiver(otherwise=status, echo=b"<html>login</html>") as proxy:
        there = Scene(tmp_path, org.settings.url, {"hook": {"uri": proxy.url}})
        found = await there.doctor("hook.challenge")
    row = found.of("hook.challenge")
    assert (row["verdict"], f"answers {status}" in row["seen"], mend in row["mend"]) == ("fail", True, True), row


@pytest.mark.long
async def test_a_hook_address_whose_certificate_is_from_a_private_ca_is_named(
    tmp_path: Path, org: Emulator, certificate: Certificate
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    async with HookReceiver(tls=context) as receiver:
        there = Scene(tmp_path, org.settings.url, {"hook": {"uri": receiver.url}})
        found = await there.doctor("hook")
    assert found.verdict("hook.reachable") == "fail"
    assert "not from a CA" in found.of("hook.reachable")["seen"]
    assert found.of("hook.challenge")["seen"] == "acme: because hook.reachable failed"


@pytest.mark.parametrize("body", [{}, {"errorCode": "E0000011"}, None, "Welcome"])
async def test_credentials_may_not_read_the_log_of_a_server_that_answers_with_no_page(
    tmp_path: Path, body: object
) -> None:
    async with OktaServer(token=TOKEN, otherwise=Reply(200, json.dumps(body).encode())) as server:
        found = await Scene(tmp_path, server.url).doctor("okta.log")
    row = found.of("okta.log")
    assert (row["verdict"], row["mend"]) == (
        "fail",
        "check the org's `url`, and whether a proxy or another server answers there",
    )
