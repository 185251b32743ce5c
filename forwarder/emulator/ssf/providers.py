"""The senders of Security Event Tokens that the org knows (`/api/v1/security-events-providers`)."""

from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.actors import Actor, Caller, Report
from forwarder.emulator.events.fixtures import entity, okta_id
from forwarder.emulator.http.errors import forbidden, invalid
from forwarder.emulator.object_collection import Objects

_LONGEST = {"issuer": 700, "jwks_url": 1000, "well_known_url": 1000}


class ProviderSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a provider's tokens are checked: with `issuer` and `jwks_url`, or with a document at `well_known_url` that
    has both values."""

    issuer: str | None = None
    jwks_url: str | None = None
    well_known_url: str | None = None


class ProviderSpec(msgspec.Struct, frozen=True):
    """The body of a call that creates or replaces a provider; unknown fields are ignored, as in Okta."""

    name: str
    type: str
    settings: ProviderSettings


class Provider(Actor, msgspec.Struct):
    """A provider; `active` says whether its status is ACTIVE."""

    id: str
    spec: ProviderSpec
    active: bool = True

    def actor(self) -> dict[str, Any]:
        """Build the provider as the actor or target of an event."""
        return entity(self.id, "SecurityEventsProvider", self.spec.name)

    def view(self, org_url: str) -> dict[str, Any]:
        """Return the provider as the API shows it."""
        url = f"{org_url}/api/v1/security-events-providers/{self.id}"
        step = "deactivate" if self.active else "activate"
        return {
            "id": self.id,
            "name": self.spec.name,
            "type": self.spec.type,
            "status": "ACTIVE" if self.active else "INACTIVE",
            "settings": self.spec.settings,
            "_links": {
                "self": {"href": url, "hints": {"allow": ["GET", "PUT", "DELETE"]}},
                step: {"href": f"{url}/lifecycle/{step}", "hints": {"allow": ["POST"]}},
            },
        }


class Providers(Objects[Provider]):
    """The providers of an org. Methods raise OktaApiError where Okta would refuse the call."""

    kind = "SecurityEventsProvider"

    def __init__(self, clock: Clock, random: Random, report: Report) -> None:
        super().__init__()
        self._clock = clock
        self._random = random
        self._report = report

    def create(self, spec: ProviderSpec, caller: Caller) -> Provider:
        """Add a provider, which is ACTIVE."""
        self._check(spec)
        provider = Provider(okta_id("sse", self._random), spec)
        self._by_id[provider.id] = provider
        self._changed("create", provider, caller)
        return provider

    def replace(self, provider: Provider, spec: ProviderSpec, caller: Caller) -> None:
        """Replace the name, type and settings of a provider."""
        self._check(spec, provider)
        provider.spec = spec
        self._changed("update", provider, caller)

    def set_active(self, provider: Provider, caller: Caller, *, active: bool) -> None:
        """Activate or deactivate a provider."""
        provider.active = active
        self._changed("activate" if active else "deactivate", provider, caller)

    def delete(self, provider: Provider, caller: Caller) -> None:
        """Delete an INACTIVE provider."""
        if provider.active:
            raise forbidden("An active security events provider cannot be deleted.")
        del self._by_id[provider.id]
        self._changed("delete", provider, caller)

    def _check(self, spec: ProviderSpec, old: Provider | None = None) -> None:
        """Check a provider. If the provider has problems, raise one OktaApiError that names all problems."""
        given = msgspec.to_builtins(spec.settings)
        causes = [
            f"{name}: must have at most {most} characters"
            for name, most in _LONGEST.items()
            if len(given.get(name, "")) > most
        ]
        if not 1 <= len(spec.name) <= 100:
            causes.append("name: must have 1 to 100 characters")
        if not 1 <= len(spec.type) <= 255:
            causes.append("type: must have 1 to 255 characters")
        if given.keys() not in ({"well_known_url"}, {"issuer", "jwks_url"}):
            causes.append("settings: must have either `well_known_url`, or `issuer` and `jwks_url`")
        others = [provider.spec for provider in self.all() if provider is not old]
        if any(other.name == spec.name or other.settings == spec.settings for other in others):
            causes.append("name: A provider with this name or these settings already exists.")
        if causes:
            raise invalid("securityEventsProvider", *causes)

    def _changed(self, change: str, provider: Provider, caller: Caller) -> None:
        self._report(f"security.events.provider.{change}", caller, target=[provider.actor()])
