"""Servers in the place of Kibana and Grafana whose responses do not end."""

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator

import pytest

from forwarder.core.errors import SetupError
from forwarder.setup.http_client import TIMEOUT, ServerClient, ServerResponse
from forwarder.setup.kibana.settings import KibanaSettings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@contextlib.contextmanager
def endless(piece: bytes, head: bytes = HEAD) -> Iterator[str]:
    """A server that answers the first request with `piece`, again and again, until the client hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("piece", "timeout", "told"),
    [
        (b" ", 0.05, "no complete response from .* within 0.05 s"),
        (b" " * 1_000_000, TIMEOUT, "cannot be read: it is larger than 16 MiB"),
    ],
)
def test_a_response_without_an_end_is_given_up(piece: bytes, timeout: float, told: str) -> None:
    with endless(piece) as url, ServerClient(KibanaSettings(url=url), {}, timeout) as client:
        with pytest.raises(SetupError, match=told) as error:
            client.ask("GET", f"{url}/api/status")
        assert url in str(error.value)


def test_a_response_that_is_compressed_twice_is_not_inflated() -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip, gzip\r\n\r\n")
    with (
        endless(gzip.compress(gzip.compress(bytes(50_000_000))), head) as url,
        ServerClient(KibanaSettings(url=url), {}) as client,
        pytest.raises(SetupError, match="only gzip is supported"),
    ):
        client.ask("GET", f"{url}/api/status")


@pytest.mark.parametrize(
    ("status", "body", "end"),
    [
        (409, {"message": "it exists"}, "another command may have changed Kibana at the same time: try again"),
        (400, {"message": "no such type"}, "it answers 400: no such type"),
        (503, {"message": "busy"}, "look at its log or status page, then try again"),
        (418, "<h1>", "check --url: a proxy or another server may answer in place of Kibana"),
    ],
)
def test_a_refusal_that_does_not_explain_itself_names_a_next_step(status: int, body: object, end: str) -> None:
    class Client(ServerClient):
        product = "Kibana"

    with Client(KibanaSettings(url="http://127.0.0.1:9"), {}) as client, pytest.raises(SetupError) as error:
        client.fail(ServerResponse(status, {}, body), "import dashboards")
    assert str(error.value).endswith(end)
