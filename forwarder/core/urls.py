"""Splits and compares URLs. A URL may be any text, because other servers send URLs."""

from urllib.parse import SplitResult, quote, unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


def split_url(address: str) -> SplitResult:
    """Return the parts of the URL `address`. If `address` is malformed, such as `http://[x`, return empty parts."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def same_url(one: object, other: str) -> bool:
    """Whether two values are the same URL. These differences do not count: the case of the host, an explicit
    default port, an empty path instead of `/`, and which characters of the path are percent-encoded."""
    return isinstance(one, str) and normalized(one) == normalized(other)


def normalized(url: str) -> str:
    """Return the normal spelling of a URL; return a text that is not a URL unchanged."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if not parts.hostname:
        return url
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    if port is not None and port != _PORTS.get(parts.scheme):
        host += f":{port}"
    path = "/".join(quote(unquote(part), safe="") for part in parts.path.split("/"))
    return parts._replace(netloc=user + host, path=path or "/").geturl()
