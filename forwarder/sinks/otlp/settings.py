"""Settings of a sink of kind `otlp`."""

import re
import ssl
from collections.abc import Mapping
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from forwarder.config_types import PathStr, Secret, Size
from forwarder.core.errors import SinkError
from forwarder.sink_settings import DeliverySettings, SinkSettings

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_OURS = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
}


class _Delivery(DeliverySettings):
    # A class, not only default values: who sets one key of `delivery` keeps the defaults of the others.
    batch_events: int = Field(default=200, ge=1, le=5_000)
    # A gRPC server accepts messages of 4 MiB at most, by default.
    batch_bytes: Size = Field(default="1MiB", validate_default=True, ge=1024)


class OtlpSinkSettings(SinkSettings):
    """An OpenTelemetry Collector, or another server that accepts logs by OTLP.

    OTEL_* variables, proxy variables and .netrc files have no effect: only these settings count.

    Attributes:
        endpoint: `http://` or `https://`, host and port. For http/protobuf, `/v1/logs` is added if the URL has no path.
            For gRPC, the scheme says whether TLS is used.
        protocol: `http/protobuf` or `grpc`.
        headers: headers of each request, as in `{authorization: {env: OTLP_TOKEN}}`.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
        cert_file: PEM file with the client certificate; needs `key_file`.
        key_file: PEM file with the private key of the client certificate.
        compression: `gzip` or `none`. If the server runs on the same machine, `gzip` only costs CPU time.
    """

    kind: Literal["otlp"] = "otlp"
    endpoint: str
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: Mapping[str, Secret] = Field(default_factory=dict)
    ca_file: PathStr | None = None
    cert_file: PathStr | None = None
    key_file: PathStr | None = None
    compression: Literal["none", "gzip"] = "none"
    delivery: _Delivery = _Delivery()

    @property
    def secure(self) -> bool:
        """Whether TLS is used."""
        return urlsplit(self.endpoint).scheme.lower() == "https"

    @property
    def url(self) -> str:
        """Where the requests go."""
        if self.protocol == "grpc" or urlsplit(self.endpoint).path not in ("", "/"):
            return self.endpoint
        return self.endpoint.removesuffix("/") + "/v1/logs"

    def check_files(self) -> None:
        """Look whether the files can be used.

        Raises:
            SinkError: one cannot.
        """
        if not self.secure:
            return
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file, password=lambda: "")
        except OSError as error:
            files = ", ".join(str(path) for path in (self.ca_file, self.cert_file, self.key_file) if path)
            raise SinkError(f"no TLS with {files}: {error.strerror or error}") from error

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, written: str) -> str:
        parts = urlsplit(written)  # raises ValueError for a broken IPv6 address
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise ValueError("write a URL, as in http://127.0.0.1:4318")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL shows in logs; put the credentials into `headers`")
        if parts.query or parts.fragment or re.search(r"[\x00-\x20]", written):
            raise ValueError("the URL holds more than scheme, host, port and path")
        _ = parts.port  # raises ValueError for a port that is none
        return written

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, written: Mapping[str, Secret]) -> Mapping[str, Secret]:
        for name, value in written.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _OURS or name.lower().startswith("grpc-") or name.lower().endswith("-bin"):
                raise ValueError(f"the header {name} is not yours to set")
            if not _PRINTABLE.fullmatch(value.reveal()):
                raise ValueError(f"the value of the header {name} holds other than printable ASCII")
        return {name.lower(): value for name, value in written.items()}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        faults = []
        if self.protocol == "grpc" and urlsplit(self.endpoint).path not in ("", "/"):
            faults.append("`endpoint`: gRPC takes no path")
        if (self.cert_file is None) != (self.key_file is None):
            faults.append("`cert_file` and `key_file` go together")
        if not self.secure and (self.ca_file or self.cert_file):
            faults.append("`ca_file` and `cert_file` need an `endpoint` with https://")
        if faults:
            raise ValueError("; ".join(faults))
        return self
