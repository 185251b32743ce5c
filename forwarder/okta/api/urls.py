"""Checks that a request with credentials goes to the org's own address, and reads the `link` headers of responses."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from forwarder.core.errors import OktaRefusedError
from forwarder.core.redaction import redact_start
from forwarder.core.urls import split_url


def target_of(origin: str, path: str, query: Mapping[str, str] | None) -> str:
    """Return the path and query to request from `origin`, such as https://acme.okta.com. `path` may be a full URL of
    `origin`.

    Raises:
        OktaRefusedError: `path` is a URL of another host, which must not get the credentials. The status of the error
            is 400, because Okta answers 400 to a link that it does not know.
    """
    parts = split_url(path)
    is_path = path.startswith("/") and not parts.netloc
    if not is_path and f"{parts.scheme}://{parts.netloc}".lower() != origin:
        where = f"{parts.scheme}://{parts.netloc}" if parts.netloc else redact_start(path, 100)
        text = f"{where} is not {origin}, so the org's credentials are not sent there"
        raise OktaRefusedError(400, "", text)
    joined = "&".join(part for part in (parts.query, urlencode(query or {}, quote_via=quote)) if part)
    return (parts.path or "/") + (f"?{joined}" if joined else "")


_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,]+\s*=\s*(?:"[^"]*"|[^",;]*))*)')
_REL = re.compile(r'(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]*))')


def links_of(headers: list[str]) -> dict[str, str]:
    """Return the addresses in `link` headers by `rel`, such as `next`. A header may hold several links, and a link may
    have several `rel` values; if a value occurs again, the first address counts."""
    links: dict[str, str] = {}
    for address, parameters in (found for header in headers for found in _LINK.findall(header)):
        rel = _REL.search(parameters)
        for name in (rel[1] or rel[2] or "").split() if rel else ():
            links.setdefault(name, address)
    return links
