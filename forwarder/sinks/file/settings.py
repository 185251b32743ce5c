"""Settings of a sink of kind `file`."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from forwarder.config.types import NO_BOOLEAN, Duration, NewFileStr, Size
from forwarder.sink_settings import SinkSettings


class FileSinkSettings(SinkSettings):
    """A file of JSON lines on this machine.

    Attributes:
        path: the file to write. Its directory is created if it does not exist. If the file is a link, the rotated files
            are in the directory of the link's target. If another program wrote the file, the sink does not change the
            file, and waits until someone moves it.
        format: `ecs` for the documents that Elasticsearch gets, `raw` for the events as received.
        rotate_bytes: rotate the file before it grows beyond this size. A rotated file has the time in its name.
        rotate_age: also rotate the file when a new period of this length begins. With `1d`, each file holds one day
            (UTC).
        max_files: how many rotated files to keep; the oldest files are removed. Without this key, all files are kept.
    """

    kind: Literal["file"] = "file"
    path: NewFileStr
    format: Literal["ecs", "raw"] = "ecs"
    rotate_bytes: Size = Field(default="256MiB", validate_default=True, ge=1024)
    rotate_age: Duration = Field(default="1d", validate_default=True, ge=1)
    max_files: Annotated[int, Field(ge=0, le=1_000_000), NO_BOOLEAN] | None = None

    @property
    def real_path(self) -> Path:
        """The path of the file that the sink writes: `path`, with its links resolved as they are now."""
        return Path(os.path.realpath(self.path))
