import time

import pytest

from forwarder.core.errors import OktaRefusedError
from forwarder.okta.api.urls import links_of, target_of


def test_links_are_found_by_their_names() -> None:
    header = '<https://a/1>; rel="self", <https://a/2>; rel=next'
    assert links_of([header]) == {"self": "https://a/1", "next": "https://a/2"}


def test_a_header_of_nothing_but_brackets_takes_time_in_step_with_its_length() -> None:
    began = time.process_time()
    assert links_of(["<" * 60_000, '<https://a/2>; rel="next"']) == {"next": "https://a/2"}
    assert time.process_time() - began < 1  # by the square it takes 26 s


@pytest.mark.parametrize("link", ["http://[acme/api/v1/zones?after=7", "zones?after=7", ""])
def test_a_link_that_is_not_a_url_is_refused_and_named(link: str) -> None:
    with pytest.raises(OktaRefusedError) as caught:
        target_of("https://acme.okta.com", link, None)
    assert str(caught.value).startswith(f"{link} is not https://acme.okta.com, so")
