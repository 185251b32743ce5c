"""Which org a request belongs to."""

import pytest

from forwarder.receive.auth import AuthFailure, keyrings
from forwarder.receive.settings import HookEndpointSettings

RINGS = keyrings(
    {
        "acme": HookEndpointSettings(secrets=["old", "Bearer new"]),
        "sub": HookEndpointSettings(secrets=["sub-secret"], header="X-Okta-Key"),
        "ü": HookEndpointSettings(secrets=["ключ"], path="/u"),
    }
)
RING = RINGS["/okta/events"]


@pytest.mark.parametrize(
    ("headers", "org"),
    [
        ([(b"authorization", b"old")], "acme"),
        ([(b"authorization", b"Bearer new")], "acme"),
        ([(b"authorization", b" old\t")], "acme"),
        ([(b"x-okta-key", b"sub-secret")], "sub"),
        ([(b"authorization", b"wrong"), (b"x-okta-key", b"sub-secret")], "sub"),
        ([(b"host", b"a"), (b"host", b"b"), (b"authorization", b"old")], "acme"),
    ],
)
def test_every_live_secret_opens_for_its_org(headers: list[tuple[bytes, bytes]], org: str) -> None:
    assert RING.identify(headers) == org


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], AuthFailure.MISSING),
        ([(b"x-other", b"old")], AuthFailure.MISSING),
        ([(b"authorization", b"")], AuthFailure.WRONG),
        ([(b"authorization", b"new")], AuthFailure.WRONG),
        ([(b"authorization", b"bearer new")], AuthFailure.WRONG),
        ([(b"authorization", b"OLD")], AuthFailure.WRONG),
        ([(b"authorization", b"oldx")], AuthFailure.WRONG),
        ([(b"authorization", b"sub-secret")], AuthFailure.WRONG),
        ([(b"x-okta-key", b"old")], AuthFailure.WRONG),
        ([(b"authorization", b"\xff\xfe")], AuthFailure.WRONG),
        ([(b"authorization", b"old"), (b"authorization", b"old")], AuthFailure.DUPLICATE),
    ],
)
def test_anything_else_is_refused_with_its_reason(
    headers: list[tuple[bytes, bytes]], reason: AuthFailure
) -> None:
    assert RING.identify(headers) is reason


def test_a_secret_beyond_ascii_is_compared_as_utf_8() -> None:
    assert RINGS["/u"].identify([(b"authorization", "ключ".encode())]) == "ü"


def test_a_path_of_several_orgs_blames_none_by_name() -> None:
    assert RING.default_org == ""
    assert RINGS["/u"].default_org == "ü"


def test_no_secret_shows_in_a_keyring() -> None:
    assert "old" not in repr(RING)
    assert "sub-secret" not in str(RINGS)


def test_an_org_without_a_secret_is_in_no_keyring() -> None:
    orgs = {"polled": HookEndpointSettings(path="/polled"), "acme": HookEndpointSettings(secrets=["s"])}
    assert list(keyrings(orgs)) == ["/okta/events"]
