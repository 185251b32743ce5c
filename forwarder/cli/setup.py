"""`forwarder setup`: make what the other side needs before events can be read there."""

import click


@click.group()
def setup() -> None:
    """Make what the other side needs: templates, pipelines, dashboards.

    Every command can run again: it changes only what differs, shows it first, and leaves alone what it did not make.
    """
