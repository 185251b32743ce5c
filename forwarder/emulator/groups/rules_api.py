"""`/api/v1/groups/rules`."""

from typing import Any

from litestar import Response, delete, get, post
from litestar.params import FromPath

from forwarder.emulator.groups.rules import RuleSpec
from forwarder.emulator.http.errors import decode, not_found
from forwarder.emulator.http.responses import OktaRequest, accepted, org

_RULE = "/groups/rules/{rule_id:str}"


@get("/groups/rules")
async def _list(request: OktaRequest) -> list[dict[str, Any]]:
    return [rule.view() for rule in org(request).group_rules.all()]


@post("/groups/rules", status_code=200)
async def _create(request: OktaRequest) -> dict[str, Any]:
    return org(request).group_rules.create(decode(await request.body(), RuleSpec, "group rule")).view()


@get(_RULE)
async def _show(request: OktaRequest, rule_id: FromPath[str]) -> dict[str, Any]:
    return org(request).group_rules.find(rule_id).view()


@delete(_RULE, status_code=202)
async def _delete(request: OktaRequest, rule_id: FromPath[str]) -> Response[bytes]:
    org(request).group_rules.delete(org(request).group_rules.find(rule_id))
    return accepted()


@post(f"{_RULE}/lifecycle/{{step:str}}", status_code=204)
async def _lifecycle(request: OktaRequest, rule_id: FromPath[str], step: FromPath[str]) -> None:
    rule = org(request).group_rules.find(rule_id)
    if step not in {"activate", "deactivate"}:
        raise not_found(request.url.path)
    rule.active = step == "activate"


GROUP_RULE_ROUTES = (_list, _create, _show, _delete, _lifecycle)
