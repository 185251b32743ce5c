"""What the disk does by itself meanwhile: a stall of an answer that is a stall of every fsync is not the forwarder's."""

import os
import threading
import time
from pathlib import Path
from typing import Self

_EVERY = 0.05  # seconds
_PAGE = b"\0" * 16384


class DiskWatch:
    """Writes a page and fsyncs it, twenty times a second, from `with` to the end of its block."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "disk-watch"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="disk-watch")
        self._times: list[float] = [0.0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._path.unlink()

    def words(self) -> str:
        """What was seen."""
        times = sorted(self._times)
        p99 = times[int(len(times) * 0.99)] * 1000
        return f"a bare fsync meanwhile: p99 {p99:.1f}, worst {times[-1] * 1000:.1f} ms"

    def _watch(self) -> None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT)
        os.write(file, _PAGE)
        os.fsync(file)
        while not self._over.wait(_EVERY):
            os.pwrite(file, _PAGE, 0)
            started = time.perf_counter()
            os.fdatasync(file)
            self._times.append(time.perf_counter() - started)
        os.close(file)
