"""Finds variables such as `${NAME}` in texts.

Shells, templates and other forwarders replace such variables with values. This forwarder does not, so they are
mistakes.
"""

import re
from collections.abc import Iterator

from pydantic import BaseModel

from forwarder.config.leaves import leaves

_VARIABLE = r"[$%]\{[A-Za-z_][\w.]*(:?[-+?=][^{}]*|:[^{}]+)?\}|\{\{.*\}\}|\$\([A-Z_][A-Z0-9_]*\)"
_ANYWHERE = re.compile(_VARIABLE)
_ALONE = re.compile(r"\$[A-Z_][A-Z0-9_]*")
_NAMED = r"SECRET\[[\w.-]+\]|op://\S+|vault:\S+#\S+|arn:aws:(secretsmanager|ssm):\S+"
"""Matches how Vector, 1Password, Vault and AWS name a secret."""
_SECRET = re.compile(rf"\s*([A-Za-z]+ )?({_VARIABLE}|{_ALONE.pattern}|{_NAMED})\s*")


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
    """Yield a problem for each text in `settings` that has a variable.

    Secrets are not checked: the configuration can name a variable for them, as `{env: NAME}`.
    """
    for path, _, value in leaves(settings):
        if isinstance(value, str) and has_variable(value):
            yield (
                f"{path}: the value contains a variable, which the forwarder does not replace; write the value itself, "
                "or set this key by an environment variable, as in FORWARDER__STORE__PATH"
            )
