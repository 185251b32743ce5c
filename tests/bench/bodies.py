"""What the load sends: whole HTTP requests, ready but for the uuid of the one event that each brings.

The events are the emulated org's, of many types; only those are taken whose envelope has about 2.7 kB, the size of the
peers' figures. A uuid has a fixed length, so that a request is two halves with a fresh one between them.
"""

import itertools
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.e2e.okta import HEADERS, envelope, happenings

LEAST, MOST = 2_500, 2_900
"""Bytes of an envelope."""

_COUNT = 200
_TICKS_FROM_1582 = 0x01B21DD213814000  # from the epoch of version-1 uuids to that of Unix, in steps of 100 ns
_STEP = 1_000  # of 100 ns, between two events


class Halves(NamedTuple):
    """A request without its uuid."""

    head: bytes
    tail: bytes


def hook_requests(port: int) -> list[Halves]:
    """POSTs as Okta sends them."""
    return [_request(port, "/okta/events", HEADERS, uuid, body) for uuid, body in _envelopes()]


def otlp_requests(port: int) -> list[Halves]:
    """The same bodies, each as the body of one log record, by OTLP over HTTP."""
    # Loaded here because the other kind of load does not need it.
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415

    found = []
    for uuid, body in _envelopes():
        message = ExportLogsServiceRequest()
        record = message.resource_logs.add().scope_logs.add().log_records.add()
        record.time_unix_nano = time.time_ns()
        record.body.string_value = body.decode()
        headers = {"Content-Type": "application/x-protobuf"}
        found.append(_request(port, "/v1/logs", headers, uuid, message.SerializeToString()))
    return found


def body_bytes() -> float:
    """Bytes of an envelope, on average."""
    sizes = [len(body) for _, body in _envelopes()]
    return sum(sizes) / len(sizes)


def event_bytes() -> float:
    """Bytes of an event in it, on average: what the store has to keep."""
    return body_bytes() - len(envelope([b""]))


def uuids() -> Iterator[bytes]:
    """Version-1 uuids in the order of time, as Okta makes them; no two runs give the same."""
    clock_and_node = b"%04x-%012x" % (0x8000 | os.getpid() & 0x3FFF, int.from_bytes(os.urandom(6)))
    start = time.time_ns() // 100 + _TICKS_FROM_1582
    for ticks in itertools.count(start, _STEP):
        low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48
        yield b"%08x-%04x-1%03x-%b" % (low, middle, high, clock_and_node)


def _envelopes() -> Iterator[tuple[str, bytes]]:
    made = ((uuid, envelope([body])) for uuid, body in happenings(100 * _COUNT))
    fitting = ((uuid, body) for uuid, body in made if LEAST <= len(body) <= MOST)
    return itertools.islice(fitting, _COUNT)


def _request(port: int, path: str, headers: dict[str, str], uuid: str, body: bytes) -> Halves:
    lines = {"Host": f"127.0.0.1:{port}", **headers, "Content-Length": str(len(body))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    before, between, after = (head.encode() + b"\r\n" + body).partition(uuid.encode())
    assert between, "the event has no uuid"
    return Halves(before, after)
