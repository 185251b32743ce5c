from forwarder.http.settings import ListenerLimits


def test_limits_are_usable_on_their_own() -> None:
    assert ListenerLimits().max_connections == 1000
