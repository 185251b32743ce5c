"""Tells whether two URLs are the same, however they are spelled."""

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def same_url(one: object, other: str) -> bool:
    """Whether two values are the same URL: the scheme's own port, the case of the host and an empty path do not count."""
    return isinstance(one, str) and normalized(one) == normalized(other)


def normalized(url: str) -> str:
    """Return one spelling for all of a URL's spellings; what is not a URL stays as it is."""
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
    return parts._replace(netloc=user + host, path=parts.path or "/").geturl()
