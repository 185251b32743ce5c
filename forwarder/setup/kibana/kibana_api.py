"""A client for the part of Kibana's API that an import of saved objects needs: status, spaces, import."""

import base64

import msgspec

from forwarder.connection_errors import refusal_hint
from forwarder.core.errors import SetupError
from forwarder.setup.http_client import ServerClient
from forwarder.setup.kibana.settings import DEFAULT_SPACE, KibanaSettings

_DOWN = {"critical", "unavailable"}


class _Overall(msgspec.Struct, frozen=True):
    level: str = ""
    summary: str = ""


class _State(msgspec.Struct, frozen=True):
    overall: _Overall = _Overall()


class _Version(msgspec.Struct, frozen=True):
    number: str | None = None


class _Status(msgspec.Struct, frozen=True):
    """The response to /api/status. Without credentials, Kibana shows only the level."""

    status: _State
    version: _Version = _Version()


class _Named(msgspec.Struct, frozen=True):
    type: str = "?"
    id: str = "?"


class _Reason(msgspec.Struct, frozen=True):
    type: str = ""
    message: str = ""
    references: list[_Named] = []
    destinations: list[_Named] = []


class _Refusal(msgspec.Struct, frozen=True):
    type: str = "?"
    id: str = "?"
    error: _Reason = _Reason()


class _Success(msgspec.Struct, frozen=True):
    type: str
    id: str
    stored_as: str | None = msgspec.field(name="destinationId", default=None)
    replaced: bool = msgspec.field(name="overwrite", default=False)


class _Import(msgspec.Struct, frozen=True):
    """The response to an import."""

    success: bool
    written: list[_Success] = msgspec.field(name="successResults", default=[])
    refused: list[_Refusal] = msgspec.field(name="errors", default=[])


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
    privileges = (
        "In this space they need the Kibana privileges Dashboard: All, Discover: All, Data View Management: All"
    )
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
        try:
            found = msgspec.convert(answer.body, _Status)
        except msgspec.ValidationError:
            if answer.status == 503:
                raise SetupError(
                    f"Kibana at {url} is not ready: {answer.message}; {refusal_hint(503, 'Kibana', '--url')}"
                ) from None
            raise SetupError(
                f"{url} is not a Kibana: /api/status answers {answer.status}: {answer.message}\n"
                "Give the address that you open in a browser, without /app, and with the base path if it has one."
            ) from None
        overall = found.status.overall
        if overall.level in _DOWN or answer.status == 503:
            hint = refusal_hint(503, "Kibana", "--url")
            raise SetupError(f"Kibana at {url} is not available: {overall.summary or overall.level}; {hint}")
        return found.version.number

    def require_space(self) -> None:
        """Check that the space exists. Kibana itself reports no error if the space of an import does not exist."""
        space = self._settings.space
        if space == DEFAULT_SPACE:
            return
        answer = self.ask("GET", f"{self._settings.url}/api/spaces/space/{space}")
        if answer.status == 404:
            raise SetupError(f"there is no space {space}; create it in Kibana, or name another with --space")
        if answer.status != 200:
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
        if answer.status != 200:
            self.fail(answer, "import dashboards")
        result = self.read(answer, _Import, "import dashboards")
        return Imported(
            written=[WrittenObject(one.type, one.id, one.stored_as or one.id, one.replaced) for one in result.written],
            refused=[_refused(one) for one in result.refused],
        )


def _authorization(key: str | None) -> dict[str, str]:
    if not key:
        return {}
    encoded = base64.b64encode(key.encode()).decode() if ":" in key else key
    return {"Authorization": f"ApiKey {encoded}"}


def _refused(result: _Refusal) -> str:
    error = result.error
    kind = error.type
    reason = error.message or kind
    if kind == "missing_references":
        missing = ", ".join(f"{one.type} {one.id}" for one in error.references)
        reason = f"it needs {missing}, which does not exist"
    elif kind == "ambiguous_conflict":
        copies = ", ".join(one.id for one in error.destinations)
        reason = f"this space has several copies of it; delete all but one: {copies}"
    elif kind == "unsupported_type":
        reason = "this Kibana does not have this type"
    return f"{result.type} {result.id}: {reason}"
