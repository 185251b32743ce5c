"""The section `reactions` of the configuration: the actions that alerts lead to, their limits, and whom to notify."""

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from forwarder import tls
from forwarder.config.hosts import is_loopback, split_http_url, split_url
from forwarder.config.problems import Name
from forwarder.config.types import Duration, PathStr, Secret, Section
from forwarder.core.action import EffectKind
from forwarder.react.settings import signing_keys
from forwarder.react.settings.actions import OnSettings
from forwarder.react.settings.limits import LimitsSettings, ProtectSettings
from forwarder.react.settings.types import Mode, Text, WaitingTime, WrittenMode

JWKS_PATH = "/.well-known/jwks.json"
"""The path at which the hook receiver serves the public keys."""

_PREFIX = "whsec_"
_LONGEST_ISSUER = 700  # characters, in Okta's API


def _url(url: str) -> str:
    parts = split_http_url(url, "`secret` or `authorization`")
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://; plain http works only to a loopback address")
    return url


def _webhook_url(written: Any) -> Any:
    """Read a webhook's URL. If the URL is written as a secret, it may have a query, and only its host is ever shown."""
    if isinstance(written, str):
        return written
    secret = Secret.read(written)
    if secret.is_read:
        parts = split_url(secret.reveal())
        if parts.scheme not in {"http", "https"} or not parts.hostname or not re.fullmatch(r"[!-~]+", secret.reveal()):
            raise ValueError("is not a URL of a server; write one like https://host/path")
        if parts.scheme != "https" and not is_loopback(parts.hostname):
            raise ValueError("must begin with https://; plain http works only to a loopback address")
    return secret


def _url_or_secret(url: str | Secret) -> str | Secret:
    return url if isinstance(url, Secret) else _url(url)


def _serve_or_url(text: str) -> str:
    if text == "serve" or text.lower().startswith(("http://", "https://")):
        return text if text == "serve" else _url(text)
    raise ValueError("write `serve`, or the URL where you publish the keys, as in https://host.example/jwks.json")


def _issuer(url: str) -> str:
    if len(_url(url)) > _LONGEST_ISSUER:
        raise ValueError(f"is longer than {_LONGEST_ISSUER} characters, the most that Okta accepts; shorten it")
    return url


def _webhook_secret(secret: Secret) -> Secret:
    if secret.is_read and secret.reveal().startswith(_PREFIX):
        webhook_keys(secret)
    return secret


def _private_key(secret: Secret) -> Secret:
    if secret.is_read:
        signing_keys.signing_key(secret.reveal())
    return secret


def _any_key(secret: Secret) -> Secret:
    if secret.is_read:
        signing_keys.public_jwk(secret.reveal())
    return secret


def webhook_keys(secret: Secret) -> tuple[bytes, ...]:
    """Return the keys that a webhook is signed with; each key makes one signature.

    A secret that begins with `whsec_` has one key: the rest of the secret, decoded from base64. Any other secret is
    itself the key. But the libraries of Standard Webhooks also decode a secret without `whsec_` if it is base64. So if
    such a secret is base64, the decoded bytes are a second key, and a receiver accepts the webhook with or without
    decoding.

    Raises:
        ValueError: there is no base64 after `whsec_`.
    """
    text = secret.reveal()
    named = text.startswith(_PREFIX)
    coded = text.removeprefix(_PREFIX)
    try:
        decoded = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if named and not decoded:
        raise ValueError("has no base64 after `whsec_`; make one with: echo whsec_$(openssl rand -base64 32)")
    return (decoded,) if named else (text.encode(), *([decoded] if decoded else []))


class WebhookSettings(Section):
    """A receiver of webhooks that are signed by the specification Standard Webhooks.

    Attributes:
        url: the URL to post to: https, or http to a loopback address. If the URL contains a secret, write the URL as a
            secret, as in `{env: SOC_URL}`, so that only its host is shown.
        secret: the secret that signs each webhook: `whsec_` and a key in base64, as in the specification, or any other text.
        previous_secret: a second secret that signs each webhook, while the receiver changes to `secret`.
        timeout: how long to wait for the response. After that, the webhook is sent again with the same id.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
    """

    url: Annotated[str | Secret, BeforeValidator(_webhook_url), AfterValidator(_url_or_secret)]
    secret: Annotated[Secret, AfterValidator(_webhook_secret)]
    previous_secret: Annotated[Secret, AfterValidator(_webhook_secret)] | None = None
    timeout: Duration = Field(default="10s", validate_default=True, gt=0, le=60)
    ca_file: PathStr | None = None

    @property
    def address(self) -> tuple[str, str]:
        """The URL, and the text that shows it without a secret."""
        if isinstance(self.url, str):
            return self.url, self.url
        url = self.url.reveal()
        parts = split_url(url)
        return url, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"


class RiskReceiverSettings(Section):
    """A receiver of security event tokens (SET, RFC 8935): an Okta org, or another receiver with `url` and `audience`.

    Attributes:
        org: the name of an org in `orgs`. The org gets Okta's event user-risk-change. The forwarder must be registered
            in the org as a security events provider.
        url: the URL of another receiver: https, or http to a loopback address. The receiver gets the CAEP event
            risk-level-change.
        audience: the value that the receiver at `url` expects in `aud`.
        authorization: the value of the Authorization header, such as `Bearer …`, if the receiver at `url` needs it.
        timeout: how long to wait for the response. After that, the token is sent again with the same `jti`.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
    """

    org: str | None = None
    url: Annotated[str, AfterValidator(_url)] | None = None
    audience: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    authorization: Secret | None = None
    timeout: Duration = Field(default="10s", validate_default=True, gt=0, le=60)
    ca_file: PathStr | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.org is None) == (self.url is None):
            raise ValueError("set `org` for one of `orgs`, or `url` with `audience` for another receiver")
        if self.org is not None and (self.audience or self.authorization or self.ca_file):
            raise ValueError("`audience`, `authorization` and `ca_file` are for a `url`; Okta needs none of them")
        if self.url is not None and not self.audience:
            raise ValueError("`audience` is required with `url`; write what the receiver expects in `aud`")
        if self.authorization and not re.fullmatch(r"[ -~]+", self.authorization.reveal()):
            raise ValueError("`authorization` has a line break, or a character that is not ASCII")
        return self


class SetSettings(Section):
    """The issuer and the keys of security event tokens.

    Attributes:
        issuer: `iss` of each token: an https URL. The receivers must expect the same issuer.
        key: the key that signs the tokens: an RSA private key of at least 2048 bits without a password, as PEM or JWK.
        previous_key: a second key that is published beside `key`, but signs nothing: the new key before a change of keys,
            or the old key for a while after the change. The public key is enough.
        jwks: `serve` if the hook receiver should serve the public keys at `/.well-known/jwks.json`; otherwise the URL
            where you publish the output of `forwarder reactions jwks`. Default: `/.well-known/jwks.json` below
            `issuer`.
    """

    issuer: Annotated[str, AfterValidator(_issuer)]
    key: Annotated[Secret, AfterValidator(_private_key)]
    previous_key: Annotated[Secret, AfterValidator(_any_key)] | None = None
    jwks: Annotated[str, AfterValidator(_serve_or_url)] | None = None

    @model_validator(mode="after")
    def _two_keys(self) -> Self:
        if self.previous_key and self.previous_key.is_read and self.key.is_read:
            one, other = (signing_keys.public_jwk(key.reveal()) for key in (self.key, self.previous_key))
            if one["n"] == other["n"]:
                raise ValueError("`previous_key` is the same key as `key`; remove it, or write the other key")
            if one["kid"] == other["kid"]:
                raise ValueError("`key` and `previous_key` have the same `kid`; give each JWK its own")
        return self

    @property
    def jwks_url(self) -> str:
        """The URL at which a receiver fetches the public keys."""
        if self.jwks and self.jwks != "serve":
            return self.jwks
        return self.issuer.rstrip("/") + JWKS_PATH

    def key_set(self) -> bytes:
        """Return the public keys as JWKS."""
        texts = [key.reveal() for key in (self.key, self.previous_key) if key]
        return signing_keys.key_set(texts)


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
    private_key: Annotated[Secret, AfterValidator(_private_key)]
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
                yield f"{key}: {receiver.org} is not among `orgs`; remove it, or correct its name"
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
