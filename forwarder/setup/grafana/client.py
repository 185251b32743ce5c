"""A client for the part of Grafana's HTTP API that setup needs: health, folders, dashboards, data sources."""

from typing import Any

from forwarder.core.errors import SetupError
from forwarder.setup.grafana.settings import GrafanaSettings
from forwarder.setup.http_client import ServerClient, json_object, message_of


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
        body = json_object(answer)
        if "database" not in body:
            raise SetupError(
                f"{self._url} is not a Grafana: /api/health answers {answer.status_code}: {message_of(answer)}\n"
                "Give the address that you open in a browser, with its sub-path if it has one."
            )
        if body["database"] != "ok":
            raise SetupError(f"Grafana at {self._url} is not ready: its database is {body['database']}")
        version = body.get("version")
        return version if isinstance(version, str) else None

    def find(self, path: str, what: str) -> dict[str, Any] | None:
        """Return the JSON object at `path`; None if the response is 404. `what` names the object in error messages."""
        answer = self.ask("GET", self._url + path)
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            self.fail(answer, f"show {what}")
        return json_object(answer)

    def send(self, method: str, path: str, body: Any, what: str) -> dict[str, Any]:
        """Send `body` as JSON, and return the response. `what` names the written object in error messages."""
        answer = self.ask(method, self._url + path, json=body)
        if answer.status_code not in {200, 201}:
            self.fail(answer, f"write {what}")
        return json_object(answer)
