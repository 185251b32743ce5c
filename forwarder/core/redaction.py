"""Redacts secrets in all output of the process: log lines, status, responses, the output of commands, and dead letters.

A server may repeat the forwarder's request, with its credentials, in an error, and a library may put the request into
an exception. So each secret is registered when it is read (`config.types.Secret`), and all code that stores or shows a
text of a server or a library redacts the text first. The process has one list of secrets, which also keeps the secrets
that a reload has replaced.
"""

import base64
import html
import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"

_MIN_STRONG = 8
"""The number of characters from which a secret is hidden everywhere in a text.

A shorter secret may be an ordinary word, and a secret that consists of words and has fewer than `_MIN_PASSPHRASE`
characters may be a name. Such a secret is hidden only where it is the value of a key, as in `"password": "test"`.
"""
_MIN_PASSPHRASE = 16
_WORDS = re.compile(r"[A-Za-z]+(?:[-_. ][A-Za-z]+)*")
_MIN_WEAK = 3
_MIN_BASE64 = 6
"""The minimum number of base64 characters by which a secret is recognized."""
_CUT_END = 1000
"""The number of characters that `redact_start` drops at the end of a cut text, because the cut may have split a
secret."""
_MAX_SECRETS = 1000
"""The maximum number of registered secrets. Above this number, the oldest secret is forgotten, so that a secret file
that changes often for years does not fill the memory."""

_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-")
_URLSAFE = str.maketrans("+/", "-_")
_SEPARATORS = re.compile(r"[\s\"',:{}]+")
_SCHEME = r"(?:(?:Basic|Bearer|ApiKey|SSWS|DPoP)\s+)?"

_PATTERNS = (
    (
        "PRIVATE KEY",
        re.compile(r"-----BEGIN[^-]{0,40}PRIVATE KEY-----.*?(?:-----END[^-]{0,40}-----|\Z)", re.DOTALL),
        "",
    ),
    # A JSON Web Token. In a run of token characters, only the first "eyJ" is tried: to try each would take quadratic
    # time.
    ("eyJ", re.compile(r"(?<![\w-])((?>[\w-]*?\b(?=eyJ)))[\w-]{4,}+\.[\w-]+(?:\.[\w-]*)*"), r"\1"),
    (" ", re.compile(r"(?i)\b(?:SSWS|Bearer|DPoP|Basic|ApiKey)\s+(?=[a-z.~+/_-]*[\d=])[\w.~+/=-]{8,}"), ""),
    # The user and the password of a URL, then of a URL without a scheme.
    ("@", re.compile(r"(?<=://)(?:[^\s\"'/]{1,999}|[^\s\"'/@:]{0,999}+:(?!\d+[/?#])[^\s\"'@]{0,255}+)(?=@)"), ""),
    ("@", re.compile(r"(?<![\w.%+/@:-])[\w.%+-]{1,999}:[^\s\"'@/:]{1,999}(?=@[\w\[])"), ""),
    ("=", re.compile(r"(?i)([?&](?:token|access_token|api_?key|secret|password)=)[^&\s\"']+"), r"\1"),
)
"""Patterns of texts that look like secrets, for secrets that are not registered, such as a token that a server has just
made.

Each entry has three parts: a text that every match contains (to search for this text takes a fiftieth of the time), the
pattern, and the part of a match that is kept.
"""


class Redactor:
    """Replaces secrets in texts with `***`, even if a secret is encoded in JSON, a URL, HTML or base64."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        self._cores: re.Pattern[str] | None = None
        self._is_current = True
        self._lock = threading.Lock()  # libraries log in their own threads

    def add(self, secret: str) -> None:
        """Register `secret`, so that `redact` hides this secret from now on."""
        with self._lock:
            self._is_current = self._is_current and secret in self._secrets
            self._secrets.pop(secret, None)
            self._secrets[secret] = None  # as the latest
            if len(self._secrets) > _MAX_SECRETS:
                del self._secrets[next(iter(self._secrets))]

    def clear(self) -> None:
        """Forget all registered secrets. Only tests that run several forwarders in one process need this method."""
        with self._lock:
            self._secrets.clear()
            self._is_current = False

    def redact(self, text: str) -> str:
        """Return `text` with `***` in place of each registered secret, and of each text that looks like a secret."""
        if not self._is_current:
            with self._lock:
                self._compile()
        for pattern, instead in self._patterns:
            text = pattern.sub(instead, text)
        text = self._without_base64(text)
        for needed, pattern, stays in _PATTERNS:
            if needed in text:
                text = pattern.sub(stays + HIDDEN, text)
        return text

    def redact_start(self, text: str, limit: int) -> str:
        """Return at most `limit` characters from the start of `text`, redacted. Use this for a text that may be very
        long.

        A long text is cut before it is redacted, because redaction takes time for each character. If the cut splits a
        secret, the first part of this secret is not recognized. So the end of the redacted text is dropped.
        """
        window = text[: limit + 4 * _CUT_END]
        shown = self.redact(window)
        if len(window) < len(text):
            shown = shown[:-_CUT_END] or HIDDEN
        return shown[:limit]

    def redact_all(self, value: Any) -> Any:
        """Return the JSON value `value` with all strings redacted, except the keys of objects. A value of a type that
        JSON does not have is converted to a string and redacted."""
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, Mapping):
            return {key: self.redact_all(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_all(item) for item in value]
        return self.redact(str(value))

    def _compile(self) -> None:
        strong: set[str] = set()
        weak: set[str] = set()
        cores: set[str] = set()
        for secret in self._secrets:
            cores.update(_base64_cores(secret))
            for part in {secret, secret.strip(), secret.removeprefix("whsec_"), *_SEPARATORS.split(secret)}:
                if _is_strong(part):
                    strong.update(_forms(part))
                elif part == secret and len(part) >= _MIN_WEAK:
                    weak.update(_forms(part))
        self._cores = _any_of(cores) if cores else None
        patterns = [(_any_of(strong), HIDDEN)] if strong else []
        if weak:
            words = _any_of(weak).pattern
            name = r"(?:auth|key|token|secret|passw)[\w-]{0,40}[\"'\\]*\s*[:=]\s*[\"'\\]*"
            patterns += [
                (re.compile(rf"(?i:({name}{_SCHEME}))(?:{words})(?!\w)"), rf"\1{HIDDEN}"),
                (re.compile(rf"([:=]\s?[\"'\\]*{_SCHEME})(?:{words})(?=[\"'\\,;}}&@\]\r\n])"), rf"\1{HIDDEN}"),
            ]
        self._patterns, self._is_current = patterns, True

    def _without_base64(self, text: str) -> str:
        """Return `text` with `***` in place of each base64 text that encodes a secret, alone or in a longer text such
        as `user:password`."""
        if self._cores is None:
            return text
        kept: list[str] = []
        done = 0
        for found in self._cores.finditer(text):
            start, end = found.span()
            if start < done:
                continue
            while start > done and text[start - 1] in _BASE64:
                start -= 1
            while end < len(text) and text[end] in _BASE64:
                end += 1
            kept += [text[done:start], HIDDEN]
            done = end
        return "".join([*kept, text[done:]])


def _is_strong(text: str) -> bool:
    return len(text) >= (_MIN_PASSPHRASE if _WORDS.fullmatch(text) else _MIN_STRONG)


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms of `secret` in plain text, in JSON, in a URL, in HTML and in a Python string."""
    yield secret
    for escaped in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)):
        yield escaped[1:-1]
    yield html.escape(secret)
    data = secret.encode(errors="surrogatepass")
    for encoded in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)


def _base64_cores(secret: str) -> Iterator[str]:
    """Yield pieces of base64. If a text contains `secret`, the base64 of this text contains at least one of the pieces.

    A piece has only those base64 characters that do not depend on the bytes before and after the secret.
    """
    data = secret.encode(errors="surrogatepass")
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        if last - first >= _MIN_BASE64:
            yield encoded[first:last]
            yield encoded[first:last].translate(_URLSAFE)


def _any_of(texts: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=lambda text: (-len(text), text))))


_redactor = Redactor()
add = _redactor.add
clear = _redactor.clear
redact = _redactor.redact
redact_start = _redactor.redact_start
redact_all = _redactor.redact_all
