"""Every test of the door runs on both event loops: uvloop, which the forwarder uses, and asyncio's own."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Called by pytest-asyncio for the tests of this folder."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
