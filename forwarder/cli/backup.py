"""`forwarder backup`: copies the store into one file, while the forwarder runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli import terminal
from forwarder.cli.options import config_option, load_settings, store_commands
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.store.backup import BackupProgress


@click.command()
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON what the backup contains.")
def backup(config: Path, file: Path, *, as_json: bool) -> None:
    """Copy the store into FILE, which must not exist. Works whether or not a forwarder runs on the store.

    The copy has the content of the store at one moment. The command checks three things in the copy: the structure, the
    rows (by comparing them with the rows of the store) and the ledger (the counts of events at each sink). When the
    command ends, the copy is on disk (fsynced). If a forwarder runs, the forwarder writes the copy as its own user, and
    continues to receive and deliver events. Ctrl-C stops the copy and leaves no file behind.

    To restore: stop the forwarder, move the files of the old store away (store.path, and the files with the same name
    plus -wal and -shm), copy FILE to store.path, start the forwarder.

    Exit codes: 0 the backup is complete; 1 the backup failed, or the ledger does not balance; 2 wrong usage or
    configuration.
    """
    import msgspec

    commands = store_commands(load_settings(config, secrets=False))
    status = terminal.console(stderr=True).status("Copying the store")

    def show(progress: "BackupProgress") -> None:
        done = f"{progress.copied / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB"
        status.update(f"Copied {done}" if progress.copied < progress.total else f"Copied {done}; checking the copy")

    with status:
        made = commands.backup(file, show)
    if not os.path.lexists(file):
        terminal.echo(
            f"The running forwarder wrote {made.file}, but this command does not find the file: the forwarder runs in a "
            "container, or has a /tmp of its own (PrivateTmp of systemd). Look for the file there.",
            fg="yellow",
            err=True,
        )
    if as_json:
        click.echo(msgspec.json.encode(made))
    else:
        held = f"{count(made.events, 'event')} of {made.stored:,} ever stored"
        waiting = "".join(f"; {number:,} wait for {sink}" for sink, number in made.waiting.items() if number)
        terminal.echo(f"Backed up {held}, {made.bytes / 1e6:,.1f} MB, to {made.file}{waiting}.", fg="green")
    for imbalance in made.imbalances:
        text = f"The ledger of the store, and so the ledger of the backup, does not balance: {imbalance}"
        terminal.echo(text, fg="red", err=True)
    if made.imbalances:
        raise SystemExit(1)
