"""The emulated org's HTTP: Okta's own paths, and beside them `/emulator`, which Okta does not have.

| path | answers |
|---|---|
| `GET, POST /api/v1/eventHooks` | 200 |
| `GET, PUT /api/v1/eventHooks/{id}` | 200 |
| `DELETE /api/v1/eventHooks/{id}` | 204; 403 while it is ACTIVE |
| `POST /api/v1/eventHooks/{id}/lifecycle/{activate, deactivate, verify}` | 200; 400 when the challenge failed |
| `GET /api/v1/logs` | 200; polling or bounded: log_query.py |
| `POST /emulator/events` | 200 `{"events": [uuid, ...]}` |
| `PUT /emulator/faults` | 200, the faults now in force |
| `GET /emulator/ledger` | 200 |

Okta's paths want `Authorization: SSWS <token>` and a share of the minute's calls; `/emulator` is open: listen on loopback.
"""

import hmac

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from forwarder.emulator.budgets import Budgets
from forwarder.emulator.hooks_api import HOOK_ROUTES
from forwarder.emulator.log_api import LOG_ROUTES
from forwarder.emulator.org import Emulator
from forwarder.emulator.own_api import OWN_ROUTES
from forwarder.emulator.replies import OktaApiError, bad_token, too_many
from forwarder.emulator.web import OktaRequest, budgets, fail, org, refuse, refuse_http, tell


def app(emulator: Emulator) -> Litestar:
    """The application that serves `emulator`, which the caller has entered and will leave."""
    okta = Router("/api/v1", route_handlers=[*HOOK_ROUTES, *LOG_ROUTES], before_request=_admit)
    own = Router("/emulator", route_handlers=OWN_ROUTES)
    return Litestar(
        [okta, own],
        state=State({"org": emulator, "budgets": Budgets(emulator.settings, emulator.clock)}),
        exception_handlers={OktaApiError: refuse, HTTPException: refuse_http, Exception: fail},
        openapi_config=None,
        logging_config=None,
    )


async def _admit(request: OktaRequest) -> None:
    """Let a caller of Okta's paths in, who shows the token and has calls left."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    expected = org(request).settings.token.reveal()
    if scheme.upper() != "SSWS" or not hmac.compare_digest(shown.encode(), expected.encode()):
        raise bad_token()
    left, told = budgets(request).spend(
        "logs" if request.url.path == "/api/v1/logs" else "all else", "the token"
    )
    tell(request, told)
    if not left:
        raise too_many()
