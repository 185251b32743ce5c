"""Where credentials may be sent, and which addresses a response links to."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from forwarder.core.errors import OktaRefusedError


def target_of(origin: str, path: str, query: Mapping[str, str] | None) -> str:
    """Return the path and query to request from `origin`; `path` may be a URL of `origin`.

    Raises:
        OktaRefusedError: `path` is an address on another host, which must not see the credentials. Its status is 400,
            as Okta answers a link that it does not know.
    """
    parts = urlsplit(path)
    is_path = path.startswith("/") and not parts.netloc
    if not is_path and f"{parts.scheme}://{parts.netloc}".lower() != origin:
        text = f"{parts.scheme}://{parts.netloc} is not {origin}: its credentials are sent nowhere else"
        raise OktaRefusedError(400, "", text)
    joined = "&".join(part for part in (parts.query, urlencode(query or {}, quote_via=quote)) if part)
    return (parts.path or "/") + (f"?{joined}" if joined else "")


_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,]+\s*=\s*(?:"[^"]*"|[^",;]*))*)')
_REL = re.compile(r'(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]*))')


def links_of(headers: list[str]) -> dict[str, str]:
    """Return addresses by their `rel`. A header may hold several links, and a link several `rel`."""
    links: dict[str, str] = {}
    for address, parameters in (found for header in headers for found in _LINK.findall(header)):
        rel = _REL.search(parameters)
        for name in (rel[1] or rel[2] or "").split() if rel else ():
            links.setdefault(name, address)
    return links
