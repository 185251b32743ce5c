"""Small files are read, and the hint beside an error fits the error."""

import errno
import os
from pathlib import Path

import pytest

from forwarder.safe_files import cannot_read, read_small


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOENT, "create it"),
        (errno.EACCES, "let the forwarder's user read it"),
        (errno.EISDIR, "name a regular file"),
        (errno.EFBIG, "name another file"),
        (errno.ENXIO, "copy its content into a regular file"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "raise the limit of open files"),
    ],
)
def test_a_file_that_cannot_be_read_has_the_hint_of_its_error(number: int, hint: str) -> None:
    assert f"; {hint}" in cannot_read(OSError(number, os.strerror(number)))


def test_a_file_of_the_kernel_whose_content_is_not_there_yet_is_refused() -> None:
    def read_until_empty() -> None:
        while True:
            read_small(Path("/proc/kmsg"))

    with pytest.raises(OSError, match=r"a FIFO, a device or a socket|Permission denied|No such file|not permitted"):
        read_until_empty()
