"""Checks and rewrites the head of a request: its first line and its headers, with names in lower case."""

import re

Headers = list[tuple[bytes, bytes]]

_is_host = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Za-z:.%_~-]+\])(?::[0-9]*)?"  # RFC 9110, 7.2
).fullmatch


def refusal(headers: Headers, version: str) -> int:
    """Return the HTTP status that refuses a request with this head; 0 if the head is acceptable. `version` is the
    version of HTTP, such as `1.1`.

    A request must have exactly one valid `Host` header; in HTTP/1.0, the header may be absent. The only transfer coding
    is `chunked`, and HTTP/1.0 has none: where one program takes the body to be chunked and another does not, they
    disagree about where the next request begins (RFC 9112, section 6.1).
    """
    if version not in {"1.0", "1.1"}:
        return 505
    hosts, codings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if codings and version == "1.0":
        return 400
    if codings and b",".join(codings).strip().lower() != b"chunked":
        return 501
    if not hosts:
        return 0 if version == "1.0" else 400
    return 0 if len(hosts) == 1 and _is_host(hosts[0].strip()) else 400


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Return the head of a request as bytes, without the `Upgrade` header. A server may ignore this header (RFC 9110,
    section 7.8)."""
    lines = [method + b" " + url + b" HTTP/" + version.encode()]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
