"""Each action on an emulated org: the state before, after, and after its end. In shadow: the same request, and no call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forwarder.core.action import Action, Outcome
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.users.directory import EmulatedUser
from tests.fakes.okta_org import okta_org
from tests.integration.reaction_runner.scene import LaterClock, ended, running, settings, until

pytestmark = pytest.mark.timeout(120)

Look = Callable[[Emulator, EmulatedUser], Any]

ACTIONS: dict[str, tuple[Any, Look, Any, Any]] = {
    "revoke_sessions": ("revoke_sessions", lambda _, user: (user.sessions, user.refresh_tokens), (0, 0), (0, 0)),
    "universal_logout": ("universal_logout", lambda _, user: (user.sessions, user.refresh_tokens), (0, 0), (0, 0)),
    "expire_password": (
        {"expire_password": None, "approve": False},
        lambda _, user: user.status,
        "PASSWORD_EXPIRED",
        "PASSWORD_EXPIRED",
    ),
    "user_risk": ({"user_risk": "high"}, lambda _, user: user.risk and user.risk[0], "HIGH", "HIGH"),
    "add_to_group": (
        {"add_to_group": {"group": "Step-up", "for": "1m"}},
        lambda org, user: user.id in org.groups.named("Step-up").members,
        True,
        False,
    ),
    "suspend": ({"suspend": {"for": "1m"}, "approve": False}, lambda _, user: user.status, "SUSPENDED", "ACTIVE"),
}
"""By name: what the rule says, what to look at, how it is once done, and after its end."""


def with_group(org: Emulator) -> None:
    group = next(each for each in org.groups.all() if each.type == "OKTA_GROUP" and not each.roles)
    group.name = "Step-up"


@pytest.mark.long
@pytest.mark.parametrize("name", ACTIONS)
async def test_an_action_changes_its_target_and_a_timed_effect_ends(tmp_path: Path, name: str) -> None:
    do, look, after, end = ACTIONS[name]
    async with okta_org() as org:
        with_group(org)
        before = {user.id: look(org, user) for user in org.users.all()}
        wanted = settings(tmp_path, org, [do])
        async with running(wanted) as forwarder:
            await org.emit(1, ["user.session.start"])
            (row,) = await until(ended(1), forwarder)
            user = org.users.find(row.target.id)
            assert row.outcome in {Outcome.DONE, Outcome.ACCEPTED}, row.detail
            assert (before[user.id] != after, look(org, user)) == (True, after)
        async with running(wanted, LaterClock()) as forwarder:
            await until(lambda rows: all(not one.is_open for one in rows), forwarder)
            assert look(org, user) == end


@pytest.mark.long
@pytest.mark.parametrize("name", ACTIONS)
async def test_shadow_records_the_request_that_enforce_sends(tmp_path: Path, name: str) -> None:
    do, look, _, _ = ACTIONS[name]
    rows: dict[str, Action] = {}
    for mode in ("shadow", "enforce"):
        folder = tmp_path / mode
        folder.mkdir()
        async with okta_org() as org:
            with_group(org)
            before = {user.id: look(org, user) for user in org.users.all()}
            async with running(settings(folder, org, [do], mode=mode)) as forwarder:
                await org.emit(1, ["user.session.start"])
                (rows[mode],) = await until(ended(1), forwarder)
            if mode == "shadow":
                assert org.calls == []
                assert before == {user.id: look(org, user) for user in org.users.all()}
    shadow, enforced = rows["shadow"], rows["enforce"]
    assert shadow.outcome is Outcome.SHADOW
    assert shadow.target.id == enforced.target.id  # the seed of the org is the same
    assert plain(shadow) == plain(enforced)


def plain(action: Action) -> Any:
    """Return the request without the id of the action, which differs for each event."""
    return msgspec.json.encode(action.request).decode().replace(action.id, "ID")
