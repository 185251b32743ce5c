"""Settings of the rules that the forwarder runs."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from forwarder.config.types import Duration, PathStr, Section
from forwarder.rules.evaluation.ruleset import RuleProblem, Ruleset
from forwarder.rules.files import walk
from forwarder.rules.load import load, read_rules


def _texts(written: Any) -> Any:
    if isinstance(written, list | tuple):
        for value in written:
            if isinstance(value, bool):
                raise ValueError(  # noqa: TRY004  # pydantic takes no TypeError
                    f'holds {value} where YAML has read a word as that; write it in quotes, as in "NO"'
                )
        return tuple(str(value) if isinstance(value, int | float) else value for value in written)
    return written


class RulesSettings(Section):
    """The section `rules` of the configuration.

    Attributes:
        files: files and folders of rules that the forwarder runs: `.yml` with Sigma rules, correlations and filters, `.txt`
            with a System Log filter on each line. See docs/rules.md.
        lists: what `%name%` stands for in a rule with the modifier `expand`, as in `{embargo: [IR, KP]}`.
        again: after an alert, how long the same rule is silent about the same group; for a correlation at least its
            timespan.
        late: how old an event may be when it arrives; an older one still alerts, marked as late.
        max_age: an event that is older when it arrives is left to `rules replay`.
        max_keys: how many groups of all correlations are counted at a time; above it, the oldest are forgotten.
        orgs: whose events are evaluated. Default: all orgs.
    """

    files: tuple[PathStr, ...] = ()
    lists: dict[str, Annotated[tuple[str, ...], BeforeValidator(_texts)]] = {}  # noqa: RUF012  # pydantic copies it
    again: Duration = Field(default="1h", validate_default=True, gt=0)
    late: Duration = Field(default="10m", validate_default=True, gt=0)
    max_age: Duration = Field(default="24h", validate_default=True, gt=0)
    max_keys: int = Field(default=100_000, ge=1)
    orgs: tuple[str, ...] | None = None

    def files_for_hooks(self) -> tuple[Path, ...]:
        """Return `files`, and in addition the `.txt` files in their folders: `read_files` reads no filters in
        folders."""
        folders = [path for path in self.files if path.is_dir()]
        return (
            *self.files,
            *(file for folder in folders for file in walk(folder)[0] if file.suffix == ".txt"),
        )

    def load(self) -> Ruleset:
        """Load the files; without files, there are no rules.

        Raises:
            RulesError: with every problem.
        """
        return load(self.files, self.lists)

    def problems(self) -> list[RuleProblem]:
        """Return why the files cannot be loaded."""
        return read_rules(self.files, self.lists)[1]
