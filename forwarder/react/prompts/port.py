"""The results of a prompt, as the engine of reactions uses them."""

from enum import StrEnum
from typing import TypedDict

import msgspec

from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer

INTERVAL = 5.0
"""Seconds between two polls, unless Okta says otherwise: what CIBA prescribes where the response has no interval. For a
push, Okta documents none."""

LONGEST = 300 * SECOND
"""How long Okta keeps a prompt open, at most: CIBA's limit. The life of a push is documented nowhere; it is shorter."""


class Reply(StrEnum):
    """The answer to a prompt: the value of the label `answer` of its metric, and of the keys of `then`."""

    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """Nothing was sent: the user has nothing to ask on, is locked, or is not assigned to the app."""
    UNKNOWN = "unknown"
    """Whether it was sent, or what the user said, is not known. It is never sent again."""


class Ids(TypedDict):
    """Okta's ids of a response and of an error, for its support."""

    request_id: str
    error_id: str


def ids_of(answer: Answer) -> Ids:
    """Return Okta's ids in an answer, for the action's row."""
    return Ids(request_id=answer.request_id, error_id=answer.error_id)


class Progress(msgspec.Struct, frozen=True):
    """The state of a prompt. Read it in this order:

    1. With an `answer`, it is over.
    2. If it has `failed`, nothing was sent and never will be: the configuration, a scope or a role is wrong.
    3. With a `handle`, the user is being asked; poll at `due`.
    4. Else nothing was sent, for certain; send again at `due`.

    Attributes:
        handle: text to store in the row, with which the prompt can be polled after a restart too.
        due: None if Okta did not say when to send again.
        detail: for a person: what happened, with what to do about it.
        request_id, error_id: Okta's, of its last response.
    """

    answer: Reply | None = None
    failed: bool = False
    handle: str = ""
    due: Micros | None = None
    detail: str = ""
    request_id: str = ""
    error_id: str = ""


def not_found_out(answer: Answer) -> Progress:
    """Return the Progress after a look-up that failed: nothing was sent."""
    ids = ids_of(answer)
    if answer.may_help_again:
        return Progress(due=answer.again_at, detail=answer.text, **ids)
    if answer.status == 404:
        return Progress(Reply.UNREACHABLE, detail=answer.text or "Okta does not know the user", **ids)
    return Progress(failed=True, detail=answer.text, **ids)


def not_sent(answer: Answer) -> Progress:
    """Return the Progress after Okta refused the sending. The prompt is sent again only if it surely was not
    sent: a 429 is refused unread, while a 5xx may come after Okta has sent it."""
    ids = ids_of(answer)
    if answer.status == 429 or (not answer.sent and answer.may_help_again):
        return Progress(due=answer.again_at, detail=answer.text, **ids)
    if answer.may_help_again:
        text = f"whether the user was asked is not known, so they are not asked again. {answer.text}"
        return Progress(Reply.UNKNOWN, detail=text, **ids)
    return Progress(failed=True, detail=answer.text, **ids)


def lost() -> Progress:
    """Return the Progress of a prompt that was being sent when the process ended: it may have been sent."""
    text = "the forwarder ended while the prompt was being sent; whether the user saw it is not known"
    return Progress(Reply.UNKNOWN, detail=text)


class Handle(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data with which a prompt that is out is polled.

    Attributes:
        poll: the link to poll, or CIBA's `auth_req_id`.
        asked, expires: by Okta's clock or ours; they may differ by a minute.
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


class Look(msgspec.Struct, frozen=True):
    """The result of one poll.

    Attributes:
        answer: the user's answer; None if there is none yet.
        is_pending: Okta says that the user has not answered yet.
        is_slower: Okta wants fewer polls from now on.
        is_lost: the response was lost, or was none; it may have had the answer.
        is_spent: Okta knows the prompt no more: its time is over, or an earlier poll had the answer.
        again_at: not before this; None if Okta did not say.
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
