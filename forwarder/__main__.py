"""Runs the command line, for `python -m forwarder` and for the command `forwarder`."""

import os
import signal
import sys
from importlib import import_module
from io import TextIOWrapper

from forwarder.system_limits import refusal


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["run"]:
        # By default, these signals end a process. Ignore them while the libraries are imported, for up to a second.
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    # By default, Ctrl-C raises an exception, whose traceback would be printed during the import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_standard_streams()
    _check_folder()
    # A umask such as 0777 would take the rights of the owner too, and the next start could not open the store.
    os.umask(os.umask(0o077) & 0o077)
    try:
        command_line = import_module("forwarder.cli.main")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        command_line.main()
    except (MemoryError, SystemError, RuntimeError, ImportError, OSError) as error:
        if text := refusal(error):
            _say(text)
            os._exit(1)  # a normal exit would fail again, for the same reason
        if not isinstance(error, OSError):
            raise
        # The error has no file name if the caller opened the stream, such as stdout after `> file` on a full disk.
        name = "the output cannot be written" if error.filename is None else os.fsdecode(error.filename)
        _say(f"{name}: {error.strerror or error}")
        os._exit(1)  # a normal exit would write the output again, and fail with a traceback


def _open_standard_streams() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that the caller has closed.

    Otherwise a file of the store would get the free number 0, 1 or 2, and printed text would damage this file. Also let
    stdout escape the characters that it cannot encode.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    # Otherwise a character that the locale lacks would raise an exception.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is by default


def _check_folder() -> None:
    """End the process if its current folder was removed. In such a process, relative paths and the import of Okta's SDK
    fail."""
    try:
        os.getcwd()  # noqa: PTH109  # `pathlib` is not imported yet
    except FileNotFoundError:
        _say("the current folder does not exist any more; change to another folder, and run the command again")
        os._exit(2)


def _say(text: str) -> None:
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        return


if __name__ == "__main__":
    main()
