"""Splits an address that another server sent, which may be anything."""

from urllib.parse import SplitResult, urlsplit


def split_url(address: str) -> SplitResult:
    """Return the parts of `address`. All are empty if it is not a URL, such as http://[x, for which `urlsplit` raises."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")
