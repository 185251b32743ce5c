"""The API client against the rate limits and the clock of a fake Okta that counts the calls itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from forwarder.core.errors import OktaRefusedError
from forwarder.core.time import SECOND
from tests.fakes.clock import NOON
from tests.fakes.okta_client import HOOKS, LOGS, PATIENCE, clock_of, passing, token_client
from tests.fakes.okta_server import OktaServer, Reply, refusal


@pytest.fixture
async def server() -> AsyncIterator[OktaServer]:
    async with OktaServer(rate=20) as server:
        yield server


@pytest.mark.parametrize(("share", "allowed"), [(0.3, 6), (0.5, 10), (0.01, 1), (1.0, 20)])
async def test_no_window_has_more_calls_than_the_share(server: OktaServer, share: float, allowed: int) -> None:
    client = token_client(server, share=share)
    for _ in range(2 * allowed + 1):
        await passing(clock_of(server), client.call("GET", LOGS))
    await client.close()
    assert server.busiest == allowed
    assert 120 < clock_of(server).monotonic() < 125


async def test_concurrent_calls_do_not_both_use_the_last_allowed_call(server: OktaServer) -> None:
    client = token_client(server, share=0.3)
    await passing(clock_of(server), asyncio.gather(*(client.call("GET", LOGS) for _ in range(20))))
    await client.close()
    assert server.busiest == 6


async def test_one_family_of_endpoints_does_not_wait_for_another(server: OktaServer) -> None:
    client = token_client(server, share=0.05)
    await client.call("GET", LOGS)
    waiting = asyncio.ensure_future(client.call("GET", LOGS))
    await clock_of(server).asleep()
    await client.call("GET", HOOKS)
    assert not waiting.done()
    await passing(clock_of(server), waiting)
    await client.close()


async def test_a_link_waits_for_the_same_limit_as_its_path(server: OktaServer) -> None:
    client = token_client(server, share=0.05)
    await client.call("GET", LOGS)
    waiting = asyncio.ensure_future(client.ready(f"{server.url}{LOGS}"))
    await clock_of(server).asleep()
    assert not waiting.done()
    await passing(clock_of(server), waiting)
    await client.close()


async def test_a_new_client_counts_earlier_calls_of_the_window_as_its_own(server: OktaServer) -> None:
    for _ in range(3):  # a forwarder that is killed again and again
        client = token_client(server, share=0.3)
        for _ in range(4):
            await passing(clock_of(server), client.call("GET", LOGS))
        await client.close()
    # Its first call alone goes out before it knows.
    assert server.busiest <= 6 + 2


async def test_a_call_waits_for_a_limit_that_other_clients_used_up(server: OktaServer) -> None:
    ours, others = token_client(server, share=0.5), token_client(server)
    await ours.call("GET", LOGS)
    for _ in range(19):
        await others.call("GET", LOGS)
    # The server turns our next one away, and says until when.
    await passing(clock_of(server), ours.call("GET", LOGS))
    assert 60 <= clock_of(server).monotonic() < 63
    assert len(server.calls) == 22
    await ours.close()
    await others.close()


async def test_a_429_for_concurrent_calls_does_not_use_up_the_limit(server: OktaServer) -> None:
    client = token_client(server)
    zeros = (("x-rate-limit-limit", "0"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1"))
    server.answers.append(refusal(429, "E0000047", "API call exceeded rate limit", *zeros))
    await passing(clock_of(server), client.call("GET", LOGS))
    assert clock_of(server).monotonic() == 0.5
    await client.close()


async def test_a_limit_that_stays_used_up_is_an_error(server: OktaServer) -> None:
    client = token_client(server)
    server.otherwise = refusal(429, "E0000047", "API call exceeded rate limit", ("x-rate-limit-remaining", "0"))
    with pytest.raises(OktaRefusedError, match=r"429 E0000047.*`reconcile\.rate_share`"):
        await passing(clock_of(server), client.call("GET", LOGS))
    assert len(server.calls) == PATIENCE.attempts
    await client.close()


async def test_a_response_says_when_okta_sent_it(server: OktaServer) -> None:
    client = token_client(server)
    server.answers.append(Reply(200, b"[]", (("date", "Thu, 01 Jan 2026 12:00:30 GMT"),)))
    assert (await client.call("GET", LOGS)).sent_at == NOON + 30 * SECOND
    server.answers.append(Reply(200, b"[]", (("date", "soon"),)))
    assert (await client.call("GET", LOGS)).sent_at is None
    await client.close()
