"""Which org a request belongs to, and the record of those with no valid secret."""

import pytest

from forwarder.receive.auth import OKTA, AuthFailure, OrgRequests, Refusals, Refused, keyrings
from forwarder.receive.settings import HookEndpointSettings

HOUR = 3600 * 1_000_000
NOW = 100 * HOUR
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
def test_anything_else_is_refused_with_its_reason(headers: list[tuple[bytes, bytes]], reason: AuthFailure) -> None:
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


def test_refusals_count_until_a_post_is_accepted() -> None:
    refusals = Refusals()
    refusals.refuse("/okta/events", NOW - 3)
    refusals.refuse("/okta/events", NOW - 2)
    assert refusals.requests("acme", "/okta/events", NOW) == OrgRequests(None, 2, NOW - 2)
    refusals.accept("acme", NOW - 1)
    assert refusals.requests("acme", "/okta/events", NOW) == OrgRequests(NOW - 1, 0, None)
    refusals.refuse("/okta/events", NOW)
    assert refusals.requests("acme", "/okta/events", NOW) == OrgRequests(NOW - 1, 1, NOW)


def test_a_post_of_one_org_does_not_hide_the_refusals_of_another_at_the_same_path() -> None:
    refusals = Refusals()
    refusals.refuse("/okta/events", NOW - 2)
    refusals.accept("acme", NOW - 1)
    assert refusals.requests("other", "/okta/events", NOW).refused == 1
    assert refusals.requests("third", "/elsewhere", NOW).refused == 0


def test_what_is_older_than_a_day_no_longer_counts() -> None:
    refusals = Refusals()
    refusals.refuse("/okta/events", NOW - 25 * HOUR)
    refusals.refuse("/okta/events", NOW - 23 * HOUR)
    assert refusals.requests("acme", "/okta/events", NOW).refused == 1


def test_refusals_count_also_after_the_clock_was_set_back() -> None:
    refusals = Refusals()
    refusals.accept("acme", NOW + HOUR)
    refusals.refuse("/okta/events", NOW)
    assert refusals.requests("acme", "/okta/events", NOW).refused == 1


def test_a_verification_with_the_secret_ends_the_refusals_but_brings_no_events() -> None:
    refusals = Refusals()
    refusals.refuse("/okta/events", NOW - 2, user_agent=OKTA)
    refusals.verify("acme")
    assert refusals.requests("acme", "/okta/events", NOW) == OrgRequests(None, 0, None, 0, 1)


def test_a_get_counts_only_if_okta_sent_it() -> None:
    refusals = Refusals()
    refusals.refuse("/okta/events", NOW - 3, method="GET", user_agent="Mozilla/5.0")
    assert refusals.requests("acme", "/okta/events", NOW).refused == 0
    refusals.refuse("/okta/events", NOW - 2, method="GET", user_agent=OKTA)
    refusals.refuse("/okta/events", NOW - 1, user_agent="curl/8")
    found = refusals.requests("acme", "/okta/events", NOW)
    assert (found.refused, found.okta_refused, len(refusals.recent)) == (2, 1, 3)


def test_a_flood_of_refusals_takes_bounded_memory_and_a_post_still_ends_it() -> None:
    refusals = Refusals()
    for n in range(5_000):
        refusals.refuse("/okta/events", NOW + n)
    assert refusals.requests("acme", "/okta/events", NOW + 5_000).refused == 1_000
    refusals.accept("acme", NOW + 5_000)
    assert refusals.requests("acme", "/okta/events", NOW + 5_001).refused == 0


def test_refusals_of_okta_count_for_an_hour_also_when_others_are_accepted() -> None:
    refusals = Refusals()
    refusals.refuse("/okta/events", NOW - 2 * HOUR, user_agent=OKTA)
    refusals.refuse("/okta/events", NOW - 3, user_agent=OKTA)
    refusals.refuse("/okta/events", NOW - 2, user_agent="curl/8")
    refusals.accept("acme", NOW - 1)
    found = refusals.requests("acme", "/okta/events", NOW)
    assert (found.refused, found.refused_from_okta) == (0, 1)


def test_the_last_refusals_are_kept_with_address_and_reason_and_bounded_texts() -> None:
    refusals = Refusals()
    for n in range(30):
        refusals.refuse("/p", NOW + n, client="192.0.2.1", reason="wrong", user_agent="x" * 9999)
    assert len(refusals.recent) == 20
    assert refusals.recent[-1] == Refused(NOW + 29, "/p", "192.0.2.1", "wrong", "x" * 200)
