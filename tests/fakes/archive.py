"""The other side of the file sink: a directory that a test can take away."""

import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from tests.fakes.peer import Fault


class ArchiveDirectory:
    """`tests.fakes.peer.Peer` for a sink that writes `file` in format raw, in a directory of its own."""

    def __init__(self, file: Path) -> None:
        self.cannot: Collection[Fault] = set(Fault) - {Fault.REFUSED}  # a disk only works or does not
        self._directory = file.parent
        self._pattern = f"{file.stem}*{file.suffix}"
        self._away = self._directory.with_name(self._directory.name + "-away")

    async def received(self) -> list[str]:
        files = sorted(self._directory.glob(self._pattern))
        return [msgspec.json.decode(line)["uuid"] for path in files for line in path.read_bytes().splitlines()]

    async def fail_with(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        """A plain file takes the place of the directory, as where a mount is gone."""
        assert fault not in self.cannot
        self._directory.rename(self._away)
        while True:
            try:
                self._directory.touch(exist_ok=False)
            except FileExistsError:  # a sink that was just opening its file has made the directory anew
                shutil.rmtree(self._directory)
            else:
                return

    async def recover(self) -> None:
        if self._away.exists():
            self._directory.unlink()
            self._away.rename(self._directory)
