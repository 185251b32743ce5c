"""The folder of the demo's sink. A user of the demo can take it away, like a disk that is unplugged."""

from pathlib import Path


class Disk:
    """A folder that can be unplugged. While it is unplugged, a file has its path, so that the sink cannot
    write into the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.with_name(f"{folder.name}.unplugged")
        self.plugged = True

    def unplug(self) -> None:
        """Move the folder aside, and put an empty file in its place."""
        if self.plugged and self._folder.is_dir():
            self._folder.rename(self._aside)
            self._folder.touch()
            self.plugged = False

    def plug(self) -> None:
        """Move the folder back to its path."""
        if not self.plugged:
            self._folder.unlink(missing_ok=True)
            self._aside.rename(self._folder)
            self.plugged = True
