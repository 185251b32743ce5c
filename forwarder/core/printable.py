"""Makes text safe for a terminal, because senders choose what events, names of hooks and errors of sinks contain."""

import json
import re
from collections.abc import Mapping

_LONGEST = 200  # characters of a value that are shown
LONGEST_ANSWER = 1000  # characters of the answer of a sink that are shown

# C0 and C1 controls except newline and tab; characters that change the direction of text; line separators; lone
# surrogates, which cannot be encoded; invisible characters that hide text.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Escape every character that could control a terminal or hide text. Newlines and tabs stay."""
    return _UNSAFE.sub(_escape, text)


def printable_json(text: str) -> str:
    """Do the same as `printable` for JSON, and write each escape as JSON does, so that the values stay the same."""
    return _UNSAFE.sub(_json_escape, text)


def printable_line(text: str) -> str:
    """Do the same as `printable`, and also escape newlines and tabs, so that the text stays in one line and column."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return `text`, a value that a sender chose, for one line of output: if it has more than `longest` characters, only
    its beginning, and the number of characters."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def has_styles(environment: Mapping[str, str]) -> bool:
    """Whether a terminal may get colours and bold text: NO_COLOR (no-color.org) is not set, and the terminal knows
    escapes."""
    return not environment.get("NO_COLOR") and environment.get("TERM") not in ("dumb", "unknown")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0]).strip('"')
