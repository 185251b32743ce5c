"""The settings of `forwarder setup kibana`."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from forwarder.config.types import Secret, Section
from forwarder.setup.http_client import base_url

DEFAULT_SPACE = "default"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")


def _url(url: str) -> str:
    return base_url(url, "--api-key, or --user and --password")


class KibanaSettings(Section):
    """The address of a Kibana server, and the credentials for it.

    Attributes:
        url: the address of Kibana, with its `server.basePath` if it has one.
        space: the id of the space for the dashboards.
        api_key: an API key of Elasticsearch, encoded or as `id:key`. Without it, `user` and `password` are used.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
    """

    url: Annotated[str, AfterValidator(_url)]
    space: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$")] = DEFAULT_SPACE
    api_key: Secret | None = None
    user: str | None = Field(default=None, min_length=1)
    password: Secret | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.api_key and (self.user or self.password):
            raise ValueError("give --api-key, or --user and --password, not both")
        if self.api_key and not _HEADER_VALUE.fullmatch(self.api_key.reveal()):
            raise ValueError(
                "--api-key: it contains a character that an API key cannot have, perhaps a blank or a line break"
            )
        if bool(self.user) != bool(self.password):
            raise ValueError("--user and --password belong together")
        if self.ca_file and not self.url.startswith("https:"):
            raise ValueError(
                "--ca-file has no effect without https; remove it, or write https:// in the address"
            )
        return self

    @property
    def root(self) -> str:
        """The URL of the space, without a slash at its end."""
        return self.url if self.space == DEFAULT_SPACE else f"{self.url}/s/{self.space}"
