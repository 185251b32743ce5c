"""What an operator sets about a sink of kind `elasticsearch`."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, StringConstraints, model_validator

from forwarder.config_types import Duration, Secret, Section
from forwarder.ecs.document import DATASET, DocumentOptions

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_NAMESPACE = re.compile(r'[^A-Z\\/*?"<>|,#:\s\x00-\x1f-]+')


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address; write a URL, as in https://es.internal:9200")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into an address; write `basic` or `api_key`")
    if parts.port == 0:
        raise ValueError(f"{url!r} has port 0")
    port = parts.port or (443 if parts.scheme == "https" else 80)  # the client takes no address without one
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def _namespace(name: str) -> str:
    if not _NAMESPACE.fullmatch(name):
        raise ValueError('a namespace has no capitals, blanks, hyphens, nor any of \\ / * ? " < > | , # :')
    if name in {".", ".."} or len(name.encode()) > 100:
        raise ValueError("a namespace is no dot and has at most 100 bytes")
    return name


class BasicAuth(Section):
    """A user of Elasticsearch."""

    username: str = Field(min_length=1)
    password: Secret


class ElasticsearchSettings(Section):
    """What an operator sets about one sink of kind `elasticsearch`.

    Attributes:
        hosts: URLs of one cluster's nodes; a port that is not written is the scheme's own (80, 443).
        api_key: as Elasticsearch shows it, encoded or as `id:key`. Needs the index rights `create_doc` and
            `auto_configure` on the data stream.
        basic: a user, where there is no API key.
        ca_file: the certificates to trust, in PEM; without it those of the system.
        verify: check the server's certificate. Without it anyone on the way can read and take events.
        namespace: the last part of the data stream's name.
        compress: gzip the requests. On the same machine it only costs.
        pipeline: the ingest pipeline, in place of the index's default; `_none` for no pipeline at all.
        preserve_original_event: keep the event as received in `event.original`.
        remove_flattened_debug: debug data as single fields, not as one flattened object.
        tags: added to every document.
        okta_geo: fill `source.geo` and `source.as` with what Okta knows, for a server without GeoIP databases.
        documents: `ecs`, made here; or `raw`, for the pipeline of Elastic's own Okta integration, where it is installed.
        retention: how long events stay in Elasticsearch, for `forwarder setup elasticsearch`; for ever without it.
        ilm_policy: an index lifecycle policy that decides this, in place of `retention`.
    """

    kind: Literal["elasticsearch"] = "elasticsearch"
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(min_length=1)
    api_key: Secret | None = None
    basic: BasicAuth | None = None
    ca_file: FilePath | None = None
    verify: bool = True
    namespace: Annotated[str, AfterValidator(_namespace)] = "default"
    compress: bool = True
    pipeline: Annotated[str, StringConstraints(min_length=1)] | None = None
    preserve_original_event: bool = False
    remove_flattened_debug: bool = False
    tags: tuple[str, ...] = ()
    okta_geo: bool = False
    documents: Literal["ecs", "raw"] = "ecs"
    retention: Duration | None = Field(default=None, ge=60)
    ilm_policy: Annotated[str, StringConstraints(pattern=r"^[^\s/?#]+$")] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.api_key and self.basic:
            raise ValueError("write `api_key` or `basic`, not both")
        if self.api_key and not _HEADER_VALUE.fullmatch(self.api_key.reveal()):
            raise ValueError(
                "`api_key` holds a character that no API key has, perhaps a blank or a line break"
            )
        if self.ca_file and not (self.verify and self.tls):
            raise ValueError("`ca_file` has no use without https or with `verify: false`")
        if self.documents == "raw" and self.pipeline == "_none":
            raise ValueError(
                "`documents: raw` needs a pipeline that makes documents; remove `pipeline: _none`"
            )
        if self.retention and self.ilm_policy:
            raise ValueError("write `retention` or `ilm_policy`, not both")
        if len({urlsplit(host).scheme for host in self.hosts}) > 1:
            raise ValueError("`hosts` must be all http or all https")
        return self

    @property
    def tls(self) -> bool:
        """Whether the hosts speak TLS."""
        return self.hosts[0].startswith("https:")

    @property
    def data_stream(self) -> str:
        """Its name."""
        return f"logs-{DATASET}-{self.namespace}"

    @property
    def options(self) -> DocumentOptions:
        """What the mapping needs to know."""
        return DocumentOptions(
            namespace=self.namespace,
            preserve_original_event=self.preserve_original_event,
            remove_flattened_debug=self.remove_flattened_debug,
            tags=self.tags,
            okta_geo=self.okta_geo,
        )
