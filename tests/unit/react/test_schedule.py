"""The due rows, their order, and which rows may start while others are processed."""

import msgspec

from forwarder.core.action import Action, ActionState, ActionTarget
from forwarder.react.action_rows.in_memory import ActionsInMemory
from tests.fakes.actions import action
from tests.fakes.clock import NOON

change = msgspec.structs.replace
DO = ("revoke_sessions", "add_to_group", "suspend", "block_ip", "notify")


def alert(number: int) -> list[Action]:
    """Return the actions for one alert, in the order of `do`."""
    target = ActionTarget("user", f"00u{number}")
    rows = [action(name, number, settings={"to": "soc"}) for name in DO]
    return [change(row, target=target) if row.target.kind == "user" else row for row in rows]


def start(memory: ActionsInMemory, *working: Action, at_once: int = 8) -> list[Action]:
    return memory.startable(NOON, working, at_once)


def test_the_actions_of_an_alert_start_in_the_order_of_do() -> None:
    for number in range(50):
        memory = ActionsInMemory()
        rows = alert(number)
        for row in rows:
            memory.put(row)
        assert [row.name for row in memory.due(NOON)] == list(DO)
        started = [row.name for row in start(memory)]
        assert started == ["revoke_sessions", "block_ip", "notify"]  # the others wait for the user's first
        memory.put(change(rows[0], state=ActionState.ENDED))
        assert [row.name for row in start(memory, rows[3], rows[4])] == ["add_to_group"]


def test_after_a_restart_the_actions_of_an_alert_start_in_the_same_order() -> None:
    for number in range(50):
        memory = ActionsInMemory()
        memory.put(action("revoke_sessions", 99))
        memory.fill(alert(number))
        assert [row.name for row in memory.due(NOON)] == list(DO)


def test_rows_with_the_same_due_time_start_in_the_order_in_which_they_came() -> None:
    memory = ActionsInMemory()
    rows = [action(number=number) for number in range(20)]
    for row in rows:
        memory.put(row)
    for row in reversed(rows):
        memory.put(change(row, state=ActionState.WAITING, due=NOON - 1))
    assert [row.alert for row in memory.due(NOON)] == [row.alert for row in rows]


def test_each_lane_has_slots_of_its_own() -> None:
    memory = ActionsInMemory()
    users = [ActionTarget("user", f"00u{number}") for number in range(40)]
    calls = [action("revoke_sessions", number, target=users[number]) for number in range(10)]
    undos = [action("suspend", number, target=users[number], state=ActionState.LIVE) for number in range(10, 20)]
    polls = [action("prompt", number, target=users[number], state=ActionState.PROMPTING) for number in range(20, 30)]
    other = action("revoke_sessions", 30, target=users[30], org="other")
    hooks = [action("notify", number, settings={"to": to}) for number, to in ((1, "a"), (2, "a"), (3, "b"))]
    for row in [*calls, *polls, *hooks, *undos, other]:
        memory.put(row)
    started = start(memory, at_once=2)
    assert started == [*undos[:2], *calls[:2], *polls[:2], *hooks, other]
    assert start(memory, *started, at_once=2) == []
    assert start(memory, *started[1:], at_once=2) == [undos[0]]


def test_a_busy_target_takes_no_slots_of_other_targets() -> None:
    memory = ActionsInMemory()
    same = [action("revoke_sessions", number) for number in range(10)]
    other = action("revoke_sessions", 10, target=ActionTarget("user", "00uother"))
    for row in [*same, other]:
        memory.put(row)
    assert start(memory, same[0], at_once=2) == [other]


def test_an_undo_comes_before_the_next_action_on_its_target() -> None:
    memory = ActionsInMemory()
    memory.put(action("revoke_sessions", 1))
    memory.put(undo := action("suspend", 2, state=ActionState.LIVE))
    assert start(memory) == [undo]


def test_a_postponed_row_is_due_at_its_time_or_after_its_next_put() -> None:
    memory = ActionsInMemory()
    memory.put(row := action())
    memory.postpone(row.key, NOON + 5)
    assert (start(memory), memory.next_due()) == ([], NOON + 5)
    assert memory.startable(NOON + 5, [], 8) == [row]
    memory.postpone(row.key, NOON + 9)
    memory.put(row)
    assert start(memory) == [row]
