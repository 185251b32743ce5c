"""The hint beside the error of a file fits the error."""

import errno
import os

import pytest

from forwarder.safe_files import cannot_read


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOENT, "create it"),
        (errno.EACCES, "let the forwarder's user read it"),
        (errno.EISDIR, "name a regular file"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "raise the limit of open files"),
    ],
)
def test_a_file_that_cannot_be_read_has_the_hint_of_its_error(number: int, hint: str) -> None:
    assert f"; {hint}" in cannot_read(OSError(number, os.strerror(number)))
