"""Checks at the end of a demo that no event was lost or delivered twice."""

import asyncio
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from forwarder.app import Forwarder
from forwarder.demo.snapshot import SINK
from forwarder.demo.view import program
from forwarder.emulator.emulator import Emulator
from forwarder.store.interface import open_commands

_LISTED = 5
"""The largest number of missed events to print; `forwarder gaps` lists all of them."""


async def verdict(forwarder: Forwarder, emulator: Emulator, console: Console, config: Path) -> int:
    """Check the events of the demo, print the result, and return the exit code: 0 if there is no problem, else 1.

    Every event must be stored and delivered. Every event that the hook dropped must be marked as missed.
    """
    status, ledger = await forwarder.status.gather(), emulator.ledger()
    happened = [*ledger.events, *ledger.own]
    gaps = open_commands(forwarder.settings.store, emulator.clock).gaps()
    file = config.parent / SINK / "events.ndjson"
    problems = await asyncio.to_thread(_problems, status, happened, file)
    if {gap.uuid for gap in gaps.events} != ledger.dropped:
        problems.append(
            f"the emulated Okta dropped {len(ledger.dropped):,} events from the hook, but the store has marked "
            f"{gaps.count:,} events as missed"
        )
    if gaps.count:
        console.print(f"The hook missed {gaps.count:,} events; the forwarder read them from the System Log:")
    for gap in gaps.events[:_LISTED]:
        console.print(f"  [yellow]missed[/] {gap.uuid} {gap.event_type}", soft_wrap=True)
    if gaps.count > _LISTED:
        more = f"  … and {gaps.count - _LISTED:,} more: {program()} gaps -c {config}"
        console.print(more, soft_wrap=True)
    for problem in problems:
        console.print(f"[red]{problem}[/]")
    if problems:
        return 1
    console.print(f"[green]All {len(happened):,} events are accounted for.[/]")
    return 0


def _problems(status: dict[str, Any], happened: list[str], file: Path) -> list[str]:
    """Compare the counts and the sink's `file` with the events that `happened`. Return a line for each difference."""
    problems = []
    stored = status["stored"]
    if stored != len(happened):
        problems.append(f"{len(happened):,} events happened, but {stored:,} are stored")
    if not status["balanced"]:
        problems.append(
            "the counts of the store do not add up: some sink has not counted each stored event exactly once"
        )
    for name, sink in status["sinks"].items():
        if sink["delivered"] + sink["dead"] != stored:
            problems.append(f"sink {name}: {sink['delivered']:,} of {stored:,} events are delivered")
    with file.open(encoding="utf-8") as lines:
        written = [json.loads(line)["event"]["id"] for line in lines]
    if not status["sinks"][SINK]["dead"] and sorted(written) != sorted(happened):
        problems.append(
            f"{len(happened):,} events happened, but the {len(written):,} lines of the file are not exactly these events"
        )
    return problems
