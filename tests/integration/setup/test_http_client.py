"""Servers in the place of Kibana and Grafana whose responses do not end."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from forwarder.core.errors import SetupError
from forwarder.setup.http_client import TIMEOUT, ServerClient
from forwarder.setup.kibana.settings import KibanaSettings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@contextlib.contextmanager
def endless(piece: bytes) -> Iterator[str]:
    """A server that answers the first request with `piece`, again and again, until the client hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(HEAD)
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
        (b" " * 1_000_000, TIMEOUT, "is larger than 16,777,216 bytes"),
    ],
)
def test_a_response_without_an_end_is_given_up(piece: bytes, timeout: float, told: str) -> None:
    with endless(piece) as url, ServerClient(KibanaSettings(url=url), {}, timeout) as client:
        with pytest.raises(SetupError, match=told) as error:
            client.ask("GET", f"{url}/api/status")
        assert url in str(error.value)
