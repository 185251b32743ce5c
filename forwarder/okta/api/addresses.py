"""Where credentials may go, and what addresses an answer links to."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from forwarder.core.errors import OktaRefusedError, SettingsError
from forwarder.okta.settings import is_loopback


def origin_of(url: str) -> str:
    """Scheme and host of the org.

    Raises:
        SettingsError: credentials must not be sent there.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise SettingsError([f"url: {url!r} is no org's address; write it as in https://acme.okta.com"])
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise SettingsError([f"url: {url!r} must begin with https://: credentials are sent there"])
    if re.search(r"-admin\.(okta|oktapreview|okta-emea)\.com$", host):
        raise SettingsError([f"url: {url!r} is the Admin Console's address; leave out `-admin`"])
    return f"{parts.scheme}://{parts.netloc.lower()}"


def target_of(origin: str, path: str, query: Mapping[str, str] | None) -> str:
    """Path and query to ask `origin` for.

    Raises:
        OktaRefusedError: `path` is an address of somebody else, who must not see the credentials. Its status is 400,
            as Okta's own for a link that it does not know.
    """
    parts = urlsplit(path)
    here = path.startswith("/") and not parts.netloc
    if not here and f"{parts.scheme}://{parts.netloc}".lower() != origin:
        raise OktaRefusedError(
            400,
            "",
            f"{parts.scheme}://{parts.netloc} is not {origin}: its credentials go to no other address",
        )
    asked = "&".join(part for part in (parts.query, urlencode(query or {}, quote_via=quote)) if part)
    return (parts.path or "/") + (f"?{asked}" if asked else "")


_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s=;,]+\s*=\s*(?:"[^"]*"|[^",;]*))*)')
_REL = re.compile(r'(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]*))')


def links_of(headers: list[str]) -> dict[str, str]:
    """Addresses by their `rel`; several may stand in one header, and a link may have several of them."""
    links: dict[str, str] = {}
    for address, parameters in (found for header in headers for found in _LINK.findall(header)):
        rel = _REL.search(parameters)
        for name in (rel[1] or rel[2] or "").split() if rel else ():
            links.setdefault(name, address)
    return links
