"""A client for the part of Kibana's API that an import of saved objects needs: status, spaces, import."""

import base64
from typing import Any

import msgspec

from forwarder.core.errors import SetupError
from forwarder.setup.http_client import ServerClient, json_object, message_of
from forwarder.setup.kibana.settings import DEFAULT_SPACE, KibanaSettings

_DOWN = {"critical", "unavailable"}


class WrittenObject(msgspec.Struct, frozen=True):
    """An object that Kibana has written.

    Attributes:
        stored_as: the id of the object in Kibana. It differs from `id` if another space already has an object with `id`.
    """

    kind: str
    id: str
    stored_as: str
    replaced: bool


class Imported(msgspec.Struct, frozen=True):
    """The result of an import. `refused` has a line for each object that Kibana refused, with the reason."""

    written: list[WrittenObject]
    refused: list[str]


class Kibana(ServerClient):
    """A client of a Kibana server, and a context manager. Methods raise SetupError if a request fails."""

    product = "Kibana"
    privileges = "In this space they need the Kibana privileges Dashboard: All, Discover: All, Data View Management: All"
    right_address = "give that address, or the base path that belongs to it"

    def __init__(self, settings: KibanaSettings) -> None:
        """Create the client; no request is sent."""
        self._settings = settings
        # Kibana refuses a change if the request has no header kbn-xsrf; the value does not matter.
        super().__init__(settings, {"kbn-xsrf": "okta-forwarder", **_authorization(settings.key)})

    def version(self) -> str | None:
        """Return the version of Kibana, as in `9.1.0`; None if Kibana does not show it, for example to unknown users."""
        url = self._settings.url
        answer = self.ask("GET", f"{url}/api/status")
        body = json_object(answer)
        status = body.get("status")
        if not isinstance(status, dict):
            if answer.status_code == 503:
                raise SetupError(f"Kibana at {url} is not ready: {message_of(answer)}")
            raise SetupError(
                f"{url} is not a Kibana: /api/status answers {answer.status_code}: {message_of(answer)}\n"
                "Give the address that you open in a browser, without /app, and with the base path if it has one."
            )
        overall = status.get("overall", {})
        if overall.get("level") in _DOWN or answer.status_code == 503:
            raise SetupError(
                f"Kibana at {url} is not available: {overall.get('summary') or overall.get('level')}"
            )
        number = body.get("version", {}).get("number")
        return number if isinstance(number, str) else None

    def require_space(self) -> None:
        """Check that the space exists. Kibana itself reports no error if the space of an import does not exist."""
        space = self._settings.space
        if space == DEFAULT_SPACE:
            return
        answer = self.ask("GET", f"{self._settings.url}/api/spaces/space/{space}")
        if answer.status_code == 404:
            raise SetupError(f"there is no space {space}; create it in Kibana, or name another with --space")
        if answer.status_code != 200:
            self.fail(answer, f"show the space {space}")

    def write(self, lines: list[str]) -> Imported:
        """Import saved objects, one per line. Existing objects with the same type and id are replaced."""
        body = "".join(f"{line}\n" for line in lines).encode()
        answer = self.ask(
            "POST",
            f"{self._settings.root}/api/saved_objects/_import?overwrite=true",
            # Kibana checks the extension of the file name.
            files={"file": ("okta-forwarder.ndjson", body, "application/ndjson")},
        )
        if answer.status_code != 200:
            self.fail(answer, "import dashboards")
        result = json_object(answer)
        return Imported(
            written=[
                WrittenObject(
                    one["type"], one["id"], one.get("destinationId", one["id"]), one.get("overwrite", False)
                )
                for one in result.get("successResults", [])
            ],
            refused=[_refused(one) for one in result.get("errors", [])],
        )


def _authorization(key: str | None) -> dict[str, str]:
    if not key:
        return {}
    encoded = base64.b64encode(key.encode()).decode() if ":" in key else key
    return {"Authorization": f"ApiKey {encoded}"}


def _refused(result: dict[str, Any]) -> str:
    error = result.get("error", {})
    kind = error.get("type")
    reason = error.get("message") or kind
    if kind == "missing_references":
        missing = ", ".join(f"{one['type']} {one['id']}" for one in error.get("references", []))
        reason = f"it needs {missing}, which does not exist"
    elif kind == "ambiguous_conflict":
        copies = ", ".join(one["id"] for one in error.get("destinations", []))
        reason = f"this space has several copies of it; delete all but one: {copies}"
    elif kind == "unsupported_type":
        reason = "this Kibana does not have this type"
    return f"{result.get('type')} {result.get('id')}: {reason}"
