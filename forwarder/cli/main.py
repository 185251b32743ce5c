"""The `forwarder` command. Each subcommand parses its options, calls a function of another package, and prints.

Exit codes: 0 fine; 1 the command ran and found a problem; 2 wrong usage or configuration.

The commands import other packages inside their functions, so that `forwarder --help` does not wait for the import of a
database client.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from forwarder import logs
from forwarder.cli.options import config_option, load_settings
from forwarder.cli.terminal import echo
from forwarder.core.errors import ForwarderError, SettingsError
from forwarder.core.wording import count

_ARGUMENTS = "forwarder.arguments"


def _is_text(argument: str) -> bool:
    """Whether `argument` was valid UTF-8 on the command line.

    Python keeps other bytes as surrogates, so that a program can open files of any name.
    """
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Commands(click.Group):
    """A group of commands. It prints a `ForwarderError` without a traceback, and exits with 2 for a `SettingsError`,
    else 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UnicodeEncodeError:
            if all(_is_text(argument) for argument in ctx.meta[_ARGUMENTS]):
                raise
            raise click.UsageError("an argument has bytes that are not UTF-8; correct it") from None
        except SettingsError as error:
            echo("The configuration has problems:", fg="red", err=True)
            for problem in error.problems:
                echo(f"  {problem}", err=True)
            ctx.exit(2)
        except ForwarderError as error:
            echo(str(error), fg="red", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("okta-forwarder"), prog_name="forwarder")
def main() -> None:
    """Forward every security event of an Okta org to a SIEM, and lose no event that was acknowledged.

    Start with `forwarder demo`: it needs no configuration and shows the whole pipeline.
    """
    logs.setup("warning", json=False)  # for all commands but `run`, which sets up its own log


@main.command()
@config_option
def run(config: Path) -> None:
    """Run the forwarder until SIGTERM, SIGINT or SIGQUIT; SIGHUP reloads the configuration.

    Okta posts to `receiver.listen` (default 127.0.0.1:8080, path /okta/events); `ops.listen` (default
    127.0.0.1:9464) has /livez, /readyz, /metrics and a status page. Log lines go to stderr.
    """
    from forwarder import config_check
    from forwarder.forwarder_process import run_until_signal
    from forwarder.settings import load

    settings = load(config)
    if problems := config_check.problems(settings, config_check.FATAL):
        raise SettingsError(problems)
    logs.setup(settings.log.level, json={"auto": None, "json": True, "text": False}[settings.log.format])
    for problem in config_check.problems(settings, config_check.PASSING):
        logs.get("config").error(problem, action="config_problem")
    for warning in config_check.warnings(settings):
        logs.get("config").warning(warning, action="config_warning")
    run_until_signal(settings, lambda: load(config))


@main.command()
@config_option
def check(config: Path) -> None:
    """Check the configuration. If there are problems, print all of them and exit with 2.

    The command reads the configuration file, the environment variables (FORWARDER__SECTION__KEY), secrets, certificates
    and rules, and checks the folders. It warns about settings that work but are unwise. It opens no connection, and
    changes nothing.
    """
    from forwarder import config_check
    from forwarder.core.event import Source
    from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

    settings = load_settings(config)
    if problems := config_check.problems(settings):
        raise SettingsError(problems)
    echo("The configuration is valid.", fg="green")
    for warning in config_check.warnings(settings):
        echo(f"  warning: {warning}", fg="yellow", err=True)
    for name, org in settings.orgs.items():
        for source in org.sources:
            hook = f"hook at {org.path}, {count(len(org.secrets), 'secret')} in {org.header}"
            echo(f"  org {name}: " + (hook if source is Source.HOOK else f"System Log of {org.url}"))
    for name, sink in settings.sinks.items():
        echo(f"  sink {name}: {sink.kind}, starts with {sink.start}")
        if settings.rules.files and isinstance(sink, ElasticsearchSinkSettings):
            rights = "the sink's key needs create_doc and auto_configure for this data stream too"
            echo(f"    alerts of rules go to {sink.alert_stream}; {rights}")
            if settings.reactions.on:
                echo(f"    events about actions go to {sink.action_stream}; {rights}")
    echo(f"  store: {settings.store.path}")
    echo(f"  receiver: {settings.receiver.listen}; status page: {settings.ops.scheme}://{settings.ops.listen}/")


def add_commands() -> None:
    """Add the commands from the other modules of this package to `main`."""
    from forwarder.cli import (
        backfill,
        backup,
        config,
        dead_letters,
        demo,
        doctor,
        emulate,
        find,
        gaps,
        hooks,
        init,
        reactions,
        replay,
        rules,
        setup,
        stats,
        tap,
        zones,
    )

    commands = (
        demo.demo,
        stats.stats,
        stats.forget_sink,
        find.find,
        doctor.doctor,
        dead_letters.dead_letters,
        hooks.hooks,
        zones.zones,
        backfill.backfill,
        gaps.gaps,
        rules.rules,
        reactions.reactions,
        setup.setup,
        init.init,
        config.config,
        backup.backup,
        replay.replay,
        tap.tap,
        emulate.emulate_okta,
    )
    for command in commands:
        main.add_command(command)


add_commands()


if __name__ == "__main__":
    sys.exit(main())
