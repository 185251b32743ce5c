"""What the settings of `forwarder setup kibana` and `forwarder setup grafana` have in common."""

import re
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from forwarder.config.hosts import split_http_url
from forwarder.config.types import Secret, Section

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")


def base_url(url: str, credentials: str) -> str:
    """Check the URL of a server, and return the URL without a slash at its end.

    `credentials` says where credentials belong, for the text of the error.

    Raises:
        ValueError: `url` is not the URL of a server; or it has a query, a fragment or credentials.
    """
    split_http_url(url, credentials)
    return url.rstrip("/")


class ServerSettings(Section):
    """The address of a server, and the credentials for it: a key, or `user` and `password`.

    Attributes:
        key_option: the command-line option for the key, such as `--token`. The field with the name of the option has
            the key.
        key_name: what the server calls the key, with its article.
        ca_file: PEM file with the certificate authorities to trust, instead of the system's certificate authorities.
    """

    key_option: ClassVar[str]
    key_name: ClassVar[str]

    url: str
    user: str | None = Field(default=None, min_length=1)
    password: Secret | None = None
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return base_url(url, f"{cls.key_option}, or --user and --password")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        key = self.key
        if key and (self.user or self.password):
            raise ValueError(f"give {self.key_option}, or --user and --password, not both")
        if key and not _HEADER_VALUE.fullmatch(key):
            raise ValueError(
                f"{self.key_option}: it contains a character that {self.key_name} cannot have, perhaps a blank or a line break"
            )
        if bool(self.user) != bool(self.password):
            raise ValueError("give both --user and --password, or neither")
        if self.ca_file and not self.url.startswith("https:"):
            raise ValueError("--ca-file has no effect without https; remove it, or write https:// in the address")
        return self

    @property
    def key(self) -> str | None:
        """The text of the key; None if the settings have no key."""
        secret: Secret | None = getattr(self, self.key_option.removeprefix("--").replace("-", "_"))
        return secret.reveal() if secret else None

    @property
    def login(self) -> tuple[str, str] | None:
        """The user and the password; None if they are not given."""
        return (self.user, self.password.reveal()) if self.user and self.password else None
