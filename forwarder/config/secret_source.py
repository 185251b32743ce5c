"""Reads a secret from its source (an environment variable or a file), and refuses texts that only name a secret.

No message shows a text that may be the secret.
"""

import os
import re
from datetime import date
from pathlib import Path
from typing import Any

from forwarder.config.variables import is_stand_in, is_variable
from forwarder.safe_files import cannot_read, read_small

_FORMS = "write a secret as a string, {env: NAME} or {file: path}"
_NOT_UTF_8 = "it is not text in UTF-8; save it as UTF-8, or name another file"
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,60}|[a-z][a-z0-9_]{0,60}")
_QUOTED = re.compile(r"""(["'])[^"']+\1|[“„].+[”“]""", re.DOTALL)
_ASSIGNED = re.compile(r"(export\s+)?(?=\w{0,60}_)[A-Z][A-Z0-9_]{4,60}=[^=\s].*", re.DOTALL)
"""Matches a line of a file with environment variables, as in `OKTA_TOKEN=…`."""


def refuse_source(text: str) -> None:
    """Raise ValueError if `text` is not a secret, but only names a secret in a wrong form, such as `$NAME` or a
    path."""
    if is_variable(text) or re.fullmatch(r"([A-Za-z]+ )?(\$[A-Za-z_]\w*|%[A-Za-z_]\w*%)", text):
        raise ValueError(
            "the value contains a variable, which the forwarder does not replace; write {env: NAME} instead"
        )
    if is_stand_in(text):
        raise ValueError(f"the value is a placeholder from an example; {_FORMS}")
    if "_" in text and _NAME.fullmatch(text) and text in os.environ:
        raise ValueError(
            "the value is the name of an environment variable, not a secret; to read the secret from that variable, "
            "write {env: NAME}"
        )
    if re.match(r"(env|file):\S", text):
        raise ValueError(
            "the value is a string, not a mapping; write {env: NAME} or {file: path}, with a space after the colon"
        )
    if re.fullmatch(r"""\s*\{\s*["']?(env|file)["']?\s*:[^{}]*\}\s*""", text):
        raise ValueError(
            "the value is a string, not a mapping; write {env: NAME} or {file: path} without quotes around the braces, or, "
            'in an environment variable, JSON such as {"env": "NAME"}'
        )
    if text.startswith("/") and os.path.isfile(text):  # noqa: PTH113  # pathlib's method may raise
        raise ValueError(
            "the value is the path of a file, not a secret; to read the secret from that file, write {file: path}"
        )


def read_source(written: Any) -> str:
    """Return the secret at the source `written`, such as `{env: NAME}`.

    Raises:
        ValueError: `written` is not a source; or the variable or file is missing, is empty, or contains no secret.
    """
    if isinstance(written, int | float | date):
        raise ValueError(  # noqa: TRY004  # pydantic reports only a ValueError
            f"{_FORMS}; YAML does not read this value as a string; put the value in quotes"
        )
    if not isinstance(written, dict) or len(written) != 1 or not isinstance(next(iter(written.values())), str):
        raise ValueError(_FORMS)
    kind, name = next(iter(written.items()))
    value = _read(kind, name)
    if not value.strip():
        raise ValueError(f"the secret in {kind} {name} is empty; write the secret there")
    if is_variable(value):
        raise ValueError(
            f"{kind} {name} contains only a variable, which the forwarder does not replace; write the secret "
            "itself there"
        )
    if is_stand_in(value):
        raise ValueError(f"{kind} {name} contains a placeholder from an example; write the secret itself there")
    if _QUOTED.fullmatch(value):
        raise ValueError(
            f"{kind} {name} has quotes around the secret, and the quotes would be a part of the secret; remove them"
        )
    if _ASSIGNED.fullmatch(value):
        raise ValueError(f"{kind} {name} contains NAME=VALUE; write only VALUE there")
    check_characters(value)
    return value


def _read(kind: str, name: str) -> str:
    # A line break at the end is not a part of the secret: editors add one, and so does `echo secret | base64`.
    if kind == "file":
        return _read_file(name).rstrip("\r\n")
    if kind != "env":
        raise ValueError(_FORMS)
    if name in os.environ:
        return os.environ[name].rstrip("\r\n")
    if not _NAME.fullmatch(name):  # the name may be the secret itself
        raise ValueError(
            "the value of `env` is not the name of an environment variable; write a name as in {env: ACME_SECRET}, not the "
            "secret itself"
        )
    raise ValueError(f"the environment variable {name} is not set; set it, or name another variable")


def _read_file(name: str) -> str:
    try:
        # Some editors begin a file with a byte order mark, which is not a part of the secret.
        text = read_small(Path(name)).decode("utf-8-sig")
        if "\0" not in text:  # a file in UTF-16 may be valid UTF-8, with a NUL in each character
            return text
        reason = _NOT_UTF_8
    except FileNotFoundError as error:
        reason = cannot_read(error)
        if name.startswith("~"):
            reason = "the forwarder does not replace `~`; write the whole path"
        elif name.startswith("file:"):
            reason = "it is a URL; write a path on the disk"
        elif re.search(r"[$%{]", name):
            reason = "variables are not replaced in a path; write it as it is on the disk"
        elif not name.startswith("/"):
            reason += "; a relative path begins at the folder in which the command was started"
    except OSError as error:
        reason = cannot_read(error)
    except ValueError:
        reason = _NOT_UTF_8
    # Show the name only if it is surely a path: otherwise it may be the secret itself.
    named = f"the file {name}" if name.startswith(("/", "./", "../")) else "the file that `file` names"
    raise ValueError(f"{named} cannot be read: {reason}")


def check_characters(secret: str) -> None:
    """Raise ValueError if `secret` has a character that cannot be encoded."""
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise ValueError("the secret has a character that cannot be encoded in UTF-8; set another secret") from None
