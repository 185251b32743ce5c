"""Serves `/emulator/answers`, a path that Okta does not have: sets how users' phones answer."""

from typing import Any

from litestar import post
from pydantic import Field

from forwarder.config.types import Section
from forwarder.emulator.http.errors import decode_section
from forwarder.emulator.http.responses import OktaRequest, org
from forwarder.emulator.prompts.prompts import Answer, Phone, PromptFault
from forwarder.emulator.settings import Seconds


class _AnswerRequest(Section):
    """The body of `POST /emulator/answers`.

    Attributes:
        user: id or login of the user; None for all users without a setting of their own.
        answer: the user's answer, also to a prompt that already waits.
        after: time from the prompt to the answer. For a prompt that already waits: time from now to the
            answer.
        fault: the fault of prompts to this user; see `PromptFault`.
    """

    user: str | None = None
    answer: Answer = "none"
    after: Seconds = Field("0s", validate_default=True)
    fault: PromptFault = ""


@post("/answers", status_code=200)
async def set_answers(request: OktaRequest) -> dict[str, Any]:
    """Set how phones answer from now on: the phone of one user, or the phones of all users without a setting of their
    own."""
    requested = decode_section(await request.body(), _AnswerRequest, "answers")
    emulator = org(request)
    user = None if requested.user is None else emulator.users.find(requested.user)
    emulator.prompts.set_phone(user, Phone(requested.answer, requested.after, requested.fault))
    return {"user": user and user.id, **requested.model_dump(exclude={"user"})}
