"""`/api/v1/eventHooks`."""

from typing import Any

from litestar import delete, get, post, put
from litestar.params import FromPath

from forwarder.emulator.hooks.hooks import EmulatedHook
from forwarder.emulator.http.errors import not_found
from forwarder.emulator.http.responses import OktaRequest, org, org_url

_HOOK = "/eventHooks/{hook_id:str}"


def _view(request: OktaRequest, hook: EmulatedHook, **changes: Any) -> dict[str, Any]:
    return hook.view(org_url(request), **changes)


@get("/eventHooks")
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    return [_view(request, hook) for hook in org(request).hooks.all()]


@post("/eventHooks", status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    return _view(request, org(request).create_hook(await request.body()))


@get(_HOOK)
async def _show(request: OktaRequest, hook_id: FromPath[str]) -> dict[str, Any]:
    return _view(request, org(request).hooks.find(hook_id))


@put(_HOOK)
async def _replace(request: OktaRequest, hook_id: FromPath[str]) -> dict[str, Any]:
    hooks = org(request).hooks
    # In recordings, Okta answers with the `lastUpdated` from before the PUT.
    before = hooks.find(hook_id).updated
    return _view(request, hooks.replace(hook_id, await request.body()), updated=before)


@delete(_HOOK)
async def _delete(request: OktaRequest, hook_id: FromPath[str]) -> None:
    org(request).delete_hook(hook_id)


@post(f"{_HOOK}/lifecycle/{{step:str}}", status_code=200)
async def _lifecycle(request: OktaRequest, hook_id: FromPath[str], step: FromPath[str]) -> dict[str, Any]:
    match step:
        case "activate":
            return _view(request, org(request).hooks.activate(hook_id))
        case "deactivate":
            return _view(request, org(request).hooks.deactivate(hook_id))
        case "verify":
            return _view(request, await org(request).verify(hook_id))
    raise not_found(request.url.path)


HOOK_ROUTES = (_list, _create, _show, _replace, _delete, _lifecycle)
