"""Makes the HTTP clients for Kibana and Grafana, and reads the responses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from forwarder import tls
from forwarder.config.hosts import split_http_url
from forwarder.connection_errors import why_unreachable
from forwarder.core.errors import SetupError

TIMEOUT = 60.0
"""Seconds after which a request fails if no byte arrives."""

_LONGEST = 500


def base_url(url: str, credentials: str) -> str:
    """Check the URL of a server, and return it without a slash at its end. `credentials` is as in `split_http_url`.

    Raises:
        ValueError: `url` is not such a URL.
    """
    split_http_url(url, credentials)
    return url.rstrip("/")


def client(
    headers: Mapping[str, str], ca_file: Path | None, auth: tuple[str, str] | None = None
) -> httpx.Client:
    """Return a client that sends `headers` with each request, and authenticates with the user and password in `auth`.

    The client trusts the CA certificates in `ca_file`; without a file, those of the system. It uses no proxy.

    Raises:
        SetupError: the certificates cannot be used.
    """
    try:
        trusted = tls.client_context(ca_file)
    except OSError as error:  # an ssl.SSLError is an OSError too
        raise SetupError(
            f"the certificates in {ca_file} cannot be used: {error.strerror or error}"
        ) from error
    return httpx.Client(
        headers=headers,
        auth=auth,
        verify=trusted,
        timeout=TIMEOUT,
        follow_redirects=False,  # credentials are sent only to the configured address
        trust_env=False,
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


def no_response(url: str, error: Exception) -> SetupError:
    """Return the exception to raise after a request to `url` failed with `error`, without a response."""
    reason, hint = why_unreachable(
        error, "--url", untrusted="give the CA certificate of the server with --ca-file"
    )
    return SetupError(f"no response from {url}: {reason}; {hint}")
