"""A client for the part of Grafana's HTTP API that setup needs: health, folders, dashboards, data sources."""

from types import TracebackType
from typing import Any, NoReturn, Self

import httpx

from forwarder.core.errors import SetupError
from forwarder.setup import http_client
from forwarder.setup.grafana.settings import GrafanaSettings


class Grafana:
    """A client of a Grafana server, and a context manager. Methods raise SetupError if a request fails."""

    def __init__(self, settings: GrafanaSettings) -> None:
        """Create the client; no request is sent."""
        self._url = settings.url
        headers = {"accept": "application/json"}
        if settings.token:
            headers["authorization"] = f"Bearer {settings.token.reveal()}"
        auth = (settings.user, settings.password.reveal()) if settings.user and settings.password else None
        self._client = http_client.client(headers, settings.ca_file, auth)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def version(self) -> str | None:
        """Return the version of Grafana, as in `12.1.0`; None if Grafana does not show it."""
        answer = self._ask("GET", "/api/health")
        body = http_client.json_object(answer)
        if "database" not in body:
            raise SetupError(
                f"{self._url} is not a Grafana: /api/health answers {answer.status_code}: {http_client.message_of(answer)}\n"
                "Give the address that you open in a browser, with its sub-path if it has one."
            )
        if body["database"] != "ok":
            raise SetupError(f"Grafana at {self._url} is not ready: its database is {body['database']}")
        version = body.get("version")
        return version if isinstance(version, str) else None

    def find(self, path: str, what: str) -> dict[str, Any] | None:
        """Return the JSON object at `path`; None if the response is 404. `what` names the object in error messages."""
        answer = self._ask("GET", path)
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            self._fail(answer, f"show {what}")
        return http_client.json_object(answer)

    def send(self, method: str, path: str, body: Any, what: str) -> dict[str, Any]:
        """Send `body` as JSON, and return the response. `what` names the written object in error messages."""
        answer = self._ask(method, path, json=body)
        if answer.status_code not in {200, 201}:
            self._fail(answer, f"write {what}")
        return http_client.json_object(answer)

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, f"{self._url}{path}", **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http_client.no_response(self._url, error) from error
        if answer.status_code == 401:
            raise SetupError(
                f"Grafana does not accept these credentials, or there are none (401): {http_client.message_of(answer)}"
            )
        if answer.is_redirect:
            raise SetupError(f"{self._url} redirects to {answer.headers.get('location')}; give that address")
        return answer

    def _fail(self, answer: httpx.Response, what: str) -> NoReturn:
        if answer.status_code == 403:
            raise SetupError(
                f"these credentials may not {what} (403). The service account needs the role Editor, or Admin to write data "
                f"sources. Grafana says: {http_client.message_of(answer)}"
            )
        raise SetupError(
            f"Grafana did not {what}: it answers {answer.status_code}: {http_client.message_of(answer)}"
        )
