"""Finds values that were copied from an example and never replaced, such as `YOUR_TOKEN` or a host of example.com."""

import re
from collections.abc import Iterator
from pathlib import Path

from forwarder.config.setting_values import leaves
from forwarder.config.types import Secret
from forwarder.config.variables import NOT_REPLACED
from forwarder.core.urls import split_url
from forwarder.settings import Settings

_WORDS = (
    r"your[-_ ]\w+|your(org|company|domain|okta\w*)|change[-_ ]?(me|this|it)|replace[-_ ]?(me|this|with)|placeholder|"
    r"todo|tbd|fixme|x{3,}"
)
_IN_TEXT = re.compile(rf"(?<![a-z0-9])({_WORDS})(?![a-z0-9])|x{{6,}}|^/path/to/", re.IGNORECASE)
_SECRET = re.compile(rf"([a-z]+ )?(({_WORDS})([^a-z0-9].*)?|null|none|(00|0oa)?x{{6,}})", re.IGNORECASE | re.DOTALL)
"""Matches a secret that is a placeholder, perhaps after a scheme. A real secret may contain any of the words."""

_EXAMPLE_HOST = re.compile(r"(.+\.)?(example(\.(com|net|org|edu))?|invalid)", re.IGNORECASE)
"""Matches the host names that RFC 2606 reserves: no real server has them."""


def is_placeholder(secret: Secret) -> bool:
    """Whether `secret` is a word that stands for a secret, such as `changeme`."""
    return secret.is_read and _SECRET.fullmatch(secret.reveal().strip()) is not None


def placeholder_warnings(settings: Settings) -> Iterator[str]:
    """Yield a line with path, reason and hint for each value that is probably a placeholder."""
    for path, key, value in leaves(settings):
        if isinstance(value, Secret):
            if is_placeholder(value):
                yield f"{path}: looks like a placeholder from an example; write the real secret"
        elif isinstance(value, str | Path) and key not in NOT_REPLACED:
            text = str(value)
            host = split_url(text).hostname or "" if "://" in text else text if key == "ops.allowed_hosts[]" else ""
            if _EXAMPLE_HOST.fullmatch(host):
                yield f"{path}: {host} is a name for examples, which no real server has; write the real host"
            elif found := _IN_TEXT.search(text):
                yield f"{path}: {found[0]!r} looks like a placeholder from an example; write the real value"
