"""`/api/v1/security-events-providers` and `/security/api/v1/security-events`. Callers of the second path
authenticate only by the signature of the token that they send."""

from typing import Any

from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath

from forwarder.emulator.actors import Caller
from forwarder.emulator.http.errors import decode, not_found
from forwarder.emulator.http.middleware import recorded
from forwarder.emulator.http.responses import OktaRequest, accepted, caller, org, org_url, set_effect
from forwarder.emulator.ssf.providers import ProviderSpec
from forwarder.emulator.ssf.tokens import refusal

_PROVIDERS = "/security-events-providers"
_PROVIDER = f"{_PROVIDERS}/{{provider_id:str}}"


@get(_PROVIDERS)
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    emulator = org(request)
    return [provider.view(emulator.settings.url) for provider in emulator.providers.all()]


@post(_PROVIDERS, status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    emulator = org(request)
    spec = decode(await request.body(), ProviderSpec, "securityEventsProvider")
    return emulator.providers.create(spec, caller(request)).view(emulator.settings.url)


@get(_PROVIDER)
async def _show(request: OktaRequest, provider_id: FromPath[str]) -> dict[str, Any]:
    return org(request).providers.find(provider_id).view(org_url(request))


@put(_PROVIDER)
async def _replace(request: OktaRequest, provider_id: FromPath[str]) -> dict[str, Any]:
    providers = org(request).providers
    provider = providers.find(provider_id)
    spec = decode(await request.body(), ProviderSpec, "securityEventsProvider")
    providers.replace(provider, spec, caller(request))
    return provider.view(org_url(request))


@delete(_PROVIDER)
async def _delete(request: OktaRequest, provider_id: FromPath[str]) -> None:
    providers = org(request).providers
    providers.delete(providers.find(provider_id), caller(request))


@post(f"{_PROVIDER}/lifecycle/{{step:str}}", status_code=200)
async def _lifecycle(request: OktaRequest, provider_id: FromPath[str], step: FromPath[str]) -> dict[str, Any]:
    providers = org(request).providers
    provider = providers.find(provider_id)
    if step not in {"activate", "deactivate"}:
        raise not_found(request.url.path)
    providers.set_active(provider, caller(request), active=step == "activate")
    return provider.view(org_url(request))


@post("/security-events", status_code=202)
async def _receive(request: OktaRequest) -> Response[bytes]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/secevent+jwt":
        raise refusal("invalid_request", "The content type must be application/secevent+jwt.")
    provider, effect = await org(request).security_events.receive(await request.body())
    request.state.caller = Caller(provider.id, by_token=False)
    set_effect(request, changed=effect)
    return accepted()


PROVIDER_ROUTES = (_list, _create, _show, _replace, _delete, _lifecycle)

security_routes = Router("/security/api/v1", route_handlers=[_receive], middleware=[recorded])
