"""The fuzzer runs on the event loop that the forwarder uses."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Called by pytest-asyncio for the tests of this folder."""
    return {"uvloop": uvloop.new_event_loop}
