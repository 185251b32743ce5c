import pytest
from pydantic import ValidationError

from forwarder.emulator.http import auth
from forwarder.emulator.settings import ClientSettings, EmulatorSettings, Faults
from forwarder.react.settings.problems import SCOPES


@pytest.mark.parametrize(("written", "seconds"), [("2s", 2.0), ("500ms", 0.5), (2, 2.0), (0.25, 0.25)])
def test_a_delay_is_a_time_with_a_unit_or_seconds(written: object, seconds: float) -> None:
    assert Faults(delay=written).delay == seconds


@pytest.mark.parametrize(
    "wrong",
    [{"drop": 1.1}, {"drop": -0.1}, {"duplicate": 2}, {"delay": "soon"}, {"delay": -1}, {"delay": True}, {"lose": 1}],
)  # fmt: skip
def test_a_fault_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Faults(**wrong)


def test_an_org_needs_only_a_token_and_has_oktas_patience() -> None:
    settings = EmulatorSettings(token="planted-secret")
    assert settings.timeout == 3.0
    assert settings.faults == Faults()
    assert "planted-secret" not in repr(settings)


def test_an_app_may_request_every_scope_that_reactions_and_their_look_ups_need() -> None:
    needed = {*SCOPES.values(), "okta.roles.read", "okta.groups.read", "okta.users.read", "okta.logs.read"}
    known = {scope for pair in auth._SCOPES.values() for scope in pair}
    assert (needed | known) - set(ClientSettings().scopes) == set()
