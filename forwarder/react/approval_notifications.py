"""Makes the notifications about an action that waits for approval. Each notification says where and until when a human
can approve the action."""

from collections.abc import Callable, Sequence

import msgspec

from forwarder.core.action import KINDS, Action, ActionState, ActionTarget, key_of
from forwarder.core.time import Micros, iso

_NAME = "notify"


def approval_notifications(
    action: Action, webhooks: Sequence[str], url: Callable[[Action], str], at: Micros
) -> list[Action]:
    """Return a notification about `action` for each webhook named in `webhooks`. `url(action)` must return the URL of
    the page that shows `action`."""
    about = {
        "approve": {
            "id": action.id,
            "url": url(action),
            "action": action.name,
            "target": msgspec.to_builtins(action.target),
            "why": action.detail,
            "until": iso(action.approval.until, "seconds") if action.approval else None,
        }
    }
    target = ActionTarget("alert", action.alert)
    return [
        Action(
            key=key_of(action.org, action.alert, _NAME, target, (webhook, action.key)),
            org=action.org,
            rule=action.rule,
            title=action.title,
            alert=action.alert,
            events=action.events,
            published=action.published,
            kind=KINDS[_NAME],
            name=_NAME,
            target=target,
            mode=action.mode,
            planned_at=at,
            settings={"to": webhook, "about": about},
            subject=action.subject,
            parent=action.key,
            state=ActionState.PLANNED,
            due=at,
        )
        for webhook in webhooks
    ]
