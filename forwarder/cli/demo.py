"""`forwarder demo`: shows the forwarder with an emulated Okta org, without any configuration."""

import asyncio
from pathlib import Path

import click


@click.command()
@click.option("--events", type=click.IntRange(3, 1_000_000), help="The number of events to emit, all at once.")
@click.option(
    "--exit",
    "leave",
    is_flag=True,
    help=(
        "End as soon as the sink has received as many events as --events says, or after a time limit. The exit code "
        "is 1 if an event is missing."
    ),
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="The number of events per second, if --events is not given.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="The folder for the demo's files. The demo empties it at the start.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same events.")
def demo(events: int | None, folder: Path, seed: int, *, leave: bool, rate: float) -> None:
    """Show the whole pipeline in one process: an Okta org, its hook, the receiver, the store and a file sink.

    The demo creates and verifies the hook through the API of the emulated org; nothing leaves the machine. The hook
    delivers 5 % of its events twice, and 2 % not at all. 10 % of the events have types that hooks do not carry. The
    forwarder also reads the System Log, so it gets every event that the hook did not deliver. `forwarder gaps` lists
    the events that the hook should have delivered. On a terminal, the key u unplugs the sink, and the key p plugs it in
    again.
    """
    if leave and events is None:
        raise click.UsageError("--exit needs --events")
    from forwarder import logs
    from forwarder.demo.run import prepare, run

    logs.setup("error")
    try:
        config = prepare(folder)
    except OSError as error:
        hint = "choose a folder that can be written, with --dir"
        raise click.UsageError(f"--dir {folder}: cannot be prepared: {error.strerror}; {hint}") from None
    raise SystemExit(asyncio.run(run(config, events, rate=rate, seed=seed, leave=leave)))
