"""How often others have their turn on the event loop meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Attributes:
    count: turns that somebody else had.
    """

    def __init__(self) -> None:
        self.count = 0

    async def take(self) -> None:
        """Take one turn after the other."""
        while True:
            self.count += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def turns_of_others() -> AsyncIterator[Turns]:
    """Count the turns that somebody else has as long as the block runs."""
    turns = Turns()
    taking = asyncio.create_task(turns.take())
    try:
        yield turns
    finally:
        taking.cancel()
