"""The section `reactions` of the configuration: the actions that alerts lead to, their limits, and whom to notify."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from forwarder import tls
from forwarder.config.problems import Name
from forwarder.config.types import Secret, Section
from forwarder.core.action import EffectKind
from forwarder.react.settings.actions import OnSettings
from forwarder.react.settings.limits import LimitsSettings, ProtectSettings
from forwarder.react.settings.receivers import (
    JWKS_PATH,
    RiskReceiverSettings,
    SetSettings,
    WebhookSettings,
    private_key,
)
from forwarder.react.settings.types import Mode, Text, WaitingTime, WrittenMode


class CibaSettings(Section):
    """The app that asks users by CIBA: an OIDC web app with the grant CIBA. Users cannot answer CIBA requests in Okta
    Verify.

    Attributes:
        client_id: the client id of the app.
        private_key: the private key of the app: RSA, at least 2048 bits, without a password, as PEM or JWK.
        key_id: `kid` of the private key. Required only if the app has several keys and the private key is PEM, because
            PEM has no `kid`.
        server: `default`, or the id of another custom authorization server. Default: the org's own authorization server.
    """

    client_id: Text
    private_key: Annotated[Secret, AfterValidator(private_key)]
    key_id: Text | None = None
    server: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = Field(
        default=None, examples=["default"]
    )


class ReactionsSettings(Section):
    """The section `reactions` of the configuration.

    Attributes:
        mode: `off`, `shadow` or `enforce`. `shadow` does everything except the calls, and records each call instead of
            sending it. An entry of `on` can only have a weaker mode.
        protect: the users and addresses that no action ever touches. `enforce` needs at least one user or group.
        limits: how many actions there may be. An action that exceeds a limit waits for a human.
        fresh: how old an event may be when its action is carried out. For an older event, only notify, risk_event and
            user_risk are carried out.
        confirm: kinds of action (quiet, mending, timed, prompt) that wait until the System Log also has the events of
            the alert. An event that only the hook has delivered may be forged.
        approve_within: how long an action waits for a human. If no human has decided by then, the action is refused.
        ciba: the app that asks users by CIBA.
        on: which alerts lead to which actions: see docs/reactions.md.
        webhooks: the receivers of notifications, each with a name of your choice.
        receivers: the receivers of risk events, each with a name of your choice.
        set: the issuer and the keys of the risk events. Required for `receivers`.
    """

    mode: WrittenMode = Mode.SHADOW
    protect: ProtectSettings = ProtectSettings()
    limits: LimitsSettings = LimitsSettings()
    fresh: WaitingTime = Field(default="10m", validate_default=True)
    confirm: tuple[EffectKind, ...] = Field(default=("timed", "prompt"), validate_default=True)
    approve_within: WaitingTime = Field(default="15m", validate_default=True)
    ciba: CibaSettings | None = None
    on: tuple[OnSettings, ...] = ()
    webhooks: dict[Name, WebhookSettings] = {}  # noqa: RUF012  # pydantic copies it
    receivers: dict[Name, RiskReceiverSettings] = {}  # noqa: RUF012  # pydantic copies it
    set: SetSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_on(cls, written: Any) -> Any:
        """Restore the key `on`: YAML reads the key as the boolean true, and Helm then writes it as the string
        "true"."""
        if isinstance(written, dict) and not {"on", True} <= written.keys():
            return {"on" if key is True or key == "true" else key: value for key, value in written.items()}
        return written

    @property
    def public_documents(self) -> dict[str, bytes]:
        """The documents that the hook receiver serves without authentication, by path."""
        return {JWKS_PATH: self.set.key_set()} if self.set and self.set.jwks == "serve" else {}

    def certificates(self) -> Iterator[tuple[str, Path]]:
        """Yield the key and the file of each certificate authority that these settings name."""
        for path, server in self._servers():
            if server.ca_file:
                yield f"{path}.ca_file", server.ca_file

    def file_problems(self) -> Iterator[str]:
        """Yield a line for each file that cannot be used: path, problem, hint."""
        for path, server in self._servers():
            yield from (f"{path}.{key}: {problem}" for key, problem in tls.file_problems(server.ca_file))

    def problems(self, org_urls: dict[str, str | None], paths: dict[str, str]) -> Iterator[str]:
        """Yield a line for each setting of the section that does not fit the orgs: path, problem, hint.

        `org_urls` has the URL of each org, by the org's name. `paths` has the path to which each org's hook posts, by
        the org's name.
        """
        for name, receiver in self.receivers.items():
            key = f"reactions.receivers.{name}.org"
            if receiver.org is not None and receiver.org not in org_urls:
                yield f"{key}: unknown org {receiver.org}; remove it, or correct the name"
            elif receiver.org is not None and not org_urls[receiver.org]:
                yield f"{key}: orgs.{receiver.org}.url is required, because the token is sent there"
        if self.set and self.set.jwks == "serve":
            taken = (name for name, path in paths.items() if path.rstrip("/") == JWKS_PATH)
            yield from (
                f"orgs.{name}.path: `reactions.set.jwks: serve` needs this path; choose another path" for name in taken
            )

    def _servers(self) -> Iterator[tuple[str, WebhookSettings | RiskReceiverSettings]]:
        yield from ((f"reactions.webhooks.{name}", webhook) for name, webhook in self.webhooks.items())
        yield from ((f"reactions.receivers.{name}", receiver) for name, receiver in self.receivers.items())
