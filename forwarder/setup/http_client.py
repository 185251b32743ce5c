"""Sends requests to Kibana and Grafana, and reads the responses."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import httpx
import msgspec

from forwarder import tls
from forwarder.connection_errors import refusal_hint, why_unreachable
from forwarder.core.bounded_body import BodyEncodingError, BodyTooLargeError, BoundedBody
from forwarder.core.errors import SetupError
from forwarder.http_deadline import HttpDeadline
from forwarder.interim_responses import limit_interim_responses
from forwarder.setup.server_settings import ServerSettings

TIMEOUT = 60.0
"""Seconds after which a request fails if its response has not arrived."""

_LONGEST = 500
_LARGEST = 16 << 20
"""The most bytes of a response. A dashboard has some 100 kB."""

T = TypeVar("T")


class ServerResponse(msgspec.Struct, frozen=True):
    """A response of any status. `body` is the decoded JSON, or the text of a response that is not JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def message(self) -> str:
        """The field `message` of a JSON object, or else the start of the whole body."""
        message = self.body.get("message") if isinstance(self.body, dict) else self.body
        if not isinstance(message, str):
            message = msgspec.json.encode(self.body).decode()
        return message.strip()[:_LONGEST]


class ServerClient:
    """A client for Kibana or Grafana, and a context manager. Methods raise SetupError if a request fails.

    It uses no proxy, and trusts the CA certificates in `ca_file` of its settings, or the system's CA certificates if
    `ca_file` is None.

    Attributes:
        privileges: a sentence that says which privileges the credentials need.
        right_address: the address that the operator should give if the server redirects, as a phrase for the error.
    """

    product: ClassVar[str]
    privileges: ClassVar[str]
    right_address: ClassVar[str] = "give that address"

    def __init__(self, settings: ServerSettings, headers: Mapping[str, str], timeout: float = TIMEOUT) -> None:
        """Create the client; this sends no request yet. The client sends `headers` with each request.

        `timeout` is the number of seconds after which a request fails.

        Raises:
            SetupError: the certificates cannot be used.
        """
        try:
            trusted = tls.client_context(settings.ca_file)
        except OSError as error:
            raise SetupError(str(error.strerror)) from error
        self._url = settings.url
        self._timeout = timeout
        client = httpx.Client(
            headers={"accept-encoding": "gzip", **headers},
            auth=settings.login,
            verify=trusted,
            timeout=timeout,
            limits=httpx.Limits(max_keepalive_connections=0),  # see `HttpDeadline`
            follow_redirects=False,  # credentials are sent only to the configured address
            trust_env=False,
        )
        self._client = limit_interim_responses(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def ask(self, method: str, url: str, **more: Any) -> ServerResponse:
        """Send one request. Raise SetupError if there is no response, or if the response is a 401 or a redirect."""
        try:
            with (
                HttpDeadline(self._timeout) as deadline,
                self._client.stream(method, url, extensions=deadline.extensions, **more) as streamed,
            ):
                answer = ServerResponse(streamed.status_code, streamed.headers, _decoded(self._read(streamed)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if deadline.is_over:
                raise SetupError(
                    f"no complete response from {self._url} within {self._timeout:g} s; check --url, and the proxies on the way"
                ) from error
            reason, hint = why_unreachable(
                error, "--url", untrusted="give the CA certificate of the server with --ca-file"
            )
            raise SetupError(f"no response from {self._url}: {reason}; {hint}") from error
        if answer.status == 401:
            raise SetupError(
                f"{self.product} refuses the request, because the credentials are wrong or missing (401): {answer.message}"
            )
        if 300 <= answer.status < 400 and "location" in answer.headers:
            raise SetupError(f"{self._url} redirects to {answer.headers.get('location')}; {self.right_address}")
        return answer

    def _read(self, streamed: httpx.Response) -> bytes:
        try:
            body = BoundedBody(streamed.headers.get("content-encoding", ""), _LARGEST)
            for piece in streamed.iter_raw():
                body.feed(piece)
            return body.finish()
        except (BodyTooLargeError, BodyEncodingError) as error:
            text = f"the response of {self._url} cannot be read: {error}"
            raise SetupError(f"{text}; check --url: the address may be that of another server") from None

    def read(self, answer: ServerResponse, kind: type[T], what: str) -> T:
        """Return the body of `answer`, the response to `what`, as `kind`; raise SetupError if it has another form."""
        try:
            return msgspec.convert(answer.body, kind)
        except msgspec.ValidationError as error:
            raise SetupError(
                f"{self._url} does not {what} as {self.product} does ({error}): {answer.message}\n"
                "Check --url: the address may be that of a proxy or of another server."
            ) from None

    def fail(self, answer: ServerResponse, what: str) -> NoReturn:
        """Raise SetupError, which says that the server did not do `what`, and has the reason in `answer`."""
        if answer.status == 403:
            raise SetupError(
                f"these credentials may not {what} (403). {self.privileges}. {self.product} says: {answer.message}"
            )
        is_own = isinstance(answer.body, dict) and "message" in answer.body
        hint = refusal_hint(answer.status, self.product, "--url", is_own=is_own)
        text = f"{self.product} did not {what}: it answers {answer.status}: {answer.message}"
        raise SetupError(f"{text}; {hint}" if hint else text)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content.decode(errors="replace")
