"""Every test of this room runs with asyncio's debug mode on."""

import asyncio

import pytest


@pytest.fixture(autouse=True)
async def _debug() -> None:
    asyncio.get_running_loop().set_debug(True)
