"""`forwarder setup kibana`: the dashboards."""

from pathlib import Path
from typing import Any

import click

_PLACE = "env:NAME|file:PATH"


def _place(_: click.Context, param: click.Parameter, value: str | None) -> dict[str, str] | None:
    """Where a secret stands. Never the secret: every user of the machine sees the command line."""
    if value is None:
        return None
    kind, _separator, place = value.partition(":")
    if kind not in {"env", "file"} or not place:
        # The value is not shown: it may be the secret.
        raise click.BadParameter(
            f"write {_PLACE}; a secret on the command line is seen by every user of the machine", param=param
        )
    return {kind: place}


@click.command("kibana")
@click.option("--url", required=True, help="Its address, as in https://kibana:5601.")
@click.option(
    "--space", help="The id of the space that gets the dashboards, where it is not the default one."
)
@click.option(
    "--api-key", metavar=_PLACE, callback=_place, help="Where the API key stands, encoded or as id:key."
)
@click.option("--user", help="A user, where there is no API key.")
@click.option("--password", metavar=_PLACE, callback=_place, help="Where the user's password stands.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The certificates to trust, in PEM; without it those of the system.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, write nothing.")
def kibana_command(*, dry_run: bool, **said: Any) -> None:
    """Import the dashboards: overview, sign-ins, threats, admin changes.

    It writes by id: what it made before is replaced, nothing else is touched. In Kibana the credentials need Dashboard:
    All, Discover: All and Data View Management: All. The exit code is 1 where Kibana does not have all of them then.
    """
    from pydantic import ValidationError

    from forwarder.cli.setup import show
    from forwarder.setup.kibana.run import setup
    from forwarder.setup.kibana.settings import KibanaSettings
    from forwarder.setup.kibana.shipped import shipped

    try:
        settings = KibanaSettings.model_validate(
            {key: value for key, value in said.items() if value is not None}
        )
    except ValidationError as error:
        raise click.UsageError("\n".join(_fault(one) for one in error.errors(include_url=False))) from None
    if not setup(settings, shipped(), show, dry_run=dry_run):
        raise SystemExit(1)


def _fault(error: Any) -> str:
    option = "".join(f"--{str(part).replace('_', '-')}: " for part in error["loc"][:1])
    return f"{option}{error['msg'].removeprefix('Value error, ')}"
