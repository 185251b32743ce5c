"""Finds times, sizes and numbers that are so small or so large that they are probably a slip, such as `7m` for `7d`."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from forwarder.config.hosts import is_loopback
from forwarder.config.setting_values import leaves
from forwarder.config.types import Duration, Size
from forwarder.settings import Settings

_Bound = str | int | float

_TOO_SMALL: Mapping[str, tuple[_Bound, str]] = {
    "reconcile.poll": ("10s", "so the polls use much of the rate limit that all tools of the org share"),
    "reconcile.lookback": ("1m", "so the first poll finds nearly no event"),
    "reconcile.grace": ("10s", "so events that the hook delivers a little later count as missed"),
    "reconcile.rate_share": (0.02, "so calls of Okta's API may wait for minutes"),
    "orgs.NAME.hook.check_interval": (
        "10s",
        "so the checks use much of the rate limit that all tools of the org share",
    ),
    "receiver.header_timeout": ("1s", "so requests over a slow connection are refused"),
    "receiver.keep_alive": ("1s", "so a connection may close while Okta or a proxy sends its next request"),
    "receiver.max_header_bytes": ("4KiB", "so a request may be answered 431, and Okta never retries after a 431"),
    "receiver.max_body": ("1MiB", "so a request may be answered 413, and Okta never retries after a 413"),
    "receiver.commit_timeout": ("200ms", "so each short wait for the disk leads to a 503"),
    "store.max_size": ("64MiB", "so the store is soon full when a sink stops, and then refuses new events"),
    "store.retention": ("1m", "so `find`, `replay` and the page show nearly no event"),
    "store.dedup_window": ("1h", "so a later copy of an event is stored and sent as a new event"),
    "sinks.NAME.rotate_bytes": ("1MiB", "so the folder fills with small files"),
    "sinks.NAME.rotate_age": ("1m", "so the folder fills with small files"),
    "sinks.NAME.retention": ("1d", "so Elasticsearch deletes events soon after their arrival"),
    "sinks.NAME.delivery.batch_bytes": ("16KiB", "so nearly every event is sent alone"),
    "sinks.NAME.delivery.timeout": ("1s", "so a batch is sent again while a busy server still works on it"),
    "sinks.NAME.delivery.backoff_cap": ("1s", "so a server that fails gets many requests"),
    "rules.late": ("10s", "so nearly every alert is marked as late"),
    "rules.max_age": ("1m", "so events that only the System Log delivers lead to no alert"),
    "rules.max_keys": (100, "so rules forget groups before they can match"),
    "ops.heartbeat": ("10s", "so each Elasticsearch sink gets many documents about the forwarder itself"),
    "reactions.webhooks.NAME.timeout": ("1s", "so a webhook is sent again while its receiver still works on it"),
    "reactions.receivers.NAME.timeout": ("1s", "so a token is sent again while its receiver still works on it"),
}
"""The smallest usual value of a key, and what a smaller value leads to."""

_TOO_LARGE: Mapping[str, tuple[_Bound, str]] = {
    "reconcile.poll": ("1d", "so events that the hook does not deliver arrive very late"),
    "reconcile.grace": ("1d", "so missed events are reported very late"),
    "reconcile.rate_share": (0.9, "so other tools of the org may find Okta's rate limits used up"),
    "orgs.NAME.hook.check_interval": ("1d", "so a hook that stopped is noticed very late"),
    "receiver.header_timeout": ("1m", "so clients that send nothing keep their connections for long"),
    "receiver.body_timeout": ("5m", "so clients that send nothing keep their connections for long"),
    "receiver.keep_alive": ("1h", "so clients that send nothing keep their connections for long"),
    "receiver.max_header_bytes": ("1MiB", "so a few requests may use much memory"),
    "receiver.max_body": ("100MiB", "so a few requests may use much memory"),
    "receiver.grace": ("5m", "so systemd or Kubernetes probably kills the process before it has stopped"),
    "store.dedup_window": ("400d", "so the store keeps an entry for each event of more than a year"),
    "sinks.NAME.delivery.batch_bytes": ("64MiB", "so the server probably refuses large batches"),
    "sinks.NAME.delivery.timeout": ("10m", "so a connection that hangs holds up delivery for long"),
    "sinks.NAME.delivery.backoff_cap": ("1h", "so delivery may start long after the server works again"),
    "rules.max_keys": (10_000_000, "so the rules may need more memory than the machine has"),
    "ops.heartbeat": ("1h", "so a stopped forwarder is noticed very late"),
}
"""The largest usual value of a key, and what a larger value leads to."""

_NOT_FOR_AN_EMULATED_ORG = (
    "reconcile.poll",
    "reconcile.grace",
    "reconcile.rate_share",
    "orgs.NAME.hook.check_interval",
)
"""The keys whose usual values protect the rate limits of Okta, or allow for Okta's delay. An emulated org on this machine
has neither."""

_seconds, _bytes = TypeAdapter(Duration).validate_python, TypeAdapter(Size).validate_python


def quantity_warnings(settings: Settings) -> Iterator[str]:
    """Yield a line with path, reason and hint for each value that is probably a slip. No default value is one."""
    urls = [org.url for org in settings.orgs.values() if org.url]
    is_emulated = bool(urls) and all(is_loopback(urlsplit(url).hostname or "") for url in urls)
    for path, key, value in leaves(settings):
        if is_emulated and key in _NOT_FOR_AN_EMULATED_ORG:
            continue
        if value is None or (key == "store.retention" and (not value or settings.rules.files)):
            continue  # 0s keeps no body on purpose; with rules, another check has the limit
        if key in _TOO_SMALL and value < _number(_TOO_SMALL[key][0]):
            bound, why = _TOO_SMALL[key]
            yield f"{path}: is less than {_text(bound)}, {why}; write at least {_text(bound)}"
        if key in _TOO_LARGE and value > _number(_TOO_LARGE[key][0]):
            bound, why = _TOO_LARGE[key]
            yield f"{path}: is more than {_text(bound)}, {why}; write at most {_text(bound)}"


def _number(bound: _Bound) -> float:
    if not isinstance(bound, str):
        return bound
    number: float = _bytes(bound) if bound.endswith("B") else _seconds(bound)
    return number


def _text(bound: _Bound) -> str:
    return f"{bound:,}" if isinstance(bound, int) else str(bound)
