"""Checks a prompt against the limits in the settings."""

import msgspec

from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.guards.judgement import Case
from forwarder.react.prompts.caps import Cap, over_cap
from forwarder.react.settings.guards import GuardSettings, Limit

LIMIT_OF = {"day": "prompt_per_user", "org": "prompts_at_once"}
"""The name of each limit in `reactions.limits`, by the word for it in `Cap.which`."""

_ONCE_A_DAY = Limit(1, 86_400)


def cap_of(case: Case, memory: ActionsInMemory, settings: GuardSettings) -> Cap | None:
    """Return why the prompt of `case` may not be sent now; None if it may be sent."""
    per_user = settings.limits.get("prompt_per_user", _ONCE_A_DAY)
    return over_cap(
        msgspec.structs.replace(case.action, mode=case.mode),
        memory.prompts(case.action),
        case.now,
        per_user=per_user.count,
        window=per_user.micros,
        at_once=settings.prompts_at_once,
    )
