"""The emulated org's HTTP: Okta's own paths, and beside them `/emulator`, which Okta does not have.

| path | answers |
|---|---|
| `GET, POST /api/v1/eventHooks` | 200 |
| `GET, PUT /api/v1/eventHooks/{id}` | 200 |
| `DELETE /api/v1/eventHooks/{id}` | 204; 403 while it is ACTIVE |
| `POST /api/v1/eventHooks/{id}/lifecycle/{activate, deactivate, verify}` | 200; 400 when the challenge failed |
| `GET /api/v1/logs` | 200; polling or bounded: log_query.py |
| `POST /oauth2/v1/token` | 200; 400 with a nonce to a first call with DPoP |
| `POST /emulator/events` | 200 `{"events": [uuid, ...]}` |
| `PUT /emulator/faults` | 200, the faults now in force |
| `POST /emulator/preview` | 200 `{"event": uuid, "delivered": true}` |
| `GET /emulator/ledger` | 200 |

Okta's API wants a token (admission.py) and a share of the minute's calls; `/emulator` is open: listen on loopback.
"""

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from forwarder.emulator.hooks.api import HOOK_ROUTES
from forwarder.emulator.http.auth import Admission, Call
from forwarder.emulator.http.control_api import OWN_ROUTES
from forwarder.emulator.http.errors import OAuthError, OktaApiError, too_many
from forwarder.emulator.http.responses import (
    OktaRequest,
    admission,
    fail,
    refuse,
    refuse_http,
    refuse_oauth,
    tell,
)
from forwarder.emulator.oauth.api import TOKEN_ROUTES
from forwarder.emulator.org import Emulator
from forwarder.emulator.system_log.api import LOG_ROUTES


def create_app(emulator: Emulator) -> Litestar:
    """The application that serves `emulator`, which the caller has entered and will leave.

    Raises:
        JwsError: a key of the settings is none.
    """
    okta = Router("/api/v1", route_handlers=[*HOOK_ROUTES, *LOG_ROUTES], before_request=_admit)
    own = Router("/emulator", route_handlers=OWN_ROUTES)
    return Litestar(
        [okta, own, *TOKEN_ROUTES],
        state=State({"org": emulator, "admission": Admission(emulator.settings, emulator.clock)}),
        exception_handlers={
            OktaApiError: refuse,
            OAuthError: refuse_oauth,
            HTTPException: refuse_http,
            Exception: fail,
        },
        openapi_config=None,
        logging_config=None,
    )


async def _admit(request: OktaRequest) -> None:
    """Let a caller of Okta's paths in, who may call and has calls left."""
    door, path = admission(request), request.url.path
    shown, proof = request.headers.get("authorization", ""), request.headers.get("dpop")
    principal = door.principal(Call(request.method, path, shown, proof))
    left, told = door.budgets.spend("logs" if path == "/api/v1/logs" else "all else", principal)
    tell(request, told)
    if not left:
        raise too_many()
