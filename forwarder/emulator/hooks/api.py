"""Event hooks, as `/api/v1/eventHooks` has them."""

from litestar import Response, delete, get, post, put
from litestar.params import FromPath

from forwarder.emulator.http.responses import OktaRequest, answer, headers, org

_HOOK = "/eventHooks/{hook_id:str}"


@get("/eventHooks")
async def _list(request: OktaRequest) -> Response[bytes]:
    emulator = org(request)
    return answer(request, [hook.view(emulator.settings.url) for hook in emulator.hooks.all()])


@post("/eventHooks", status_code=200)
async def _create(request: OktaRequest) -> Response[bytes]:
    emulator = org(request)
    return answer(request, emulator.create_hook(await request.body()).view(emulator.settings.url))


@get(_HOOK)
async def _show(request: OktaRequest, hook_id: FromPath[str]) -> Response[bytes]:
    emulator = org(request)
    return answer(request, emulator.hooks.get(hook_id).view(emulator.settings.url))


@put(_HOOK)
async def _replace(request: OktaRequest, hook_id: FromPath[str]) -> Response[bytes]:
    emulator = org(request)
    stale = emulator.hooks.get(hook_id).updated if emulator.settings.stale_updates else None
    hook = emulator.hooks.replace(hook_id, await request.body())
    return answer(request, hook.view(emulator.settings.url, updated=stale))


@delete(_HOOK)
async def _delete(request: OktaRequest, hook_id: FromPath[str]) -> Response[None]:
    org(request).delete_hook(hook_id)
    return Response(None, headers=headers(request))


@post(f"{_HOOK}/lifecycle/activate", status_code=200)
async def _activate(request: OktaRequest, hook_id: FromPath[str]) -> Response[bytes]:
    emulator = org(request)
    return answer(request, emulator.hooks.activate(hook_id).view(emulator.settings.url))


@post(f"{_HOOK}/lifecycle/deactivate", status_code=200)
async def _deactivate(request: OktaRequest, hook_id: FromPath[str]) -> Response[bytes]:
    emulator = org(request)
    return answer(request, emulator.hooks.deactivate(hook_id).view(emulator.settings.url))


@post(f"{_HOOK}/lifecycle/verify", status_code=200)
async def _verify(request: OktaRequest, hook_id: FromPath[str]) -> Response[bytes]:
    emulator = org(request)
    hook = await emulator.verify(hook_id)
    return answer(request, hook.view(emulator.settings.url))


HOOK_ROUTES = (_list, _create, _show, _replace, _delete, _activate, _deactivate, _verify)
