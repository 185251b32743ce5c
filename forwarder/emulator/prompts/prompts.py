"""The prompts on users' phones, and how the phones answer.

The emulator handles a factor push and CIBA alike: a prompt waits until the user answers or the prompt expires. The
actor of the event about the answer is the user.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros
from forwarder.emulator.actors import Report
from forwarder.emulator.events.fixtures import entity
from forwarder.emulator.users.directory import EmulatedUser

Answer = Literal["approve", "deny", "none"]
By = Literal["push", "ciba"]
Result = Literal["WAITING", "SUCCESS", "REJECTED", "TIMEOUT", "CANCELLED"]

PromptFault = Literal["", "service_error", "unassigned", "not_enrolled", "mfa_start_failed", "slow_down", "expired"]
"""What goes wrong when the user is asked. The statuses of user and factor can cause other errors.

| fault | factor push | CIBA |
|---|---|---|
| `service_error` | 504 E0000067 | 504 E0000067 |
| `unassigned` | | 400 invalid_request: the hint matches no user assigned to the app |
| `not_enrolled` | | 400 E0000214 |
| `mfa_start_failed` | | 400 access_denied: the challenge could not be sent |
| `slow_down` | | the first poll that is not too early is also answered slow_down |
| `expired` | TIMEOUT at once | 400 expired_token at once |
"""


class Phone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a user's phone answers.

    Attributes:
        after: seconds from the prompt to the answer.
        fault: what goes wrong when the user is asked.
    """

    answer: Answer = "none"
    after: float = 0.0
    fault: PromptFault = ""


class Prompt(msgspec.Struct):
    """One prompt.

    Attributes:
        id: id of a push's transaction, or CIBA's `auth_req_id`.
        caller: id of the app or admin that sent the prompt.
        factor: id of the factor that a push uses; None for CIBA.
        server: issuer of CIBA's authorization server; None for a push.
        message: CIBA's `binding_message`.
        number: the right answer to a push's number challenge.
        interval: the shortest allowed time between two polls of CIBA, in seconds.
        result: Okta's `factorResult`, also for CIBA.
        answers: when the phone will answer; None if the phone will not answer.
        early: how many of the `polls` came too early.
        slow_down: whether the next poll is answered `slow_down` even if it is not too early.
    """

    id: str
    by: By
    user: str
    caller: str
    asked: Micros
    expires: Micros
    factor: str | None = None
    server: str | None = None
    message: str | None = None
    number: int | None = None
    interval: float = 5.0
    result: Result = "WAITING"
    answer: Answer = "none"
    answers: Micros | None = None
    polls: list[Micros] = msgspec.field(default_factory=list)
    early: int = 0
    slow_down: bool = False
    redeemed: bool = False


_LEEWAY = SECOND // 10
"""A poll that is too early by at most this time is still allowed, because calls do not all take the same
time."""


class EmulatedPrompts:
    """The prompts of an org, and its users' phones."""

    def __init__(self, clock: Clock, report: Report) -> None:
        self._clock = clock
        self._report = report
        self._prompts: dict[str, tuple[Prompt, EmulatedUser]] = {}
        self._phones: dict[str, Phone] = {}
        self._others = Phone()
        self._answering: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Cancel the answers that are still due."""
        for task in self._answering:
            task.cancel()

    def all(self) -> Sequence[Prompt]:
        """Return every prompt, the oldest first."""
        for prompt, _ in self._prompts.values():
            self.settle(prompt)
        return tuple(prompt for prompt, _ in self._prompts.values())

    def find(self, prompt_id: str) -> Prompt | None:
        """Return the prompt with this id and its current result; None if no prompt has this id."""
        found = self._prompts.get(prompt_id)
        if found is None:
            return None
        self.settle(found[0])
        return found[0]

    def phone(self, user: EmulatedUser) -> Phone:
        """Return how a user's phone answers."""
        return self._phones.get(user.id, self._others)

    def set_phone(self, user: EmulatedUser | None, phone: Phone) -> None:
        """Set how the phone of `user` answers, also to prompts that already wait.

        If `user` is None, `phone` applies to all users that have no setting of their own.
        """
        if user is None:
            self._others = phone
        else:
            self._phones[user.id] = phone
        for prompt, asked in list(self._prompts.values()):
            if prompt.result == "WAITING" and self.phone(asked) is phone:
                self._schedule(prompt, phone)

    def ask(self, prompt: Prompt, user: EmulatedUser) -> None:
        """Send a prompt to the user's phone."""
        phone = self.phone(user)
        if phone.fault == "expired":
            prompt.expires = prompt.asked
        prompt.slow_down = phone.fault == "slow_down"
        self._prompts[prompt.id] = prompt, user
        sent = "system.push.send_factor_verify_push"
        if prompt.by == "ciba":
            sent = "device.custom_push.send_notification"
        self._report(sent, user, target=[user.entity()], severity="INFO")
        self._schedule(prompt, phone)

    def record_poll(self, prompt: Prompt) -> bool:
        """Record a poll, and return whether its answer must be `slow_down`.

        The answer is `slow_down` if the poll is too early, or if the fault `slow_down` of the phone still
        applies. Each `slow_down` makes the prompt's interval 5 s longer.
        """
        now = self._clock.now()
        last = prompt.polls[-1] if prompt.polls else prompt.asked
        prompt.polls.append(now)
        early = now - last < prompt.interval * SECOND - _LEEWAY
        prompt.early += early
        slow = early or prompt.slow_down
        if slow:
            prompt.interval += 5
        if not early:
            prompt.slow_down = False
        return slow

    def cancel(self, prompt: Prompt) -> None:
        """Cancel a prompt that still waits."""
        if prompt.result == "WAITING":
            prompt.result = "CANCELLED"

    def settle(self, prompt: Prompt) -> None:
        """Set the result of a waiting prompt if the phone's answer is due or the prompt has expired."""
        if prompt.result != "WAITING":
            return
        now = self._clock.now()
        if prompt.answers is not None and prompt.answers <= now and prompt.answers < prompt.expires:
            prompt.result = "SUCCESS" if prompt.answer == "approve" else "REJECTED"
            self._report_answer(prompt)
        elif now >= prompt.expires:
            prompt.result = "TIMEOUT"

    def _schedule(self, prompt: Prompt, phone: Phone) -> None:
        prompt.answer, prompt.answers = phone.answer, None
        if phone.answer == "none":
            return
        prompt.answers = self._clock.now() + round(phone.after * SECOND)
        task = asyncio.get_running_loop().create_task(self._answer(prompt, phone.after))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, prompt: Prompt, after: float) -> None:
        """Settle the prompt after `after` seconds, so that the org writes the event even without a poll."""
        await self._clock.sleep(after)
        self.settle(prompt)

    def _report_answer(self, prompt: Prompt) -> None:
        """Write the event about the answer to a prompt.

        As in Okta, the event about a denial looks like the event about a wrong password.
        """
        user = self._prompts[prompt.id][1]
        fields: dict[str, Any] = {"outcome": {"result": "SUCCESS", "reason": None}, "severity": "INFO"}
        if prompt.result == "REJECTED":
            fields = {"outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"}, "severity": "WARN"}
        name = "Okta Verify" if prompt.by == "push" else "Custom Push"
        enrolled = entity(f"lae{user.id[3:]}", "AuthenticatorEnrollment", name)
        factor = "OKTA_VERIFY_PUSH" if prompt.by == "push" else "CUSTOM_APP_PUSH"
        self._report(
            "user.authentication.auth_via_mfa",
            user,
            target=[user.entity(), enrolled],
            debug={"factor": factor},
            **fields,
        )
