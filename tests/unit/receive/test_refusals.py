from forwarder.receive.refusals import OKTA, OrgRequests, Refusals, Refused

HOUR = 3600 * 1_000_000
NOW = 100 * HOUR


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
