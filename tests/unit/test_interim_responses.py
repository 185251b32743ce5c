"""Interim responses are removed from what a server sends, and their number is limited."""

import pytest

from forwarder.interim_responses import MAX_INTERIM, InterimFilter, TooManyInterimError

FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def seen(sent: bytes, step: int) -> bytes:
    passed = InterimFilter()
    pieces = [sent[at : at + step] for at in range(0, len(sent), step)]
    return b"".join(map(passed.feed, [*pieces, b""]))


@pytest.mark.parametrize("step", [1, 2, 3, 5, 11, 12, 13, 64, 10_000])
@pytest.mark.parametrize(
    ("interim", "rest"),
    [
        (b"", FINAL),
        (INTERIM, FINAL),
        (INTERIM * MAX_INTERIM, FINAL),
        (b"HTTP/1.0 100 \n\n", FINAL),
        (b"HTTP/1.1 199\r\n\n", FINAL),
        (b"", b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + INTERIM),
        (INTERIM, FINAL + INTERIM * 100),  # what follows the final response is not for this filter
        (INTERIM, b""),
        (INTERIM, INTERIM[:-1]),
        (b"", b"SSH-2.0"),
        (b"", b"HTTP"),
        (b"", b"HTTP/1.1 103 x\r\n" + b"a: b\r\n" * 20_000),
    ],
)
def test_a_client_sees_only_the_final_response(interim: bytes, rest: bytes, step: int) -> None:
    if len(rest) > 1_000 * step:
        pytest.skip("takes long")
    assert seen(interim + rest, step) == rest


@pytest.mark.parametrize("step", [1, 64, 10_000])
def test_more_interim_responses_than_any_server_sends_are_an_error(step: int) -> None:
    with pytest.raises(TooManyInterimError, match="more than 20 interim responses"):
        seen(INTERIM * (MAX_INTERIM + 1) + FINAL, step)


def test_each_request_may_have_interim_responses() -> None:
    passed = InterimFilter()
    for _ in range(3):
        passed.request_sent()
        assert passed.feed(INTERIM * MAX_INTERIM + FINAL) == FINAL
