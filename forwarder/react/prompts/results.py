"""The results of a prompt, as the engine of reactions uses them."""

from enum import StrEnum
from typing import TypedDict

import msgspec

from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer

INTERVAL = 5.0
"""Seconds between two polls, unless Okta says otherwise. CIBA prescribes this value if a response has no interval; for a
push, Okta documents none."""

LONGEST = 300 * SECOND
"""How long Okta keeps a prompt open at most. This is CIBA's limit; that of a push is not documented, and shorter."""


class Reply(StrEnum):
    """The answer to a prompt. The metric's label `answer` has the same words, and so have the keys of `then`."""

    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """Nothing was sent: the user has no device to be asked on, is locked, or is not assigned to the app."""
    UNKNOWN = "unknown"
    """It is not known whether the prompt was sent, or what the user answered. It is never sent again."""


class Ids(TypedDict):
    """Okta's ids of a response and of an error, for Okta's support."""

    request_id: str
    error_id: str


def ids_of(answer: Answer) -> Ids:
    """Return Okta's ids in an answer, for the action's row."""
    return Ids(request_id=answer.request_id, error_id=answer.error_id)


class PromptProgress(msgspec.Struct, frozen=True):
    """The state of a prompt. Read it in this order:

    1. With an `answer`, it is over.
    2. If it has `failed`, nothing was sent and never will be: the configuration, a scope or a role is wrong.
    3. With a `handle`, the user is being asked; poll at `due`.
    4. Else nothing was sent, for certain; send again at `due`.

    Attributes:
        handle: text to store in the row, with which the prompt can be polled after a restart too.
        due: when to poll, or to send again; None if Okta did not say.
        detail: for a person: what happened, with what to do about it.
        request_id, error_id: Okta's ids in its last response.
    """

    answer: Reply | None = None
    failed: bool = False
    handle: str = ""
    due: Micros | None = None
    detail: str = ""
    request_id: str = ""
    error_id: str = ""


def not_found_out(answer: Answer) -> PromptProgress:
    """Return the PromptProgress after a look-up that failed: nothing was sent."""
    ids = ids_of(answer)
    if answer.may_help_again:
        return PromptProgress(due=answer.again_at, detail=answer.text, **ids)
    if answer.status == 404:
        return PromptProgress(Reply.UNREACHABLE, detail=answer.text or "Okta does not know the user", **ids)
    return PromptProgress(failed=True, detail=answer.text, **ids)


def not_sent(answer: Answer) -> PromptProgress:
    """Return the PromptProgress after Okta refused to send a prompt. It is sent again only if it certainly was not
    sent: with a 429 Okta has done nothing, but a 5xx may come after Okta has sent the prompt."""
    ids = ids_of(answer)
    if answer.status == 429 or (not answer.sent and answer.may_help_again):
        return PromptProgress(due=answer.again_at, detail=answer.text, **ids)
    if answer.may_help_again:
        text = f"it is not known whether the user was asked, so they are not asked again. {answer.text}"
        return PromptProgress(Reply.UNKNOWN, detail=text, **ids)
    return PromptProgress(failed=True, detail=answer.text, **ids)


def lost() -> PromptProgress:
    """Return the PromptProgress of a prompt that was being sent when the process ended: it may have been sent."""
    text = "the forwarder ended while the prompt was being sent; it is not known whether the user saw it"
    return PromptProgress(Reply.UNKNOWN, detail=text)


class Handle(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data with which a prompt that is out is polled.

    Attributes:
        poll: the link to poll, or CIBA's `auth_req_id`.
        asked, expires: when the prompt was sent, and when it ends. They are by Okta's clock or by ours, which may differ
            by a minute.
        interval: seconds between two polls.
        cancel: the link that withdraws the prompt; empty if there is none.
        is_unsure: whether a poll's response was lost, and may have had the answer.
    """

    poll: str
    asked: Micros
    expires: Micros
    interval: float = INTERVAL
    cancel: str = ""
    is_unsure: bool = False


class PollResult(msgspec.Struct, frozen=True):
    """The result of one poll.

    Attributes:
        answer: the user's answer; None if there is none yet.
        is_pending: Okta says that the user has not answered yet.
        is_slower: Okta wants fewer polls from now on.
        is_lost: no response came, or only an error; a response that was lost may have had the answer.
        is_spent: Okta no longer knows the prompt: its time is up, or an earlier poll had the answer.
        again_at: the earliest time of the next poll; None if Okta did not say.
    """

    answer: Reply | None = None
    is_pending: bool = False
    is_slower: bool = False
    is_lost: bool = False
    is_spent: bool = False
    again_at: Micros | None = None
    detail: str = ""
    request_id: str = ""
    error_id: str = ""
