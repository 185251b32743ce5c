"""Settings of a sink of kind `otlp`."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from forwarder import tls
from forwarder.config.hosts import split_http_url
from forwarder.config.types import Count, PathStr, Secret, Size
from forwarder.http.settings import HEADER_NAME, HTTP_HEADERS
from forwarder.sink_settings import DeliverySettings, SinkSettings

_PRINTABLE = re.compile(r"[\x20-\x7e]*")


def _header_name(name: str) -> str:
    if not HEADER_NAME.fullmatch(name):
        raise ValueError("is not the name of a header; write one as in {authorization: {env: TOKEN}}")
    if name.lower() in HTTP_HEADERS or name.lower().startswith("grpc-") or name.lower().endswith("-bin"):
        raise ValueError("cannot be set here, because the protocol reserves this header; remove it")
    return name


def _header_value(value: Secret) -> Secret:
    if not _PRINTABLE.fullmatch(value.reveal()):
        raise ValueError("may have only printable ASCII characters")
    if value.reveal() != value.reveal().strip():
        raise ValueError("begins or ends with a blank; remove it")
    return value


_HeaderName = Annotated[str, AfterValidator(_header_name)]
_HeaderValue = Annotated[Secret, AfterValidator(_header_value)]


class _Delivery(DeliverySettings):
    # A class, not only default values, so that the other keys of `delivery` keep their defaults if one key is set.
    batch_events: Count = Field(default=100, ge=1, le=5_000)
    # By default, a gRPC server accepts messages of at most 4 MiB.
    batch_bytes: Size = Field(default="1MiB", validate_default=True, ge=1024)
    concurrency: Count = Field(default=2, ge=1, le=8)


class OtlpSinkSettings(SinkSettings):
    """An OpenTelemetry Collector, or another server that accepts logs by OTLP.

    Only these settings have an effect. The forwarder ignores OTEL_* variables, proxy variables and .netrc files.

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
    headers: Mapping[_HeaderName, _HeaderValue] = Field(default_factory=dict)
    ca_file: PathStr | None = None
    cert_file: PathStr | None = None
    key_file: PathStr | None = None
    compression: Literal["none", "gzip"] = "none"
    delivery: _Delivery = _Delivery()

    @property
    def uses_tls(self) -> bool:
        return urlsplit(self.endpoint).scheme == "https"

    @property
    def url(self) -> str:
        """The URL to which requests are sent."""
        if self.protocol == "grpc" or urlsplit(self.endpoint).path not in ("", "/"):
            return self.endpoint
        return self.endpoint.removesuffix("/") + "/v1/logs"

    def file_problems(self) -> Iterator[tuple[str, str]]:
        return tls.file_problems(self.ca_file, self.cert_file, self.key_file)

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, written: str) -> str:
        signal = re.search(r"/v1/(traces|metrics)/?$", split_http_url(written, "`headers`").path)
        if signal:
            raise ValueError(f"is for {signal[1]}, not for logs; remove the path, or write /v1/logs")
        return written

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, written: Mapping[str, Secret]) -> Mapping[str, Secret]:
        if len({name.lower() for name in written}) < len(written):
            raise ValueError("two headers have the same name, in upper and lower case; remove one of the two")
        for name, value in written.items():
            if value.reveal().lower().startswith(f"{name.lower()}:"):
                raise ValueError(
                    "the value repeats the name of the header; write only the value, as in `Bearer …` for Authorization"
                )
        return {name.lower(): value for name, value in written.items()}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = []
        if self.protocol == "grpc" and urlsplit(self.endpoint).path not in ("", "/"):
            problems.append("`endpoint`: a gRPC endpoint has no path; remove the path")
        if (self.cert_file is None) != (self.key_file is None):
            problems.append("set both `cert_file` and `key_file`, or neither")
        if not self.uses_tls and (self.ca_file or self.cert_file):
            problems.append("`ca_file` and `cert_file` need an `endpoint` with https://")
        if problems:
            raise ValueError("; ".join(problems))
        return self
