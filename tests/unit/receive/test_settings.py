"""Settings of the receiver."""

import pytest
from pydantic import ValidationError

from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings, validate_endpoints


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = ReceiverSettings()
    assert (settings.listen, settings.max_body, settings.commit_timeout) == ("127.0.0.1:8080", 10 * 2**20, 2.0)
    endpoint = HookEndpointSettings(secrets=["s"])
    assert (endpoint.path, endpoint.header, endpoint.challenge_needs_secret) == ("/okta/events", "Authorization", True)


@pytest.mark.parametrize(
    "fields",
    [{"max_body": "10"}, {"body_timeout": "0s"}, {"max_connections": 0}, {"max_header_bytes": "1B"}, {"tls": {}}],
)
def test_invalid_values_are_rejected(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReceiverSettings(**fields)


def test_orgs_with_the_same_secret_are_a_problem_that_shows_no_secret() -> None:
    orgs = {
        "a": HookEndpointSettings(secrets=["first", "planted"]),
        "b": HookEndpointSettings(secrets=["planted"], header="authorization", path="/okta/events/"),
        "c": HookEndpointSettings(secrets=["planted"], header="X-Key"),
        "d": HookEndpointSettings(secrets=["planted"], path="/d"),
    }
    problems = list(validate_endpoints(orgs, ReceiverSettings()))
    assert len(problems) == 1
    assert problems[0].startswith("orgs.b.secrets[0]: orgs.a has the same")
    assert "planted" not in problems[0]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"path": "events"}, ("path",)),
        ({"path": "/{org}"}, ("path",)),
        ({"path": "/a b"}, ("path",)),
        ({"header": "A b"}, ("header",)),
        ({"header": ""}, ("header",)),
        ({"header": "X-Okta-Verification-Challenge"}, ("header",)),
        ({"header": "TE"}, ("header",)),
        ({"header": "Trailer"}, ("header",)),
        ({"header": "Keep-Alive"}, ("header",)),
        ({"header": "Set-Cookie"}, ("header",)),
        ({"path": "/" + "a" * 9000}, ("path",)),
        ({"secrets": ["ok", "  "]}, ("secrets", 1)),
        ({"secrets": ["planted\nnext"]}, ("secrets", 0)),
    ],
)
def test_a_value_that_no_request_can_carry_is_a_problem(fields: dict[str, object], path: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        HookEndpointSettings(**{"secrets": ["s"]} | fields)
    assert caught.value.errors()[0]["loc"] == path
    assert "planted" not in str(caught.value)


def test_a_secret_that_no_request_has_room_for_is_a_problem() -> None:
    orgs = {"a": HookEndpointSettings(secrets=["s", "planted" * 10_000])}
    (problem,) = validate_endpoints(orgs, ReceiverSettings())
    assert problem.startswith(
        "orgs.a.secrets[1]: a request with this secret is larger than receiver.max_header_bytes; "
    )
    assert not list(validate_endpoints(orgs, ReceiverSettings(max_header_bytes="80KB")))


def test_valid_orgs_have_no_problem() -> None:
    assert not list(
        validate_endpoints(
            {"a": HookEndpointSettings(secrets=["s", "t"]), "b": HookEndpointSettings(secrets=["u"])},
            ReceiverSettings(),
        )
    )
