"""The API client against a server that checks the same as Okta, over a real socket."""

import asyncio
import gzip
import json
import resource
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.config.types import Secret
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaRefusedError, OktaUnreachableError
from forwarder.metrics import Metrics
from forwarder.okta.api.client import OktaClient, RetryPolicy
from forwarder.okta.api.metrics import ApiMetrics
from forwarder.okta.api.port import OktaTooLargeError
from forwarder.okta.settings import ApiSettings
from tests.certificates import Certificate
from tests.fakes.clock import ManualClock
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_client import HOOKS, LOGS, PATIENCE, clock_of, passing, token_client
from tests.fakes.okta_org import TOKEN as ORG_TOKEN
from tests.fakes.okta_org import okta_org
from tests.fakes.okta_server import TOKEN, OktaServer, Reply, refusal

BUSY = refusal(503, "E0000009", "Internal Server Error")


@pytest.fixture
async def server() -> AsyncIterator[OktaServer]:
    async with OktaServer() as server:
        yield server


@pytest.fixture
async def client(server: OktaServer) -> AsyncIterator[OktaClient]:
    client = token_client(server)
    yield client
    await client.close()


async def test_a_response_keeps_its_bytes(server: OktaServer, client: OktaClient) -> None:
    body = b'[ {"uuid":"\\u00e9", "authenticationContext":{"credentialType":"CERTIFICATE"},\t"unknown":1.0} ]\n'
    server.answers.append(Reply(200, body))
    answer = await client.call("GET", LOGS, query={"since": "2026-01-01T00:00:00.000Z", "limit": "5"})
    assert (answer.status, answer.content) == (200, body)
    assert server.calls[0].target == f"{LOGS}?since=2026-01-01T00%3A00%3A00.000Z&limit=5"
    assert server.calls[0].headers["authorization"] == f"SSWS {TOKEN}"
    assert server.calls[0].headers["user-agent"].startswith("okta-sdk-python/")


async def test_calls_without_a_response_are_counted_too(server: OktaServer) -> None:
    metrics = Metrics()
    client = OktaClient(
        server.url,
        ApiSettings(token=Secret(TOKEN)),
        1.0,
        server.clock,
        metrics=ApiMetrics(metrics, "acme", server.clock),
        retry=RetryPolicy(attempts=1, timeout=5.0),
    )

    def counted(code: str) -> float | None:
        labels = {"org": "acme", "operation": f"GET {LOGS}", "code": code}
        return metrics.registry.get_sample_value("forwarder_okta_requests_total", labels)

    server.answers.append(Reply(200, b"[]"))
    await client.call("GET", LOGS)
    server.answers.append(BUSY)
    with pytest.raises(OktaRefusedError):
        await client.call("GET", LOGS)
    server.answers.append(Reply(hang_up=True))
    with pytest.raises(OktaUnreachableError):
        await client.call("GET", LOGS)
    await client.close()
    assert [counted(code) for code in ("200", "503", "none")] == [1, 1, 1]


async def test_a_body_is_sent_with_its_empty_properties(server: OktaServer, client: OktaClient) -> None:
    body = {"name": "x", "description": None, "channel": {"config": {"headers": [], "text": ""}}}
    await client.call("PUT", f"{HOOKS}/who1", body=body)
    sent = server.calls[0]
    assert sent.method == "PUT"
    assert sent.headers["content-type"] == "application/json"
    assert sent.body == b'{"name":"x","description":null,"channel":{"config":{"headers":[],"text":""}}}'


async def test_a_post_without_a_body_has_length_0_and_an_empty_response_is_none(
    server: OktaServer, client: OktaClient
) -> None:
    server.answers.append(Reply(204, b""))
    answer = await client.call("POST", f"{HOOKS}/who1/lifecycle/deactivate")
    assert server.calls[0].headers["content-length"] == "0"
    assert (answer.status, answer.content, answer.json()) == (204, b"", None)


@pytest.mark.parametrize("joined", [False, True])
async def test_links_are_read_from_one_header_or_from_several(
    server: OktaServer, client: OktaClient, *, joined: bool
) -> None:
    here, there = f"{server.url}{LOGS}?after=1,2%3A%2f&x=a%20b", f"{server.url}{LOGS}?after=a=;b"
    lines = [f'<{here}>; title="a, <b>"; rel="self prev"', f"<{there}>;rel=next"]
    headers = [("link", ", ".join(lines))] if joined else [("link", line) for line in lines]
    server.answers.append(Reply(200, b"[]", tuple(headers)))
    answer = await client.call("GET", LOGS)
    assert answer.links == {"self": here, "prev": here, "next": there}
    await client.call("GET", answer.links["self"])
    assert server.calls[1].target == f"{LOGS}?after=1,2%3A%2f&x=a%20b"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/api/v1/logs",
        "//evil.example/api/v1/logs",
        "http://127.0.0.1:1/api/v1/logs",
        "http://acme.okta.com@evil.example/api/v1/logs",
        "api/v1/logs",
    ],
)
async def test_credentials_go_to_no_other_address(server: OktaServer, client: OktaClient, address: str) -> None:
    with pytest.raises(OktaRefusedError, match="credentials are not sent there") as caught:
        await client.call("GET", address)
    assert caught.value.status == 400
    with pytest.raises(OktaRefusedError):
        await client.call("GET", f"https://evil.example/?x={server.url}")
    assert server.calls == []


async def test_a_redirect_is_not_followed(server: OktaServer, client: OktaClient) -> None:
    async with OktaServer() as other:
        server.answers.append(Reply(302, b"", (("location", f"{other.url}{LOGS}"),)))
        with pytest.raises(OktaRefusedError, match=other.url.removeprefix("http://")) as caught:
            await client.call("GET", LOGS)
        assert caught.value.status == 302
        assert (len(server.calls), other.calls) == (1, [])


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_temporary_error_is_retried(server: OktaServer, client: OktaClient, status: int) -> None:
    server.answers.extend([Reply(status, b"<html>"), Reply(status, b"")])
    clock = clock_of(server)
    await passing(clock, client.call("GET", LOGS))
    assert len(server.calls) == 3
    assert clock.monotonic() == 0.5 + 1.0  # half of 1, and half of 2


async def test_the_number_of_attempts_is_limited(server: OktaServer, client: OktaClient) -> None:
    server.otherwise = BUSY
    with pytest.raises(OktaRefusedError, match="503 E0000009: Internal Server Error") as caught:
        await passing(clock_of(server), client.call("GET", LOGS))
    assert (caught.value.status, caught.value.code) == (503, "E0000009")
    assert len(server.calls) == PATIENCE.attempts


@pytest.mark.long
async def test_a_call_is_retried_after_a_broken_or_silent_connection(server: OktaServer) -> None:
    client = token_client(server, RetryPolicy(attempts=3, timeout=0.3, backoff=PATIENCE.backoff))
    server.answers.extend([Reply(hang_up=True), Reply(silent=True)])
    assert (await passing(clock_of(server), client.call("PUT", f"{HOOKS}/who1", body={"a": 1}))).status == 200
    server.otherwise = Reply(silent=True)
    with pytest.raises(OktaUnreachableError, match=r"GET .*/api/v1/logs.*within 0\.3 s; 3 attempts; check"):
        await passing(clock_of(server), client.call("GET", LOGS))
    await client.close()


async def test_a_call_of_a_command_gives_up_after_a_time(server: OktaServer) -> None:
    client = token_client(server, RetryPolicy(attempts=9, backoff=Backoff(base=8.0, cap=8.0), give_up_after=10.0))
    server.otherwise = BUSY
    with pytest.raises(OktaRefusedError, match="503 E0000009"):
        await passing(clock_of(server), client.call("GET", LOGS))
    assert clock_of(server).monotonic() == 12.0  # three waits of half of 8 s
    await client.close()


async def test_a_call_of_a_command_waits_for_the_rate_limit(server: OktaServer) -> None:
    client = token_client(server, RetryPolicy(backoff=Backoff(base=8.0, cap=8.0), give_up_after=3.0))
    server.answers.extend([Reply(429, b"{}"), Reply(429, b"{}")])
    await passing(clock_of(server), client.call("GET", LOGS))
    assert len(server.calls) == 3
    await client.close()


@pytest.mark.parametrize("words", [("hooks", "list"), ("zones", "show")])
@pytest.mark.slow
async def test_a_command_gives_up_within_a_minute(tmp_path: Path, words: tuple[str, ...]) -> None:
    async with OktaServer() as silent:
        silent.otherwise = Reply(silent=True)
        org = {
            "url": silent.url,
            "api": {"token": TOKEN},
            "secrets": ["x" * 40],
            "zones": {"bad": {"ips": ["192.0.2.1"]}},
        }
        (tmp_path / "forwarder.yaml").write_text(
            json.dumps(
                {"orgs": {"acme": org}, "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}}}
            )
        )
        arguments = [*words, "--config", str(tmp_path / "forwarder.yaml")]
        async with asyncio.timeout(60):
            done = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert done.exit_code == 1
    assert f"no response from {silent.url[7:]} within 20 s; 2 attempts; check the org's `url`" in done.output


_CHECK = "check the org's `url`, and that the server runs"


async def test_an_unreachable_org_is_an_error_with_its_address() -> None:
    async with OktaServer() as gone:
        pass
    client = token_client(gone)
    with pytest.raises(OktaUnreachableError, match=f"no connection to {gone.url[7:]}.*3 attempts; {_CHECK}"):
        await passing(clock_of(gone), client.call("POST", HOOKS, body={"name": "x"}))
    await client.close()


@pytest.mark.parametrize("answer", [BUSY, Reply(hang_up=True)])
async def test_a_post_that_creates_is_not_repeated_if_it_may_have_been_carried_out(
    server: OktaServer, client: OktaClient, answer: Reply
) -> None:
    server.answers.append(answer)
    with pytest.raises((OktaRefusedError, OktaUnreachableError)):
        await client.call("POST", HOOKS, body={"name": "x"})
    assert len(server.calls) == 1


async def test_a_post_that_creates_is_repeated_after_a_429(server: OktaServer, client: OktaClient) -> None:
    server.answers.append(Reply(429, b""))
    await passing(clock_of(server), client.call("POST", HOOKS, body={"name": "x"}))
    assert len(server.calls) == 2


async def test_a_lifecycle_call_is_retried(server: OktaServer, client: OktaClient) -> None:
    server.answers.append(BUSY)
    await passing(clock_of(server), client.call("POST", f"{HOOKS}/who1/lifecycle/verify"))
    assert len(server.calls) == 2


async def test_a_404_after_a_retried_delete_counts_as_deleted(server: OktaServer, client: OktaClient) -> None:
    gone = refusal(404, "E0000007", "Not found: who1")
    server.answers.extend([Reply(hang_up=True), gone, gone])
    assert (await passing(clock_of(server), client.call("DELETE", f"{HOOKS}/who1"))).status == 204
    with pytest.raises(OktaRefusedError, match="404 E0000007: Not found: who1"):
        await client.call("DELETE", f"{HOOKS}/who1")


async def test_a_refused_call_is_not_retried(server: OktaServer, client: OktaClient) -> None:
    cause = b'{"errorCode":"E0000001","errorSummary":"Api validation failed: eventHook","errorCauses":[{"errorSummary":"Hook execution failed"}]}'
    server.answers.append(Reply(400, cause))
    with pytest.raises(OktaRefusedError, match=r"validation failed: eventHook; Hook execution failed"):
        await client.call("POST", f"{HOOKS}/who1/lifecycle/verify")
    assert len(server.calls) == 1


async def test_the_page_of_a_proxy_is_an_error_with_its_status(server: OktaServer, client: OktaClient) -> None:
    server.answers.append(Reply(407, b"<html>\xff</html>", content_type="text/html"))
    with pytest.raises(OktaRefusedError, match=r"\(407\)") as caught:
        await client.call("GET", LOGS)
    assert caught.value.code == ""


async def test_two_first_calls_at_the_same_time_both_succeed(server: OktaServer, client: OktaClient) -> None:
    await asyncio.gather(client.call("GET", LOGS), client.call("GET", HOOKS))
    assert {call.path for call in server.calls} == {LOGS, HOOKS}


async def test_close_may_be_called_twice_and_before_the_first_call(server: OktaServer) -> None:
    unused = token_client(server)
    await unused.close()
    await unused.close()
    used = token_client(server)
    await used.call("GET", LOGS)
    await used.close()
    await used.close()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://acme.okta.com", "https"),
        ("acme.okta.com", "is not the URL of an org"),
        ("https://user:word@acme.okta.com", "has a user or a password"),
        ("https://acme.okta.com/admin", "is not the URL of an org"),
        ("https://acme-admin.okta.com", "-admin"),
    ],
)
def test_a_url_that_is_not_of_an_org_is_refused(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        OktaClient(url, ApiSettings(token=Secret(TOKEN)), 0.3, ManualClock())


@pytest.mark.long
def test_the_sdk_is_not_imported_before_the_first_call() -> None:
    look = (
        "import sys; import forwarder.okta.api.client; sys.exit({'okta', 'aiohttp', 'jwt'} & set(sys.modules) != set())"
    )
    assert subprocess.run([sys.executable, "-c", look], check=False, timeout=30).returncode == 0


async def test_the_emulated_org_accepts_the_calls_of_the_client() -> None:
    async with okta_org() as org:
        client = OktaClient(org.settings.url, ApiSettings(token=Secret(ORG_TOKEN)), 1.0, SystemClock())
        hook = {
            "name": "x",
            "events": {"type": "EVENT_TYPE", "items": ["user.session.start"]},
            "channel": {
                "type": "HTTP",
                "version": "1.0.0",
                "config": {"uri": "https://hooks.example.com/okta/events", "headers": []},
            },
        }
        made = (await client.call("POST", HOOKS, body=hook)).json()
        assert [one["id"] for one in (await client.call("GET", HOOKS)).json()] == [made["id"]]
        with pytest.raises(OktaRefusedError):
            await client.call("DELETE", f"{HOOKS}/{made['id']}")
        await client.call("POST", f"{HOOKS}/{made['id']}/lifecycle/deactivate")
        assert (await client.call("DELETE", f"{HOOKS}/{made['id']}")).status == 204
        await org.emit(3, ("zone.create",))
        page = await client.call("GET", LOGS, query={"limit": "2"})
        assert len(page.json()) == 2
        assert len((await client.call("GET", page.links["next"])).json()) >= 1
        await client.close()


async def test_an_untrusted_certificate_is_an_error_with_a_hint(certificate: Certificate) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    async with HookReceiver(tls=tls) as receiver:
        url = receiver.url.removesuffix("/okta/events")
        client = OktaClient(url, ApiSettings(token=Secret(TOKEN)), 1.0, SystemClock(), retry=RetryPolicy(attempts=1))
        with pytest.raises(OktaUnreachableError, match="certificate verify failed"):
            await client.call("GET", LOGS)
        await client.close()
    assert receiver.calls == []


@pytest.mark.long
@pytest.mark.parametrize("path", [LOGS, HOOKS])
async def test_a_response_that_inflates_without_end_is_not_held_in_memory(
    server: OktaServer, client: OktaClient, path: str
) -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 200_000_000))
    server.answers.append(Reply(200, gzip.decompress(bomb), (("content-encoding", "gzip"),)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OktaTooLargeError, match=f"GET http://127.0.0.1:.*{path}: .*larger than"):
        await client.call("GET", path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_a_body_encoded_twice_or_in_an_unrequested_way_is_no_response(
    server: OktaServer, client: OktaClient, status: int
) -> None:
    twice = Reply(status, gzip.compress(gzip.compress(b"[]")), (("content-encoding", "gzip, gzip"),))
    server.answers.extend([twice] * PATIENCE.attempts)
    with pytest.raises(OktaUnreachableError, match="content encoding is 'gzip, gzip', and only gzip is supported"):
        await passing(clock_of(server), client.call("GET", LOGS))
    assert {call.headers["accept-encoding"] for call in server.calls} == {"gzip"}


async def test_a_compressed_response_is_read(server: OktaServer, client: OktaClient) -> None:
    server.answers.append(Reply(200, gzip.compress(b'[{"uuid":"1"}]'), (("content-encoding", "gzip"),)))
    assert (await client.call("GET", LOGS)).content == b'[{"uuid":"1"}]'


async def test_an_endless_error_text_is_no_response(server: OktaServer, client: OktaClient) -> None:
    server.answers.append(Reply(400, b" " * (5 << 20)))
    with pytest.raises(OktaTooLargeError, match="larger than 4 MiB") as raised:
        await client.call("GET", LOGS)
    assert raised.value.cut is None


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_the_start_and_the_links_of_a_page_that_is_too_large_are_known(
    server: OktaServer, client: OktaClient, encoding: str
) -> None:
    body = b'[{"uuid":"large","text":"' + b"x" * (17 << 20)
    sent = gzip.compress(body) if encoding == "gzip" else body
    link = f'<{server.url}{LOGS}?after=7>; rel="next"'
    server.answers.append(Reply(200, sent, (("content-encoding", encoding), ("link", link))))
    with pytest.raises(OktaTooLargeError, match="larger than 16 MiB") as raised:
        await client.call("GET", LOGS)
    cut = raised.value.cut
    assert cut is not None
    assert body.startswith(cut.content)
    assert len(cut.content) > 15 << 20
    assert cut.links == {"next": f"{server.url}{LOGS}?after=7"}
