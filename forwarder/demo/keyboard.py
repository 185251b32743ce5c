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
    """While the `with` block runs, call the function that `keys` has for each pressed key. Do nothing if
    stdin is not a terminal.

    The settings of the terminal are restored at the end of the block. Ctrl-C still sends SIGINT.
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
