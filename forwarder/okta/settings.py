"""What the operator sets of the Okta side: credentials, the hook to have, and how the System Log is polled."""

from pydantic import Field

from forwarder.values import Duration, Secret, Section


class ApiSettings(Section):
    """How the forwarder reaches Okta's API: a token, or a service app.

    Attributes:
        token: an API token (SSWS).
        client_id: of a service app, with its `private_key`.
        private_key: of the service app, PEM or JWK.
        scopes: what the service app asks for.
    """

    token: Secret | None = None
    client_id: str | None = None
    private_key: Secret | None = None
    scopes: tuple[str, ...] = ()


class HookSettings(Section):
    """The event hook that this forwarder wants to have in the org.

    Attributes:
        name: the hook's, in Okta.
        uri: where Okta posts, from outside.
        events: a list of event types, or a preset.
    """

    name: str = "forwarder"
    uri: str
    events: str | tuple[str, ...] = "all-eligible"


class ReconcileSettings(Section):
    """How the System Log is polled, for every org that has `api`.

    Attributes:
        poll: time between two looks.
        lookback: how far the first look goes back.
        grace: how late a hook may deliver before an event counts as missed.
        rate_share: share of Okta's rate limit that may be used.
    """

    poll: Duration = Field(default="60s", validate_default=True, gt=0)
    lookback: Duration = Field(default="1h", validate_default=True, gt=0)
    grace: Duration = Field(default="5m", validate_default=True, gt=0)
    rate_share: float = Field(default=0.3, gt=0, le=1)
