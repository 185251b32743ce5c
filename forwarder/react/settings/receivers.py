"""The settings of the receivers of webhooks and of security event tokens, and of the keys that sign them."""

import base64
import binascii
import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from forwarder.config.hosts import is_loopback, split_http_url, split_url
from forwarder.config.types import Duration, PathStr, Secret, Section
from forwarder.react.settings import signing_keys

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


def private_key(secret: Secret) -> Secret:
    """Return `secret`; raise ValueError if it is read and is not a private key that can sign."""
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
    key: Annotated[Secret, AfterValidator(private_key)]
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
