"""Writes docs/logs.md from the code: `python -m tools.make_log_page`."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from forwarder.okta.hooks.watch import MESSAGES, Condition

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "logs.md"
_LEVELS = ("debug", "info", "warning", "error")
_HEAD = """# Log lines

The forwarder logs to stderr: one JSON object per line, with ECS field names, so that a SIEM needs no parser. On a terminal, it writes
readable text (`log.format` chooses). This page is generated from the code by `python -m tools.make_log_page`.

| field | value |
|---|---|
| `@timestamp`, `message`, `log.level` | time, message, level |
| `event.action` | the name of the line in the table below; it never changes |
| `log.logger` | the part of the code that wrote the line |
| `labels.org`, `labels.sink` | the org, the sink |
| `error.message`, `error.stack_trace` | the error; a stack trace means a bug in the forwarder |
| `okta_forwarder.*` | all other fields; `hint` says what to do |

The level `error` means that an operator must act; `warning` means that something is unusual, but nothing is lost. Lines that a client
or server can cause again and again are rate-limited; `suppressed` is the number of lines that were left out. A delivered event causes
no line, and no line contains the body of an event. `forwarder_log_lines_total{level}` counts the lines. Once an hour, the line
`heartbeat` says that the forwarder is running.

| action | level | message |
|---|---|---|
"""


class Line(NamedTuple):
    """A kind of log line."""

    action: str
    level: str
    text: str


def lines() -> list[Line]:
    """Return every kind of line that the code of the package writes, by action."""
    found = {line for file in sorted((ROOT / "forwarder").rglob("*.py")) for line in _lines_of(file)}
    for condition, text in MESSAGES.items():
        found.add(Line(f"hook_{condition}", "info" if condition is Condition.LIVE else "warning", text))
    return sorted(found)


def _lines_of(file: Path) -> Iterator[Line]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        action = next((keyword.value for keyword in call.keywords if keyword.arg == "action"), None)
        level = _level(_resolved(call.func, assigned))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "log" and len(call.args) > 1:
            # The listeners hand their lines to a function of this name: text, action, key.
            action, level = call.args[1], "warning"
        if isinstance(action, ast.Constant) and level:
            yield Line(str(action.value), level, _words(_resolved(call.args[0], assigned)))


def _resolved(node: ast.expr, assigned: Iterable[ast.Assign]) -> ast.expr:
    """Return what the name was last given above; `node` itself unless it is a name."""
    if not isinstance(node, ast.Name):
        return node
    above = [
        each
        for each in assigned
        if each.lineno < node.lineno and any(ast.unparse(target) == node.id for target in each.targets)
    ]
    return max(above, key=lambda each: each.lineno).value if above else node


def _level(function: ast.expr) -> str:
    """Return the level of a method of a logger, or both of `one if … else other`; empty for anything else."""
    if isinstance(function, ast.IfExp):
        return ", ".join(filter(None, (_level(function.body), _level(function.orelse))))
    level = function.attr if isinstance(function, ast.Attribute) else ""
    return {"exception": "error"}.get(level, level if level in _LEVELS else "")


def _words(node: ast.expr) -> str:
    """Return a text of the code; what is filled in shows as …."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(f"| `{action}` | {level} | {text} |\n" for action, level, text in lines())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
