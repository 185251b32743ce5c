"""`forwarder backup`: copies the store into one file, while the forwarder runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli import terminal
from forwarder.cli.options import config_option, load_settings
from forwarder.clock import SystemClock
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.store.backup import BackupProgress


@click.command()
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON what the backup contains.")
def backup(config: Path, file: Path, *, as_json: bool) -> None:
    """Copy the store into FILE, which must not exist. Works whether or not a forwarder runs on the store.

    The copy shows the store at one moment. The command checks the structure of the copy, its rows (compared with those
    of the store) and its ledger. When the command ends, the copy is on disk (fsynced). A running forwarder writes the
    copy as its own user, and goes on receiving and delivering. Ctrl-C stops the copy and leaves no file behind.

    To restore: stop the forwarder, move the files of the old store away (store.path with -wal and -shm), copy FILE to
    store.path, start the forwarder.

    Exit codes: 0 the backup is complete, 1 it is not, or the ledger does not add up, 2 wrong usage or configuration.
    """
    import msgspec

    from forwarder.store.interface import open_commands

    commands = open_commands(load_settings(config, secrets=False).store, SystemClock())
    status = terminal.console(stderr=True).status("Copying the store")

    def show(progress: "BackupProgress") -> None:
        done = f"{progress.copied / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB"
        status.update(
            f"Copied {done}" if progress.copied < progress.total else f"Copied {done}; checking the copy"
        )

    with status:
        made = commands.backup(file, show)
    if not file.exists():
        where = "in its own view of the file system (a container, or systemd's PrivateTmp)"
        terminal.echo(
            f"The running forwarder wrote {made.file} {where}, not in this one.", fg="yellow", err=True
        )
    if as_json:
        click.echo(msgspec.json.encode(made))
    else:
        held = f"{count(made.events, 'event')} of {made.stored:,} ever stored"
        waiting = "".join(f"; {number:,} wait for {sink}" for sink, number in made.waiting.items() if number)
        terminal.echo(f"Backed up {held}, {made.bytes / 1e6:,.1f} MB, to {made.file}{waiting}.", fg="green")
    for imbalance in made.imbalances:
        text = f"The ledger of the store, and so of the backup, does not add up: {imbalance}"
        terminal.echo(text, fg="red", err=True)
    if made.imbalances:
        raise SystemExit(1)
