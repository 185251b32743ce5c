"""Settings of a sink of kind `elasticsearch`."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from forwarder import tls
from forwarder.config.hosts import split_http_url
from forwarder.config.types import Count, Duration, PathStr, Secret, Section
from forwarder.ecs.action_document import ACTION_DATASET
from forwarder.ecs.alert_document import ALERT_DATASET
from forwarder.ecs.document import DATASET, DocumentOptions
from forwarder.ecs.health_document import HEALTH_DATASET
from forwarder.sink_settings import DeliverySettings, SinkSettings

SETUP_NAME = "okta-forwarder"
"""The name of the index template and of the ingest pipeline that `forwarder setup elasticsearch` creates."""

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_NAMESPACE = re.compile(r'[^A-Z\\/*?"<>|,#:\s\x00-\x1f-]+')


def _host(url: str) -> str:
    parts = split_http_url(url, "`basic_auth` or `api_key`")
    if "/_" in parts.path:
        raise ValueError("must not name an API such as /_bulk, which the forwarder adds; remove the path")
    port = parts.port or (443 if parts.scheme == "https" else 80)  # the client needs a port
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def _namespace(name: str) -> str:
    if not _NAMESPACE.fullmatch(name):
        raise ValueError('a namespace has no capitals, spaces, hyphens or any of \\ / * ? " < > | , # :')
    if name in {".", ".."} or len(name.encode()) > 100:
        raise ValueError("a namespace cannot be `.` or `..`, nor longer than 100 bytes")
    return name


def _username(name: str) -> str:
    if ":" in name:
        raise ValueError(
            "the name of a user cannot contain a colon; write only the name here, and the password as `password`"
        )
    return name


def _check_api_key(key: str) -> None:
    """Raise ValueError if `key` cannot be an API key. The error text contains no part of `key`."""
    if re.match(r"\s*[{[]", key):
        raise ValueError("`api_key` is JSON, not a key; write only the value of `encoded` in it")
    if not _HEADER_VALUE.fullmatch(key):
        raise ValueError(
            "`api_key` has a character that no API key has, such as a space or a line break; write only the key, without ApiKey before it"
        )
    if ":" in key and not all(key.split(":", 1)):
        raise ValueError("`api_key` lacks the id or the key; write id:key, or the encoded key")


class BasicAuth(Section):
    """A user of Elasticsearch.

    Attributes:
        username: the user's name.
        password: the user's password.
    """

    username: Annotated[str, AfterValidator(_username)] = Field(min_length=1)
    password: Secret


class _Delivery(DeliverySettings):
    # A class, not only a default value, so that the other keys of `delivery` keep their defaults if one key is set.
    concurrency: Count = Field(default=2, ge=1, le=8)


class ElasticsearchSinkSettings(SinkSettings):
    """A sink of kind `elasticsearch`.

    Attributes:
        hosts: URLs of the nodes of one cluster. Default port: 80 for `http`, 443 for `https`.
        api_key: an API key, encoded or as `id:key`. The key needs the index privileges `create_doc` and
            `auto_configure` on the data stream of events. With `rules`, it needs them also on the data stream of
            alerts, with `reactions` also on the data stream of actions, and with `ops.heartbeat` also on the data
            stream of health documents.
        basic_auth: a user and a password, instead of an API key.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
        verify_certificate: check the server's certificate. With `false`, anyone on the network path can read and change
            events.
        namespace: the last part of the name of each data stream.
        compress: compress requests with gzip. If Elasticsearch runs on the same machine, this only costs CPU time.
        pipeline: ingest pipeline to use instead of the default pipeline of the index; `_none` for no pipeline.
        preserve_original_event: also store the event as received, in the field `event.original`.
        remove_flattened_debug: store Okta's debug data as single fields, not as one flattened object.
        tags: tags to add to every document.
        okta_geo: fill `source.geo` and `source.as` from Okta's own data, for a server without GeoIP databases.
        organization_name: write the name that the org has in the configuration to the field `organization.name`, so
            that the events of several orgs can be distinguished. Elastic's integration leaves this field empty. Alerts
            and actions always have the name in `okta_forwarder.org`.
        document_format: `ecs` to send ECS documents; `raw` to send events as received to the pipeline of Elastic's Okta
            integration, which must be installed.
        retention: how long Elasticsearch keeps events, for `forwarder setup elasticsearch`. Without this key,
            Elasticsearch never deletes events.
        ilm_policy: index lifecycle policy to use instead of `retention`.
    """

    kind: Literal["elasticsearch"] = "elasticsearch"
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(min_length=1)
    api_key: Secret | None = None
    basic_auth: BasicAuth | None = None
    ca_file: PathStr | None = None
    verify_certificate: bool = True
    namespace: Annotated[str, AfterValidator(_namespace)] = "default"
    compress: bool = True
    pipeline: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\s/?#]+$")] | None = Field(
        default=None, examples=["logs-okta"]
    )
    preserve_original_event: bool = False
    remove_flattened_debug: bool = False
    tags: tuple[str, ...] = ()
    okta_geo: bool = False
    organization_name: bool = False
    document_format: Literal["ecs", "raw"] = "ecs"
    retention: Duration | None = Field(default=None, ge=60)
    ilm_policy: Annotated[str, StringConstraints(pattern=r"^[^\s/?#]+$")] | None = Field(
        default=None, examples=["logs-okta"]
    )
    delivery: _Delivery = _Delivery()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.api_key and self.basic_auth:
            raise ValueError("write `api_key` or `basic_auth`, not both")
        if self.api_key:
            _check_api_key(self.api_key.reveal())
        if self.ca_file and not (self.verify_certificate and self.uses_tls):
            raise ValueError("`ca_file` has no effect without https or with `verify_certificate: false`")
        if self.document_format == "raw" and self.pipeline == "_none":
            raise ValueError("`document_format: raw` needs a pipeline; remove `pipeline: _none`")
        if self.document_format == "raw" and self.okta_geo:
            raise ValueError("`okta_geo` has no effect with `document_format: raw`; remove it")
        if self.retention and self.ilm_policy:
            raise ValueError("write `retention` or `ilm_policy`, not both")
        if len({urlsplit(host).scheme for host in self.hosts}) > 1:
            raise ValueError("`hosts` must be all http or all https")
        if len(set(self.hosts)) < len(self.hosts):  # the client refuses it
            raise ValueError("`hosts` lists the same node twice; write each node once")
        return self

    def file_problems(self) -> Iterator[tuple[str, str]]:
        return tls.file_problems(self.ca_file)

    @property
    def uses_tls(self) -> bool:
        return self.hosts[0].startswith("https:")

    @property
    def org_in_id(self) -> bool:
        """Whether the `_id` of a document contains the name of the org. True if the configuration has several orgs,
        because two orgs may send the same uuid. Exception: always False for `document_format: raw`, because Elastic's
        own pipeline sets the `_id`."""
        return self.several_orgs and self.document_format == "ecs"

    @property
    def data_stream(self) -> str:
        """The name of the data stream of Okta's events."""
        return f"logs-{DATASET}-{self.namespace}"

    @property
    def alert_stream(self) -> str:
        """The name of the data stream of alerts."""
        return f"logs-{ALERT_DATASET}-{self.namespace}"

    @property
    def action_stream(self) -> str:
        """The name of the data stream of the reports about actions."""
        return f"logs-{ACTION_DATASET}-{self.namespace}"

    @property
    def health_stream(self) -> str:
        """The name of the data stream of health documents."""
        return f"metrics-{HEALTH_DATASET}-{self.namespace}"

    @property
    def options(self) -> DocumentOptions:
        """The settings for the conversion of events to documents."""
        return msgspec.convert(self, DocumentOptions, from_attributes=True)
