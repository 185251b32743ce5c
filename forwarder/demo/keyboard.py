"""Reads single keys from the terminal."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def listening(keys: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Inside the `with` block, call the function in `keys` for each key that is pressed, if stdin is a terminal.

    Restores the terminal at the end of the block. Ctrl-C still sends SIGINT.
    """
    if not sys.stdin.isatty():
        yield
        return
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        for key in os.read(terminal, 64).decode(errors="replace"):
            if key in keys:
                keys[key]()

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
