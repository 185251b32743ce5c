"""`python -m forwarder`, and the command `forwarder`."""

import signal
import sys
from importlib import import_module


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["run"]:
        # By default SIGHUP ends a process, and the libraries take most of a second to import.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import_module("forwarder.cli.main").main()


if __name__ == "__main__":
    main()
