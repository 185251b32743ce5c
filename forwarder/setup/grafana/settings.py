"""The settings of `forwarder setup grafana`."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from forwarder.config.types import Secret, Section
from forwarder.setup.http_client import base_url

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")


def _grafana(url: str) -> str:
    return base_url(url, "--token, or --user and --password")


def _source(url: str) -> str:
    return base_url(url, "Grafana's page of the data source")


def _page(url: str) -> str:
    return base_url(url, "a page that needs none")


class GrafanaSettings(Section):
    """The address of a Grafana server, the credentials for it, and what to write.

    Attributes:
        url: the address of Grafana, with its sub-path if it has one.
        token: the token of a service account with the role Editor, or Admin to write data sources. Without it, `user` and
            `password` are used.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
        folder: the title of the folder for the dashboards.
        runbook_url: the address of the operator's copy of docs/runbook.md, to which the panels link.
        prometheus: the address of a Prometheus to add as a data source.
        elasticsearch: the address of an Elasticsearch to add as a data source.
    """

    url: Annotated[str, AfterValidator(_grafana)]
    token: Secret | None = None
    user: str | None = Field(default=None, min_length=1)
    password: Secret | None = None
    ca_file: Path | None = None
    folder: str = Field(default="Okta", min_length=1)
    runbook_url: Annotated[str, AfterValidator(_page)] | None = None
    prometheus: Annotated[str, AfterValidator(_source)] | None = None
    elasticsearch: Annotated[str, AfterValidator(_source)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.token and (self.user or self.password):
            raise ValueError("give --token, or --user and --password, not both")
        if self.token and not _HEADER_VALUE.fullmatch(self.token.reveal()):
            raise ValueError(
                "--token: it contains a character that a token cannot have, perhaps a blank or a line break"
            )
        if bool(self.user) != bool(self.password):
            raise ValueError("--user and --password belong together")
        if self.ca_file and not self.url.startswith("https:"):
            raise ValueError(
                "--ca-file has no effect without https; remove it, or write https:// in the address"
            )
        return self
