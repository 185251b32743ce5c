"""Makes text safe to print on a terminal. The text of events, the names of hooks and the errors of sinks come from
outside, so they may contain characters that control the terminal."""

import json
import re
from collections.abc import Mapping

_LONGEST = 200  # characters of a value that are shown
LONGEST_ANSWER = 1000  # characters of a sink's response that are shown

# C0 and C1 controls except newline and tab; characters that change the direction of text; line separators; lone
# surrogates, which cannot be encoded; invisible characters that hide text.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Return `text` with every character escaped that could control a terminal or hide text. Newlines and tabs are not
    escaped."""
    return _UNSAFE.sub(_escape, text)


def printable_json(text: str) -> str:
    """Return the JSON `text` with the characters escaped that `printable` escapes. Each escape is a JSON escape, so the
    decoded values do not change."""
    return _UNSAFE.sub(_json_escape, text)


def printable_line(text: str) -> str:
    """Return `text` with the characters escaped that `printable` escapes, and with newlines and tabs escaped too. The
    result fits in one line and in one column of a table."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return `text`. If `text` has more than `longest` characters, return only the first `longest` characters and the
    total number of characters. Use this for a value that a sender chose."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def has_styles(environment: Mapping[str, str]) -> bool:
    """Return whether output to a terminal may have colours and bold text. The result is True if NO_COLOR (no-color.org)
    is unset or empty, and if the terminal supports escape sequences. `environment` has the environment variables."""
    return not environment.get("NO_COLOR") and environment.get("TERM") not in ("dumb", "unknown")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0]).strip('"')
