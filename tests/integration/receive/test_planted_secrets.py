"""A secret that is shown, right or wrong, is found nowhere afterwards."""

import asyncio
import gc
import io
import logging
from collections.abc import Iterator

import pytest

from forwarder import logs
from forwarder.core.errors import StoreFullError
from forwarder.receive.auth import keyrings
from forwarder.receive.settings import ReceiverSettings, validate_endpoints
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.integration.receive.helpers import PATH, envelope, event, listening, org, post, request, settings

RIGHT = "planted-right-3f1c"
WRONG = "planted-wrong-9b7e"
BODY = "planted-body-55aa"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All log lines at the finest level, as the forwarder writes them."""
    before, level = logging.root.handlers, logging.root.level
    logs.setup("debug", json=True)
    stream = io.StringIO()
    [handler] = logging.root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    logging.root.handlers = before
    logging.root.setLevel(level)


@pytest.mark.long
async def test_no_secret_and_no_body_is_found_in_logs_metrics_errors_or_reprs(log: io.StringIO) -> None:
    store, clock = MemoryStore(), ManualClock()
    async with listening(store, {"acme": org(secrets=[RIGHT])}, clock) as served:
        good = envelope(event(uuid=BODY))
        for failure in (None, StoreFullError("no room"), RuntimeError("a bug")):
            store.failure = failure  # type: ignore[assignment]  # also what a store never raises
            for secret in (RIGHT, WRONG):
                for body in (good, envelope({"x": BODY}), BODY.encode(), b"{" + BODY.encode()):
                    await served.ask(post(body, secret=secret))
                    await clock.advance(11)
                for challenge in (BODY, f"<{BODY}>"):
                    shown = {"Authorization": secret, "X-Okta-Verification-Challenge": challenge}
                    await served.ask(request("GET", PATH, shown))
                    await served.ask(request("GET", f"/{secret}", shown | {"Host": f"{{{secret}}}"}))
        await served.ask(b"POST / HTTP/1.1\r\nAuthorization " + RIGHT.encode() + b"\r\n\r\n")
        served.receiver.apply(served.receiver.build({"acme": org(secrets=[RIGHT, WRONG])}, settings()))
        render = served.metrics.render
        pages = [(await asyncio.to_thread(render, form))[0] for form in ("", "application/openmetrics-text")]
        seen = log.getvalue() + b"".join(pages).decode()
        reprs = [
            repr(thing) + str(thing)
            for thing in gc.get_objects()
            if str(type(thing).__module__).startswith("forwarder.")
        ]
    assert "secret_refused" in seen
    assert "request_failed" in seen
    assert len(reprs) > 10
    for planted in (RIGHT, WRONG, BODY):
        assert planted not in seen
    for planted in (RIGHT, WRONG):
        assert not [text for text in reprs if planted in text]


def test_no_secret_is_found_in_a_problem_or_in_a_repr() -> None:
    orgs = dict.fromkeys(("a", "b"), org(secrets=[RIGHT, WRONG]))
    with pytest.raises(ValueError, match="header") as caught:
        org(secrets=[RIGHT], header=[WRONG])
    with pytest.raises(ValueError, match="line break") as broken:
        org(secrets=[RIGHT, f"{WRONG}\nx"], path="/{org}")
    problems = list(validate_endpoints(orgs, ReceiverSettings()))
    assert len(problems) == 2
    said = [
        *problems,
        str(caught.value),
        str(broken.value),
        repr(orgs),
        str(orgs),
        repr(keyrings(orgs)),
        str(keyrings(orgs)),
    ]
    assert not [text for text in said if RIGHT in text or WRONG in text]
