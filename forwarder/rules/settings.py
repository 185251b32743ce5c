"""Settings of the rules that the forwarder runs."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from forwarder.config.types import Count, Duration, PathStr, Section
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.files import has_suffix, is_folder, walk
from forwarder.rules.load import load


def _texts(written: Any) -> Any:
    if isinstance(written, list | tuple):
        for value in written:
            if isinstance(value, bool):
                raise ValueError(  # noqa: TRY004  # pydantic takes no TypeError
                    f'has the value {value}, because YAML reads some words as booleans; write such a word in quotes, as in "NO"'
                )
        return tuple(str(value) if isinstance(value, int | float) else value for value in written)
    return written


class RulesSettings(Section):
    """The section `rules` of the configuration.

    Attributes:
        files: files and folders of rules that the forwarder runs. A `.yml` file contains Sigma rules, correlations and
            filters; a `.txt` file contains a System Log filter on each line. See docs/rules.md.
        lists: lists of values, by name, as in `{embargo: [IR, KP]}`. In a rule with the modifier `expand`, the values
            of the list `name` replace `%name%`.
        again: the time after an alert of a rule about a group (for example, a user), during which the rule does not
            alert about this group again. For a correlation, the time is at least its timespan.
        late: the age of an event at its arrival, above which its alert is marked as late.
        max_age: the age of an event at its arrival, above which the event leads to no alert. `rules replay` shows the
            alert that the event would have led to.
        max_keys: the maximum number of groups that all rules and correlations together remember. If there are more
            groups, those that were active longest ago are forgotten.
        orgs: names of the orgs whose events are evaluated. Default: all orgs.
    """

    files: tuple[PathStr, ...] = ()
    lists: dict[str, Annotated[tuple[str, ...], BeforeValidator(_texts)]] = {}  # noqa: RUF012  # pydantic copies it
    again: Duration = Field(default="1h", validate_default=True, gt=0)
    late: Duration = Field(default="10m", validate_default=True, gt=0)
    max_age: Duration = Field(default="24h", validate_default=True, gt=0)
    max_keys: Count = Field(default=100_000, ge=1, le=1_000_000_000)
    orgs: tuple[str, ...] | None = Field(default=None, min_length=1)

    def files_for_hooks(self) -> tuple[Path, ...]:
        """Return `files` and, for each folder in `files`, its `.txt` files, because `read_files` reads no `.txt` files
        in folders."""
        folders = [path for path in self.files if is_folder(path)]
        return (*self.files, *(file for folder in folders for file in walk(folder)[0] if has_suffix(file, (".txt",))))

    def load(self) -> Ruleset:
        """Load the rules in `files`. If `files` is empty, return an empty Ruleset.

        Raises:
            RulesError: at least one rule has a problem; the error has all problems.
        """
        return load(self.files, self.lists)
