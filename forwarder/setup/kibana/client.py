"""Kibana's API, as far as an import of saved objects needs it: the status, a space, the import."""

import base64
import ssl
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx
import msgspec

from forwarder.core.errors import SetupError
from forwarder.setup.kibana.settings import DEFAULT_SPACE, KibanaSettings

TIMEOUT = 60.0
"""Seconds without a byte; an import waits until the objects can be found."""

_DOWN = {"critical", "unavailable"}
_LONGEST = 500
_PRIVILEGES = (
    "In this space they need the Kibana privileges Dashboard: All, Discover: All, Data View Management: All"
)


class Written(msgspec.Struct, frozen=True):
    """An object that Kibana has written.

    Attributes:
        id: ours.
        stored_as: the id that it has there. It differs where another space already has an object of this id.
        replaced: it was there before.
    """

    kind: str
    id: str
    stored_as: str
    replaced: bool


class Imported(msgspec.Struct, frozen=True):
    """What came of an import.

    Attributes:
        written: in Kibana's order.
        refused: one line each, in Kibana's words.
    """

    written: list[Written]
    refused: list[str]


class Kibana:
    """One Kibana. Use it as a context manager."""

    def __init__(self, settings: KibanaSettings) -> None:
        """Args:
            settings: the operator's.

        Raises:
            SetupError: `ca_file` cannot be used.
        """
        self._settings = settings
        self._client = httpx.Client(
            # Kibana refuses a change without kbn-xsrf, whatever its value.
            headers={"kbn-xsrf": "okta-forwarder", **_authorization(settings)},
            verify=_trust(settings),
            timeout=TIMEOUT,
            follow_redirects=False,  # credentials go nowhere but where the operator says
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def version(self) -> str | None:
        """Its version, as in `9.1.0`. None where it does not tell: it tells only those whom it knows.

        Raises:
            SetupError: nobody answers, it is no Kibana, or a Kibana that is not available.
        """
        url = self._settings.url
        answer = self._ask("GET", f"{url}/api/status")
        body = _json(answer)
        status = body.get("status")
        if not isinstance(status, dict):
            if answer.status_code == 503:
                raise SetupError(f"Kibana at {url} is not ready: {_words(answer)}")
            raise SetupError(
                f"{url} is no Kibana: /api/status answers {answer.status_code}: {_words(answer)}\n"
                "Give the address that a browser opens, without /app and with the base path, if there is one."
            )
        overall = status.get("overall", {})
        if overall.get("level") in _DOWN or answer.status_code == 503:
            raise SetupError(
                f"Kibana at {url} is not available: {overall.get('summary') or overall.get('level')}"
            )
        number = body.get("version", {}).get("number")
        return number if isinstance(number, str) else None

    def require_space(self) -> None:
        """Make sure that the space exists. An import would not: Kibana writes into a space that nobody has made.

        Raises:
            SetupError: there is none, or the credentials may not see it.
        """
        space = self._settings.space
        if space == DEFAULT_SPACE:
            return
        answer = self._ask("GET", f"{self._settings.url}/api/spaces/space/{space}")
        if answer.status_code == 404:
            raise SetupError(f"there is no space {space}; make it in Kibana, or name another with --space")
        if answer.status_code != 200:
            self._fail(answer, f"look at the space {space}")

    def write(self, lines: list[str]) -> Imported:
        """Import saved objects; those that are there already, by type and id, are replaced.

        Args:
            lines: an object each.

        Raises:
            SetupError: Kibana takes none of them.
        """
        body = "".join(f"{line}\n" for line in lines).encode()
        answer = self._ask(
            "POST",
            f"{self._settings.root}/api/saved_objects/_import?overwrite=true",
            # Kibana looks at the ending of the name.
            files={"file": ("okta-forwarder.ndjson", body, "application/ndjson")},
        )
        if answer.status_code != 200:
            self._fail(answer, "import dashboards")
        told = _json(answer)
        return Imported(
            written=[_written(one) for one in told.get("successResults", [])],
            refused=[_refused(one) for one in told.get("errors", [])],
        )

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Send one request, and give any answer but those that no request can do anything with."""
        try:
            answer = self._client.request(method, url, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            hint = (
                " (name its certificate authority with --ca-file)"
                if "CERTIFICATE_VERIFY" in str(error)
                else ""
            )
            raise SetupError(
                f"no answer from {self._settings.url}: {error or type(error).__name__}{hint}"
            ) from error
        if answer.status_code == 401:
            raise SetupError(
                f"Kibana does not accept these credentials, or wants some (401): {_words(answer)}"
            )
        if answer.is_redirect:
            raise SetupError(
                f"{self._settings.url} sends us elsewhere, to {answer.headers.get('location')}; name that address, "
                "or the base path that belongs to it"
            )
        return answer

    def _fail(self, answer: httpx.Response, what: str) -> NoReturn:
        if answer.status_code == 403:
            raise SetupError(
                f"these credentials may not {what} (403). {_PRIVILEGES}. Kibana says: {_words(answer)}"
            )
        raise SetupError(f"Kibana did not {what}: it answers {answer.status_code}: {_words(answer)}")


def _authorization(settings: KibanaSettings) -> dict[str, str]:
    if settings.api_key:
        key = settings.api_key.reveal()
        encoded = base64.b64encode(key.encode()).decode() if ":" in key else key
        return {"Authorization": f"ApiKey {encoded}"}
    if settings.user and settings.password:
        pair = f"{settings.user}:{settings.password.reveal()}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _trust(settings: KibanaSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SetupError(f"the certificates in {settings.ca_file} cannot be used: {error}") from error


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _words(answer: httpx.Response) -> str:
    """What it says, short."""
    told = _json(answer).get("message")
    return (told if isinstance(told, str) else answer.text).strip()[:_LONGEST]


def _written(told: dict[str, Any]) -> Written:
    return Written(
        kind=told["type"],
        id=told["id"],
        stored_as=told.get("destinationId", told["id"]),
        replaced=told.get("overwrite", False),
    )


def _refused(told: dict[str, Any]) -> str:
    error = told.get("error", {})
    kind = error.get("type")
    reason = error.get("message") or kind
    if kind == "missing_references":
        missing = ", ".join(f"{one['type']} {one['id']}" for one in error.get("references", []))
        reason = f"it needs {missing}, which is not there"
    elif kind == "ambiguous_conflict":
        copies = ", ".join(one["id"] for one in error.get("destinations", []))
        reason = f"this space has several copies of it, keep one: {copies}"
    elif kind == "unsupported_type":
        reason = "this Kibana has no such objects"
    return f"{told.get('type')} {told.get('id')}: {reason}"
