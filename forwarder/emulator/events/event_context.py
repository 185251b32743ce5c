"""The circumstances of one event, and the parts of it that follow from them alone."""

from typing import Any

import msgspec

from forwarder.emulator.events.event_templates import EventTemplate
from forwarder.emulator.events.fixtures import Agent, Network, Person


class EventContext(msgspec.Struct):
    """The circumstances of one event, drawn once so that its parts agree.

    Attributes:
        event_type: Okta's dotted name.
        template: what events of that type tell.
        person: who acts.
        network: where from; None in a job, which has no client.
        agent: with which browser.
        place: where that is, as far as Okta knows.
        stranger: somebody else acts as `person`.
        failed: it does not go well.
        request_id: names the request, or the job.
    """

    event_type: str
    template: EventTemplate
    person: Person
    network: Network | None
    agent: Agent
    place: dict[str, Any] | None
    stranger: bool
    failed: bool
    request_id: str


def client_of(context: EventContext, actor: dict[str, Any]) -> dict[str, Any]:
    """`client`: all nulls in a job."""
    if not context.network:
        return dict.fromkeys(("userAgent", "zone", "device", "id", "ipAddress", "geographicalContext"))
    raw, system, browser, device = context.agent
    return {
        "userAgent": {"rawUserAgent": raw, "os": system, "browser": browser},
        "zone": "null",
        "device": device,
        "id": actor["id"] if actor["type"] == "PublicClientApp" else None,
        "ipAddress": context.network.ip,
        "geographicalContext": context.place,
    }


def chain_of(context: EventContext) -> list[dict[str, Any]]:
    """`request.ipChain`."""
    network = context.network
    if not network:
        return []
    return [
        {"ip": network.ip, "geographicalContext": context.place, "version": network.version, "source": None}
    ]


def security_of(network: Network | None) -> dict[str, Any]:
    """`securityContext`."""
    if not network:
        return dict.fromkeys(("asNumber", "asOrg", "isp", "domain", "isProxy"))
    return {
        "asNumber": network.as_number,
        "asOrg": network.isp,
        "isp": network.isp,
        "domain": "example.net",
        "isProxy": network.proxy,
    }
