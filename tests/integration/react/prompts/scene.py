"""An emulated org and the prompts of a forwarder, with a clock that a test moves. `Driven` processes a row as the engine
does: it stores the row before sending the prompt, and polls when the row is due."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from forwarder.core.action import Action, ActionState
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.prompts.prompts import Phone, Prompt
from forwarder.emulator.settings import Faults
from forwarder.emulator.users.directory import EmulatedUser
from forwarder.okta.api.client import OktaClient, RetryPolicy
from forwarder.okta.settings import ApiSettings
from forwarder.react.prompts.asking import Prompts
from forwarder.react.prompts.oauth import CibaApp
from forwarder.react.prompts.results import PromptProgress, Reply, lost
from forwarder.reaction_runner.okta_calls import OktaCalls
from tests.fakes.clock import ManualClock, settle
from tests.fakes.keys import pem, public_pem, rsa_key
from tests.fakes.okta_org import TOKEN, okta_org
from tests.unit.react.prompts.rows import prompt

APP = "0oaciba"
WAYS = ("push", "ciba")


@dataclass
class Scene:
    """A running org, its clock, and how to make a forwarder's prompts."""

    org: Emulator
    clock: ManualClock
    server: str | None
    clients: list[OktaClient] = field(default_factory=list)
    made: list[Prompts] = field(default_factory=list)
    origin: str = ""

    @property
    def user(self) -> EmulatedUser:
        return next(user for user in self.org.users.all() if not user.roles)

    def prompts(self, **app: Any) -> Prompts:
        """Return the prompts of a new process."""
        settings = {"client_id": APP, "private_key": pem(rsa_key()), "server": self.server} | app
        url = self.origin or self.org.settings.url
        client = OktaClient(url, ApiSettings(token=TOKEN), 1.0, self.clock, retry=RetryPolicy(timeout=5.0))
        self.clients.append(client)
        made = Prompts(OktaCalls({"acme": client}.get, self.clock), {"acme": CibaApp(url, **settings)}, self.clock)
        self.made.append(made)
        return made

    def row(self, by: str, user: EmulatedUser | None = None, **more: Any) -> Action:
        user = user or self.user
        settings = {"by": by} | more.pop("settings", {})
        return prompt(user.id, login=user.login, settings=settings, published=self.clock.now(), **more)

    def phone(self, answer: str = "none", after: float = 0.0, fault: str = "") -> None:
        self.org.prompts.set_phone(self.user, Phone(answer, after, fault))  # type: ignore[arg-type]

    def fail(self, *, changes: dict[str, Any] | None = None, polls: dict[str, Any] | None = None) -> None:
        """Make calls fail from now on; without arguments, make them succeed again."""
        self.org.faults = Faults.model_validate({"changes": changes or {}, "polls": polls or {}})

    @property
    def asked(self) -> tuple[Prompt, ...]:
        """Return the prompts that phones have shown."""
        return tuple(self.org.prompts.all())

    def calls(self, ending: str = "") -> list[tuple[str, int]]:
        """Return the path and status of each call that changes something, and of each CIBA poll."""
        return [(call.path, call.status) for call in self.org.calls if call.path.endswith(ending)]


@asynccontextmanager
async def scene(server: str | None = "default", **changes: Any) -> AsyncIterator[Scene]:
    clock = ManualClock()
    clients = {APP: {"keys": [public_pem(rsa_key())], "ciba": True}}
    async with okta_org(clock, **({"clients": clients} | changes)) as org:
        made = Scene(org, clock, server)
        try:
            yield made
        finally:
            for prompts in made.made:
                await prompts.close()
            for client in made.clients:
                await client.close()


@dataclass
class Driven:
    """A row and its stored states, oldest first."""

    scene: Scene
    prompts: Prompts
    row: Action
    progress: list[PromptProgress] = field(default_factory=list)

    @property
    def answer(self) -> str:
        return self.row.answer

    async def send(self) -> PromptProgress:
        prepared = await self.prompts.prepare(self.row)
        if isinstance(prepared, PromptProgress):
            return self._stored(prepared)
        self.row = replace(self.row, state=ActionState.CALLING, request=prepared, called_at=self.scene.clock.now())
        return self._stored(await self.prompts.send(self.row))

    async def poll(self) -> PromptProgress:
        return self._stored(await self.prompts.poll(self.row))

    async def to_its_end(self) -> str:
        """Send the prompt and poll when due, until the prompt ends. Return the answer, or `failed`."""
        for _ in range(200):
            if self.row.state is ActionState.ENDED:
                return self.row.answer or "failed"
            await self.wait()
            await (self.poll() if self.row.state is ActionState.PROMPTING else self.send())
        raise AssertionError("it has no end")

    async def wait(self) -> None:
        """Move the clock to the time when the row is due."""
        if self.row.due is not None:
            await self.scene.clock.advance(max(0.0, (self.row.due - self.scene.clock.now()) / 1_000_000))

    def restart(self) -> None:
        """Continue as a new process does, from the stored row."""
        self.prompts = self.scene.prompts()
        if self.row.state is ActionState.CALLING:
            self._stored(lost())

    def _stored(self, progress: PromptProgress) -> PromptProgress:
        self.progress.append(progress)
        more: dict[str, Any] = {"handle": progress.handle, "due": progress.due, "detail": progress.detail}
        if progress.answer or progress.failed:
            more |= {"state": ActionState.ENDED, "answer": progress.answer or ""}
        elif progress.handle:
            more["state"] = ActionState.PROMPTING
        else:
            more["state"] = ActionState.WAITING
        self.row = replace(self.row, **more)
        return progress


def driven(scene: Scene, by: str, **more: Any) -> Driven:
    return Driven(scene, scene.prompts(), scene.row(by, **more))


class _Until:
    """Awaits something, and cancels the task at its wait number `last`."""

    def __init__(self, work: Coroutine[Any, Any, Any], last: int) -> None:
        self._work = work
        self._left = last

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        task = asyncio.current_task()
        assert task is not None
        step = partial(steps.send, None)
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            self._left -= 1
            if self._left == 0:
                task.cancel()
            try:
                step = partial(steps.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001  # it is for the one who waits
                step = partial(steps.throw, error)


async def killed(work: Callable[[], Coroutine[Any, Any, Any]], at: int) -> bool:
    """Run `work` and cancel it at its wait number `at`. Return whether it reached this wait."""

    async def run() -> None:
        await _Until(work(), at)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    await settle()
    if not task.cancelled():
        task.result()
    return task.cancelled()


REPLIES = {reply.value for reply in Reply}
