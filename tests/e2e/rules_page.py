"""The table in docs/rules.md: what became of each public rule."""

import msgspec

from forwarder.rules.any_format import read_files
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.coverage import coverage
from tests.shared_data import RULES
from tests.stack.process import ROOT

PAGE = ROOT / "docs" / "rules.md"

_BEGIN, _END = "<!-- table -->\n", "<!-- /table -->\n"
_FED = {
    "hooks": "hooks",
    "partly": "hooks in part",
    "system_log": "System Log only",
    "unknown": "names no type",
    "no_such_type": "no_such_type",
}


class Verdict(msgspec.Struct, frozen=True):
    """What became of a rule.

    Attributes:
        fires: on its planted events; None: it cannot be run here.
        remark: what else there is to say.
    """

    fires: bool | None = None
    remark: str = ""


def table(verdicts: dict[str, Verdict]) -> str:
    """The lines between the two marks, one for each rule."""
    rows = ["| rule | language | fed by | fires on planted events |", "|---|---|---|---|"]
    found = [rule for _, rule in read_files([RULES]) if isinstance(rule, Rule)]
    for rule in sorted(found, key=lambda rule: rule.name):
        needs = coverage(rule)
        assert needs is not None
        verdict = verdicts.get(rule.name, Verdict())
        told = {True: "yes", False: "no", None: "not run"}[verdict.fires]
        if verdict.remark:
            told += f": {verdict.remark}"
        language = rule.language.replace("_", " ")
        rows.append(f"| {rule.name} | {language} | {_FED[needs.fed_by]} | {told} |")
    return "\n".join(rows) + "\n"


def written() -> str:
    """The table as the page has it."""
    return PAGE.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0]


def write(new: str) -> None:
    """Put a table into the page."""
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    PAGE.write_text(before + mark + new + _END + rest.partition(_END)[2], encoding="utf-8")
