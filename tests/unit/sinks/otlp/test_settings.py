"""What an operator may write for an OTLP sink."""

from typing import Any

import pytest
from pydantic import ValidationError

from forwarder.config.types import Secret
from forwarder.sinks.otlp.settings import OtlpSinkSettings

HTTP = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({"endpoint": "127.0.0.1:4318"}, "is not a URL"),
        ({"endpoint": "ftp://127.0.0.1"}, "is not a URL"),
        ({"endpoint": "http://"}, "is not a URL"),
        ({"endpoint": "http://[::1"}, "is not a URL"),
        ({"endpoint": "http://host:99999"}, "is not a URL"),
        ({"endpoint": "http://me:pass@host:4318"}, "use `headers`"),
        ({"endpoint": "http://host:4318/v1/logs?key=1"}, "may have only a scheme"),
        ({"endpoint": "http://ho st:4318"}, "has a blank"),
        ({"endpoint": "http://host:4317/v1/logs", "protocol": "grpc"}, "a gRPC endpoint has no path"),
        ({"protocol": "http/json"}, "http/protobuf"),
        ({"compression": "zstd"}, "gzip"),
        ({"headers": {"bad name": "1"}}, "is not the name of a header"),
        ({"headers": {"Content-Type": "text/plain"}}, "the protocol reserves this header"),
        ({"headers": {"grpc-timeout": "1S"}}, "the protocol reserves this header"),
        ({"headers": {"trace-bin": "1"}}, "the protocol reserves this header"),
        ({"headers": {"x-key": "a\r\nb"}}, "only printable"),
        ({"headers": {"x-key": " a"}}, "begins or ends with a blank"),
        ({"headers": {"X-Key": "a", "x-key": "b"}}, "two headers have the same name"),
        ({"headers": {"Expect": "100-continue"}}, "the protocol reserves this header"),
        ({"headers": {"Trailer": "x"}}, "the protocol reserves this header"),
        ({"ca_file": "/x/ca.pem"}, "https://"),
        ({"endpoint": "https://host", "cert_file": "/x/cert.pem"}, "set both `cert_file` and `key_file`, or neither"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_invalid_settings_are_refused(written: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        OtlpSinkSettings(**{"endpoint": HTTP, **written})


def test_no_error_shows_the_value_of_a_header() -> None:
    with pytest.raises(ValidationError) as caught:
        OtlpSinkSettings(endpoint=HTTP, headers={"x-key": Secret("s3cr3t\ncanary")})
    assert "canary" not in str(caught.value)


def test_headers_are_matched_without_case() -> None:
    assert list(OtlpSinkSettings(endpoint=HTTP, headers={"X-Key": Secret("1")}).headers) == ["x-key"]


@pytest.mark.parametrize(("endpoint", "secure"), [("http://host", False), ("HTTPS://host", True)])
def test_the_scheme_says_whether_tls_is_used(endpoint: str, secure: bool) -> None:  # noqa: FBT001  # a parameter
    assert OtlpSinkSettings(endpoint=endpoint, protocol="grpc").uses_tls is secure
