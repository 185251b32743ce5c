"""Every test of this room runs with asyncio's debug mode on, but for `make unit`, which it makes a fifth slower."""

import asyncio

import hypothesis
import pytest


@pytest.fixture(autouse=True)
async def _debug() -> None:
    if hypothesis.settings.get_current_profile_name() != "inner":
        asyncio.get_running_loop().set_debug(True)
