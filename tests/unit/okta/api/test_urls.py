import time

from forwarder.okta.api.urls import links_of


def test_links_are_found_by_their_names() -> None:
    header = '<https://a/1>; rel="self", <https://a/2>; rel=next'
    assert links_of([header]) == {"self": "https://a/1", "next": "https://a/2"}


def test_a_header_of_nothing_but_brackets_takes_time_in_step_with_its_length() -> None:
    began = time.process_time()
    assert links_of(["<" * 60_000, '<https://a/2>; rel="next"']) == {"next": "https://a/2"}
    assert time.process_time() - began < 1  # by the square it takes 26 s
