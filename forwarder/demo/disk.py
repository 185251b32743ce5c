"""The folder of the demo's sink, which can be taken away like a disk that is not mounted."""

from pathlib import Path


class Disk:
    """A folder. While it is unplugged, a file stands at its path, so that nothing can be written below it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.with_name(f"{folder.name}.unplugged")
        self.plugged = True

    def unplug(self) -> None:
        """Take the folder away."""
        if self.plugged and self._folder.is_dir():
            self._folder.rename(self._aside)
            self._folder.touch()
            self.plugged = False

    def plug(self) -> None:
        """Put it back."""
        if not self.plugged:
            self._folder.unlink(missing_ok=True)
            self._aside.rename(self._folder)
            self.plugged = True
