"""Checks and rewrites the head of a request: its first line and its headers, with names in lower case."""

import re

Headers = list[tuple[bytes, bytes]]

_is_host = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Za-z:.%_~-]+\])(?::[0-9]*)?"  # RFC 9110, 7.2
).fullmatch


def has_host(headers: Headers, version: str) -> bool:
    """Return whether the request has exactly one `Host` header, and its value is valid. If `version` is 1.0, the header
    may be absent."""
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts:
        return version == "1.0"
    return len(hosts) == 1 and _is_host(hosts[0].strip()) is not None


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Return the head of a request as bytes, without the `Upgrade` header. A server may ignore this header (RFC 9110,
    section 7.8)."""
    lines = [method + b" " + url + b" HTTP/" + version.encode()]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
