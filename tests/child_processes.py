"""Processes that a test starts and that end with it."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def child(command: Sequence[str | Path], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Start a process with the `options` of `subprocess.Popen`, and kill it at the end if it still runs.

    `with subprocess.Popen(…)` waits for the process instead. So when a test fails or exceeds its time while its process
    runs on, the tests never end.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
