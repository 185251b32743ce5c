"""`python -m forwarder` is the `forwarder` command."""

from forwarder.cli.main import main

if __name__ == "__main__":
    main()
