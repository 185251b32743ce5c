"""A response that is not complete in time, over a real socket."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import httpx
import pytest

from forwarder.http_deadline import HttpDeadline
from tests.certificates import Certificate

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def stuck(start: bytes, context: ssl.SSLContext | None = None, *, is_proxy: bool = False) -> Iterator[str]:
    """The address of a server that sends the start of a response, and then waits until the client hangs up.

    With `is_proxy`, the server is a proxy too, which connects the client to itself.
    """

    def serve() -> None:
        connection, _ = listener.accept()
        if is_proxy:
            connection.recv(1 << 16)
            connection.sendall(HEAD + b"\r\n")
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection, contextlib.suppress(OSError):
            connection.sendall(start)
            while connection.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"content-length: 9\r\n\r\nx", HEAD + b"\r\nx"])
def test_a_response_that_is_not_complete_in_time_is_an_error(start: bytes) -> None:
    with (
        stuck(start) as url,
        httpx.Client(timeout=60) as client,
        pytest.raises(httpx.HTTPError),
        HttpDeadline(0.05) as deadline,
    ):
        client.get(url, extensions=deadline.extensions)
    assert deadline.is_over


@pytest.mark.parametrize("is_proxy", [False, True])
def test_a_response_over_tls_that_is_not_complete_in_time_is_an_error(
    certificate: Certificate, *, is_proxy: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    with (
        stuck(HEAD, context, is_proxy=is_proxy) as url,
        httpx.Client(timeout=5, verify=False, proxy=url.replace("https", "http") if is_proxy else None) as client,
        pytest.raises(httpx.HTTPError) as error,
        HttpDeadline(0.5) as deadline,
    ):
        client.get(url, extensions=deadline.extensions)
    assert deadline.is_over
    assert not isinstance(error.value, httpx.ReadTimeout)  # which the client raises after its own 5 s


def test_after_the_stop_a_response_may_take_any_time() -> None:
    with (
        stuck(HEAD + b"\r\n") as url,
        httpx.Client(timeout=0.3) as client,
        HttpDeadline(0.1) as deadline,
        client.stream("GET", url, extensions=deadline.extensions) as response,
    ):
        deadline.stop()
        with pytest.raises(httpx.ReadTimeout):
            response.read()
    assert not deadline.is_over
