"""Finds the addresses from which Okta sees the forwarder: the addresses in the configuration, and the addresses that
the System Log shows for our calls."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from forwarder.config.hosts import is_loopback
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, iso
from forwarder.ecs.fields import object_at
from forwarder.okta.api.port import Api, not_okta
from forwarder.okta.zones.address_ranges import AddressRange, parse_range
from forwarder.okta.zones.exemption import RequiredExemption

_LOOKBACK = 2 * 3600 * SECOND
"""How far back to search for our calls. A service app fetches a token every hour, and the log shows this call."""

_ZONE_TYPES = ("zone.create", "zone.update", "zone.activate", "zone.deactivate")
_LIMIT = 200
_Event = dict[str, Any]
_TRIES = 5
_PAUSE = 2.0  # seconds
_CACHED = 60.0
"""How many seconds the found events are used again. The rate limit of the System Log is low, and polling needs it."""


class Egress:
    """The addresses from which one org sees the forwarder."""

    def __init__(
        self,
        api: Api,
        url: str,
        clock: Clock,
        *,
        client_id: str | None = None,
        stated: Iterable[RequiredExemption] = (),
    ) -> None:
        """Create the object; nothing is requested yet. `client_id` is None if the forwarder uses an API token. `stated` are the
        addresses that the operator has configured."""
        self._api = api
        self._host = urlsplit(url).hostname or ""
        self._clock = clock
        self._client_id = client_id
        self._stated = tuple(stated)
        self._cached: tuple[float, set[str], list[_Event]] | None = None

    async def addresses(self, own_zones: Collection[str] = (), *, written: str = "") -> list[RequiredExemption]:
        """Return the forwarder's addresses, each with its source (a setting or a call); empty if no address is known.

        Args:
            own_zones: ids of the zones that we made. If the forwarder uses an API token, changes of these zones by API
                token count as our calls.
            written: id of the zone that we have just written; empty if we have written no zone. If it is given, wait
                some seconds until the log shows the call that wrote the zone.

        Raises:
            OktaError: the System Log cannot be read.
        """
        if is_loopback(self._host):  # an emulated org, which sees a loopback address
            host = "127.0.0.1" if self._host == "localhost" else self._host
            return [*self._stated] or [
                RequiredExemption(parse_range(host), "this machine, because the emulated org runs on it")
            ]
        events = await self._calls(own_zones, fresh=bool(written))
        for _ in range(_TRIES if written else 0):
            if any(written in _targets(event) for event in events):
                break
            await self._clock.sleep(_PAUSE)
            events = await self._calls(own_zones, fresh=True)
        seen: dict[AddressRange, str] = {}
        for event in events:
            why = f"Okta saw our call {event.get('eventType')} at {event.get('published')} from there"
            for each in _addresses(event):
                seen.setdefault(each, why)
        return [*self._stated, *(RequiredExemption(each, why) for each, why in seen.items())]

    async def _calls(self, own_zones: Collection[str], *, fresh: bool) -> list[_Event]:
        """Return the System Log's events about our calls, the newest first. Unless `fresh` is true, the events may come
        from a cache, which is at most _CACHED seconds old."""
        now, asked = self._clock.monotonic(), set(own_zones)
        if fresh or self._cached is None or now >= self._cached[0] or self._cached[1] != asked:
            self._cached = now + _CACHED, asked, await self._read(asked)
        return self._cached[2]

    async def _read(self, own_zones: Collection[str]) -> list[_Event]:
        if self._client_id is not None:
            condition = f'actor.id eq "{self._client_id}"'
        elif own_zones:
            condition = " or ".join(f'eventType eq "{each}"' for each in _ZONE_TYPES)
        else:
            return []
        query = {
            "since": iso(self._clock.now() - _LOOKBACK, "milliseconds"),
            "filter": condition,
            "limit": str(_LIMIT),
            "sortOrder": "DESCENDING",
        }
        response = await self._api.call("GET", "/api/v1/logs", query=query)
        try:
            events: list[_Event] = msgspec.convert(response.json(), list[dict[str, Any]])
        except msgspec.ValidationError as error:
            raise not_okta("a System Log", error) from None
        if self._client_id is not None:
            return events
        return [event for event in events if _by_token(event) and not _targets(event).isdisjoint(own_zones)]


def _by_token(event: _Event) -> bool:
    """Whether the event is about a call with an API token, not about an admin's change in the Admin Console."""
    return bool(object_at(event, "transaction", "detail").get("requestApiTokenId"))


def _targets(event: _Event) -> set[Any]:
    return {target.get("id") for target in event.get("target") or () if isinstance(target, Mapping)}


def _addresses(event: _Event) -> Iterator[AddressRange]:
    """Yield the public addresses of an event's client and proxies. Okta blocks a request if any of these addresses is
    blocked."""
    chain = object_at(event, "request").get("ipChain") or ()
    texts = [object_at(event, "client").get("ipAddress"), *(hop.get("ip") for hop in chain if isinstance(hop, Mapping))]
    for text in dict.fromkeys(texts):
        try:
            if ip_address(text or "").is_global:
                yield parse_range(str(text))
        except ValueError:
            continue
