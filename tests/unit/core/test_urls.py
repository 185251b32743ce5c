"""Spellings of one URL."""

import pytest

from forwarder.core.urls import same_url


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a", "http://a:80/", True),
        ("http://[::1]:80/x", "http://[::1]/x", True),
        ("https://a:443/x?y=1", "https://A/x?y=1", True),
        ("https://a/u%40b%2fc", "https://a/u@b%2Fc", True),
        ("https://a/u%2Fb", "https://a/u/b", False),
        ("https://a:80", "https://a", False),
        ("https://a/x", "https://a/X", False),
        ("https://a/x", "https://a/x/", False),
        ("https://u@a", "https://a", False),
        ("https://a:99999", "https://a", False),
        ("not a url", "not a url", True),
        (None, "https://a", False),
        (7, "7", False),
    ],
)
def test_the_own_port_the_case_of_the_host_and_an_empty_path_do_not_count(
    one: object,
    other: str,
    same: bool,  # noqa: FBT001
) -> None:
    assert same_url(one, other) == same
