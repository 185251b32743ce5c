"""A client for the part of Grafana's HTTP API that setup needs: health, folders, dashboards, data sources."""

from typing import Any

import msgspec

from forwarder.connection_errors import refusal_hint
from forwarder.core.errors import SetupError
from forwarder.setup.grafana.settings import GrafanaSettings
from forwarder.setup.http_client import ServerClient, T


class _Health(msgspec.Struct, frozen=True):
    database: str
    version: str | None = None


class Grafana(ServerClient):
    """A client of a Grafana server, and a context manager. Methods raise SetupError if a request fails."""

    product = "Grafana"
    privileges = "The service account needs the role Editor, or Admin to write data sources"

    def __init__(self, settings: GrafanaSettings) -> None:
        """Create the client; no request is sent."""
        key = {"authorization": f"Bearer {settings.key}"} if settings.key else {}
        super().__init__(settings, {"accept": "application/json", **key})

    def version(self) -> str | None:
        """Return the version of Grafana, as in `12.1.0`; None if Grafana does not show it."""
        answer = self.ask("GET", f"{self._url}/api/health")
        try:
            health = msgspec.convert(answer.body, _Health)
        except msgspec.ValidationError:
            raise SetupError(
                f"{self._url} is not a Grafana: /api/health answers {answer.status}: {answer.message}\n"
                "Give the address that you open in a browser, with its sub-path if it has one."
            ) from None
        if health.database != "ok":
            hint = refusal_hint(503, "Grafana", "--url")
            raise SetupError(f"Grafana at {self._url} is not ready: its database is {health.database}; {hint}")
        return health.version

    def find(self, path: str, kind: type[T], what: str) -> T | None:
        """Return the JSON object at `path`, as the type `kind`; None if the response is 404. `what` names the object in
        errors."""
        answer = self.ask("GET", self._url + path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            self.fail(answer, f"show {what}")
        return self.read(answer, kind, f"show {what}")

    def send(self, method: str, path: str, body: Any, what: str) -> dict[str, Any]:
        """Send `body` as JSON, and return the response. `what` names the written object in error messages."""
        answer = self.ask(method, self._url + path, json=body)
        if answer.status not in {200, 201}:
            self.fail(answer, f"write {what}")
        return self.read(answer, dict, f"write {what}")
