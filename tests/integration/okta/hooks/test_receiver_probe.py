import os
from collections import deque
from pathlib import Path

import msgspec
import pytest

from forwarder.config.types import Secret
from forwarder.core.errors import SetupError
from forwarder.okta.hooks.hook import DesiredHook
from forwarder.okta.hooks.receiver_probe import probe_receiver
from tests.fakes.hook_receiver import HANG_UP, HookReceiver


def wanted(uri: str, secret: Secret = Secret("the-newest-ä")) -> DesiredHook:  # noqa: B008  # it never changes
    return DesiredHook("forwarder", uri, frozenset(), "X-Hook-Key", secret)


async def test_a_receiver_that_echoes_the_challenge_knows_the_secret() -> None:
    async with HookReceiver() as receiver:
        assert await probe_receiver(wanted(receiver.url)) is None
        (call,) = receiver.calls
    assert call.method == "GET"
    assert call.headers["x-hook-key"] == "the-newest-ä"


async def test_a_receiver_that_refuses_the_secret_is_an_error() -> None:
    async with HookReceiver(otherwise=401) as receiver:
        with pytest.raises(SetupError, match="does not have this secret yet") as error:
            await probe_receiver(wanted(receiver.url))
    assert "the-newest" not in str(error.value)


async def test_a_secret_whose_file_has_just_changed_is_sent_again_until_the_forwarder_has_read_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "hook-new"
    file.write_text("the-newest-ä")
    hook = wanted("", Secret("the-newest-ä", {"file": str(file)}))
    async with HookReceiver(answers=deque([401])) as receiver:
        assert await probe_receiver(msgspec.structs.replace(hook, uri=receiver.url)) is None
        assert len(receiver.calls) == 2
    os.utime(file, (0, 0))
    async with HookReceiver(answers=deque([401])) as receiver:
        with pytest.raises(SetupError, match="does not have this secret yet"):
            await probe_receiver(msgspec.structs.replace(hook, uri=receiver.url))


@pytest.mark.parametrize("status", [403, 404, 302, 500])
async def test_any_other_response_is_a_warning(status: int) -> None:
    async with HookReceiver(otherwise=status) as receiver:
        assert f"it answers {status}" in (await probe_receiver(wanted(receiver.url)) or "")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"hello", b'{"verification": "something else"}', b"[" * 5_000 + b"]" * 5_000, b'{"a": "\xff"}']
)
async def test_a_wrong_echo_is_a_warning(body: bytes) -> None:
    async with HookReceiver(echo=body) as receiver:
        assert "does not echo" in (await probe_receiver(wanted(receiver.url)) or "")


async def test_an_address_that_only_okta_can_reach_is_no_error() -> None:
    async with HookReceiver(otherwise=HANG_UP) as receiver:
        assert "cannot be reached from here" in (await probe_receiver(wanted(receiver.url)) or "")
    assert "cannot be reached from here" in (await probe_receiver(wanted("http://127.0.0.1:9/x")) or "")


async def test_a_body_that_is_larger_than_any_echo_is_not_read_to_its_end() -> None:
    async with HookReceiver(echo=b" " * 10_000_000) as receiver:
        assert "does not echo" in (await probe_receiver(wanted(receiver.url)) or "")
