"""Splits an address that another server sent. The address may be any text."""

from urllib.parse import SplitResult, urlsplit


def split_url(address: str) -> SplitResult:
    """Return the parts of the URL `address`. If `address` is malformed, such as `http://[x`, return empty parts."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")
