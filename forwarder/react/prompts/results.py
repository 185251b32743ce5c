"""The results of a prompt, in the form that the engine uses."""

from enum import StrEnum
from typing import TypedDict

import msgspec

from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer

INTERVAL = 5.0
"""Seconds between two polls, unless Okta says otherwise. CIBA prescribes this value if a response has no interval; for a
push, Okta documents none."""

LONGEST = 300 * SECOND
"""The longest time for which Okta keeps a prompt open. This is the limit of CIBA. The limit of a push is not documented, but
is shorter."""


class Reply(StrEnum):
    """The answer to a prompt. These values are also the keys of a prompt's setting `then`, and the values of the label
    `answer` of the metric that counts prompts."""

    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """Nothing was sent: the user has no device to be asked on, is locked, or is not assigned to the app."""
    UNKNOWN = "unknown"
    """It is not known whether the prompt was sent, or what the user answered. The prompt is never sent again."""


class Ids(TypedDict):
    """Okta's ids of a request and of an error, by which Okta's support can find the call."""

    request_id: str
    error_id: str


def ids_of(answer: Answer) -> Ids:
    """Return Okta's ids in `answer`, to be stored with the action."""
    return Ids(request_id=answer.request_id, error_id=answer.error_id)


class PromptProgress(msgspec.Struct, frozen=True):
    """The state of a prompt. Check the attributes in this order:

    1. With an `answer`, the prompt has ended.
    2. With `failed`, nothing was sent, and nothing will be sent: the configuration, a scope or a role is wrong.
    3. With a `handle`, the user is being asked; poll at `due`.
    4. Otherwise nothing was sent; send the prompt at `due`.

    Attributes:
        handle: a text to store with the prompt. The text is needed to poll for the answer, also after a restart.
        due: when to poll, or when to send the prompt; None if Okta did not say.
        detail: for an operator: what happened, and what to do.
        request_id, error_id: Okta's ids in its last response.
    """

    answer: Reply | None = None
    failed: bool = False
    handle: str = ""
    due: Micros | None = None
    detail: str = ""
    request_id: str = ""
    error_id: str = ""


def look_up_failed(answer: Answer) -> PromptProgress:
    """Return the PromptProgress of a prompt that was not sent, because the look-up of the user failed."""
    ids = ids_of(answer)
    if answer.is_retryable:
        return PromptProgress(due=answer.retry_at, detail=answer.text, **ids)
    if answer.status == 404:
        return PromptProgress(Reply.UNREACHABLE, detail=answer.text or "Okta does not know the user", **ids)
    return PromptProgress(failed=True, detail=answer.text, **ids)


def not_sent(answer: Answer) -> PromptProgress:
    """Return the PromptProgress of a prompt whose request Okta refused or did not answer.

    The prompt is sent again only if Okta certainly did not send it. After a 429, Okta did not send the prompt. After a
    5xx, Okta may have sent it.
    """
    ids = ids_of(answer)
    if answer.status == 429 or (not answer.sent and answer.is_retryable):
        return PromptProgress(due=answer.retry_at, detail=answer.text, **ids)
    if answer.is_retryable:
        text = f"it is not known whether the user was asked, so they are not asked again. {answer.text}"
        return PromptProgress(Reply.UNKNOWN, detail=text, **ids)
    return PromptProgress(failed=True, detail=answer.text, **ids)


def lost() -> PromptProgress:
    """Return the PromptProgress of a prompt that was being sent when the process ended, so that it is not known whether
    the user was asked."""
    text = "the forwarder ended while the prompt was being sent; it is not known whether the user saw it"
    return PromptProgress(Reply.UNKNOWN, detail=text)


class Handle(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data that is needed to poll a prompt that waits for an answer.

    Attributes:
        poll: the link to poll, or CIBA's `auth_req_id`.
        asked, expires: when the prompt was sent, and when it ends. Each time is by Okta's clock or by the forwarder's
            clock; the two clocks may differ by a minute.
        interval: seconds between two polls.
        cancel: the link that withdraws the prompt; empty if there is none.
        is_unsure: whether a lost response to a poll may have contained the answer.
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
        is_pending: whether Okta says that the user has not answered yet.
        is_slower: whether Okta asks for longer intervals between polls from now on.
        is_lost: whether there was no response, or only an error. The lost response may have contained the answer.
        is_spent: whether Okta no longer knows the prompt: the prompt has expired, or Okta already gave the answer to an
            earlier poll.
        retry_at: the earliest time of the next poll; None if Okta did not say.
    """

    answer: Reply | None = None
    is_pending: bool = False
    is_slower: bool = False
    is_lost: bool = False
    is_spent: bool = False
    retry_at: Micros | None = None
    detail: str = ""
    request_id: str = ""
    error_id: str = ""
