"""Finds out which limit of the system stopped a process: memory, open files or threads.

This module imports little, because `__main__` needs it before all other modules.
"""

import errno
import os
import resource
import sys

FEW_FILES = 8
"""If a process may open fewer further files than this, an unexplained error of a library is probably due to that
limit."""

MORE_FILES = "raise the limit of open files (`ulimit -n`; systemd: LimitNOFILE)"
_MORE_MEMORY = "raise the limit of its address space (`ulimit -v`; systemd: LimitAS)"
_MORE_THREADS = (
    "the limit of processes and threads (`ulimit -u`; systemd: LimitNPROC, TasksMax; a container: its pids limit)"
)


def refusal(error: BaseException) -> str:
    """Return what the system refused to this process, and what to do; empty if `error` has another cause."""
    # A library in C that gets no memory may fail without setting an exception. Python then raises a SystemError.
    failed_in_c = isinstance(error, SystemError) and "without" in str(error)
    if failed_in_c or isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return f"the system refused memory to this process; free memory, or {_MORE_MEMORY}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no more files can be opened; {MORE_FILES}"
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        return f"{error}; free memory, {_MORE_MEMORY}, or mount the file system of that library without `noexec`"
    if "can't start new thread" in str(error):
        return f"no thread could be started; {_MORE_MEMORY}, or {_MORE_THREADS}"
    return ""


def free_files() -> int:
    """Return how many further files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        open_files = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208  # one of them is open for the listing itself
    except OSError as error:
        return 0 if error.errno in (errno.EMFILE, errno.ENFILE) else soft
    return soft - open_files
