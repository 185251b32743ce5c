"""These tests run on uvloop, the event loop of the forwarder."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Called by pytest-asyncio for the tests of this folder."""
    return {"uvloop": uvloop.new_event_loop}
