"""Sends requests to Kibana and Grafana, and reads the responses."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self

import httpx

from forwarder import tls
from forwarder.connection_errors import why_unreachable
from forwarder.core.errors import SetupError
from forwarder.setup.server_settings import ServerSettings

TIMEOUT = 60.0
"""Seconds after which a request fails if no byte arrives."""

_LONGEST = 500


class ServerClient:
    """A client for Kibana or Grafana, and a context manager. Methods raise SetupError if a request fails.

    It uses no proxy, and trusts the CA certificates in `ca_file` of its settings; without a file, those of the system.

    Attributes:
        privileges: a sentence that says which privileges the credentials need.
        right_address: what to give as the address if the server redirects to another one.
    """

    product: ClassVar[str]
    privileges: ClassVar[str]
    right_address: ClassVar[str] = "give that address"

    def __init__(self, settings: ServerSettings, headers: Mapping[str, str]) -> None:
        """Create the client, which sends `headers` with each request; no request is sent.

        Raises:
            SetupError: the certificates cannot be used.
        """
        try:
            trusted = tls.client_context(settings.ca_file)
        except OSError as error:  # an ssl.SSLError is an OSError too
            raise SetupError(
                f"the certificates in {settings.ca_file} cannot be used: {error.strerror or error}"
            ) from error
        self._url = settings.url
        self._client = httpx.Client(
            headers=headers,
            auth=settings.login,
            verify=trusted,
            timeout=TIMEOUT,
            follow_redirects=False,  # credentials are sent only to the configured address
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Send one request. Raise SetupError if there is no response, or if it is a 401 or a redirect."""
        try:
            answer = self._client.request(method, url, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason, hint = why_unreachable(
                error, "--url", untrusted="give the CA certificate of the server with --ca-file"
            )
            raise SetupError(f"no response from {self._url}: {reason}; {hint}") from error
        if answer.status_code == 401:
            raise SetupError(
                f"{self.product} refuses the request, because the credentials are wrong or missing (401): {message_of(answer)}"
            )
        if answer.is_redirect:
            raise SetupError(
                f"{self._url} redirects to {answer.headers.get('location')}; {self.right_address}"
            )
        return answer

    def fail(self, answer: httpx.Response, what: str) -> NoReturn:
        """Raise SetupError, because the server answered that it did not do `what`."""
        if answer.status_code == 403:
            raise SetupError(
                f"these credentials may not {what} (403). {self.privileges}. {self.product} says: {message_of(answer)}"
            )
        raise SetupError(
            f"{self.product} did not {what}: it answers {answer.status_code}: {message_of(answer)}"
        )


def json_object(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object in the body of a response; an empty one if the body is something else."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def message_of(answer: httpx.Response) -> str:
    """Return the field `message` of a JSON response, or else the whole body; at most `_LONGEST` characters."""
    message = json_object(answer).get("message")
    return (message if isinstance(message, str) else answer.text).strip()[:_LONGEST]
