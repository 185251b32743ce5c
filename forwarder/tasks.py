"""Ends tasks of the event loop."""

import asyncio
from collections.abc import Iterable
from typing import Any


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> list[Any]:
    """Cancel `tasks`, and wait until all have ended. Return the result of each task, or the exception that the task
    raised."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    return await asyncio.gather(*ending, return_exceptions=True)
