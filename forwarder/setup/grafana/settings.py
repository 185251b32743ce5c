"""The settings of `forwarder setup grafana`."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from forwarder.config.types import Secret
from forwarder.setup.server_settings import ServerSettings, base_url


def _source(url: str) -> str:
    return base_url(url, "Grafana's page of the data source")


def _page(url: str) -> str:
    return base_url(url, "a page that needs none")


class GrafanaSettings(ServerSettings):
    """The address of a Grafana server, with its sub-path if it has one, the credentials for it, and what to write.

    Attributes:
        token: the token of a service account with the role Editor, or Admin to write data sources.
        folder: the title of the folder for the dashboards.
        runbook_url: the address of the operator's copy of docs/runbook.md. The panels link to it.
        prometheus: the address of a Prometheus to add as a data source.
        elasticsearch: the address of an Elasticsearch to add as a data source.
    """

    key_option: ClassVar[str] = "--token"
    key_name: ClassVar[str] = "a token"

    token: Secret | None = None
    folder: str = Field(default="Okta", min_length=1)
    runbook_url: Annotated[str, AfterValidator(_page)] | None = None
    prometheus: Annotated[str, AfterValidator(_source)] | None = None
    elasticsearch: Annotated[str, AfterValidator(_source)] | None = None
