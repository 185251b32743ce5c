"""An Elasticsearch that all processes of one run of the tests share: each start takes 20 s of CPU."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.stack.elasticsearch import Elasticsearch
from tests.stack.process import group_lives

_FOLDER = "shared-servers"
_started: list[Elasticsearch] = []
"""Those that this process has started; they live on when it has ended."""


def shared_elasticsearch(
    run: Path, name: str, prepare: Callable[[Elasticsearch], object] = lambda _: None, **options: Any
) -> Elasticsearch:
    """Return the server of this name; the first process of the run that asks for it starts it.

    Args:
        run: the folder of this run of the tests, the same one in each of its processes.
        name: of the server.
        prepare: is called once, when the server has started.
        options: as of `Elasticsearch`.
    """
    folder = run / _FOLDER
    folder.mkdir(exist_ok=True)
    note = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if note.exists():
            found: Mapping[str, int] = json.loads(note.read_text())
            return Elasticsearch(folder / name, port=found["port"], **options)
        server = Elasticsearch(folder / name, **options)
        server.start()
        try:
            prepare(server)
        except BaseException:
            server.kill()
            raise
        _started.append(server)
        note.write_text(json.dumps({"port": server.port, "group": server.pid}))
    return server


def stop_shared_servers(run: Path) -> None:
    """End all of them, and remove their data. To be called by the process that outlives all others of the run."""
    while _started:
        _started.pop().kill()
    for note in (run / _FOLDER).glob("*.json"):
        group = json.loads(note.read_text())["group"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        while group_lives(group):
            time.sleep(0.05)
    shutil.rmtree(run / _FOLDER, ignore_errors=True)
