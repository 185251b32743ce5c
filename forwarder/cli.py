"""The `forwarder` command: parses, calls one function, prints."""

import click


@click.group()
def main() -> None:
    """Bring every security event of an Okta org to a SIEM, and lose none that was acknowledged."""
