"""Finds variables such as `${NAME}` in texts.

Shells, templates and other forwarders replace such variables with values. This forwarder does not, so they are
mistakes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from forwarder.config.setting_values import leaves

_VARIABLE = r"[$%]\{[A-Za-z_][\w.]*(:?[-+?=][^{}]*|:[^{}]+)?\}|\{\{.*\}\}|\$\([A-Z_][A-Z0-9_]*\)"
_ANYWHERE = re.compile(_VARIABLE)
_ALONE = re.compile(r"\$[A-Z_][A-Z0-9_]*")
_NAMED = r"SECRET\[[\w.-]+\]|op://\S+|vault:\S+#\S+|arn:aws:(secretsmanager|ssm):\S+"
"""Matches how Vector, 1Password, Vault and AWS name a secret."""
_SECRET = re.compile(rf"\s*([A-Za-z]+ )?({_VARIABLE}|{_ALONE.pattern}|{_NAMED})\s*")

_STAND_IN = r"<[A-Za-z][\w ,.:/-]*>|\.{3}|…"
"""Matches what stands for a value in an example."""
_STAND_IN_SECRET = re.compile(rf"\s*([A-Za-z-]+ )?({_STAND_IN})\s*")
_STAND_IN_TEXT = re.compile(rf"<[A-Za-z][\w ,.:/-]*>|^({_STAND_IN})|/({_STAND_IN})(/|$)")

NOT_REPLACED = {"orgs.NAME.hook.filters.NAME", "rules.lists.NAME[]", "reactions.on[].do[].prompt.message"}
"""The keys whose values may be any text. What looks like a placeholder there is none."""


def is_stand_in(secret: str) -> bool:
    """Whether `secret` is only what stands for a secret in an example, such as `<token>` or `...`, perhaps after a
    scheme."""
    return bool(_STAND_IN_SECRET.fullmatch(secret))


def has_variable(text: str) -> bool:
    """Whether `text` has a variable that this forwarder does not replace.

    These are the variables of a shell, as in `${NAME:-x}`, of Kubernetes, as in `$(NAME)`, of the Collector, as in
    `${env:NAME}`, and of templates, as in `{{ name }}`.
    """
    return bool(_ANYWHERE.search(text) or _ALONE.fullmatch(text))


def is_variable(secret: str) -> bool:
    """Whether `secret` is only a variable, perhaps after a scheme such as `Bearer`.

    A real secret may have any characters, so a text that has a variable and other characters counts as a secret.
    """
    return bool(_SECRET.fullmatch(secret))


def variable_problems(settings: BaseModel) -> Iterator[str]:
    """Yield a problem for each text in `settings` that has a variable, or a placeholder such as `<name>`.

    Secrets are not checked: the configuration can name a variable for them, as `{env: NAME}`.
    """
    for path, key, value in leaves(settings):
        if not isinstance(value, str | Path):
            continue
        if key not in NOT_REPLACED and (found := _STAND_IN_TEXT.search(str(value))):
            yield f"{path}: the value contains {found[0].strip('/')!r}, a placeholder from an example; write the real value"
        elif isinstance(value, str) and has_variable(value):
            yield (
                f"{path}: the value contains a variable, which the forwarder does not replace; write the value itself, "
                "or set this key by an environment variable, as in FORWARDER__STORE__PATH"
            )
