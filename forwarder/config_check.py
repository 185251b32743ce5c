"""Checks a configuration on this machine. Finds problems that would prevent the start, and settings that are unwise.

The checks open no connection and change nothing. The tables at the end of this file list the checks. The command
`check`, the start of the forwarder, each reload and the offline part of `doctor` run them.
"""

import difflib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from forwarder.certificate_check import expired_certificates, expiring_certificates, refused_certificates
from forwarder.config.file import unread_variables
from forwarder.config.hosts import Listen, is_loopback, is_public
from forwarder.config.problems import with_variable
from forwarder.core.errors import StoreError
from forwarder.core.time import SECOND
from forwarder.okta.settings import misspelt_domain, org_origin
from forwarder.okta.system_log.pages import RETENTION
from forwarder.okta.zones.settings import zone_warnings
from forwarder.placeholder_check import placeholder_warnings
from forwarder.quantity_check import quantity_warnings
from forwarder.react.settings.entries import written
from forwarder.react.settings.types import Mode
from forwarder.reaction_check import reaction_warnings
from forwarder.rules.load import EMPTY_LISTS, read_rules
from forwarder.rules.probable_mistakes import value_warnings
from forwarder.safe_files import can_create_in, cannot_read, cannot_write
from forwarder.secret_check import chosen_secret_warnings, readable_secrets
from forwarder.settings import Settings
from forwarder.sink_check import heartbeat_warnings, sink_warnings
from forwarder.sinks.file.paths import lock_path, place_problem
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.store.interface import check_path

_OKTA_WAITS = 3.0  # seconds
_RELATIVE = "is relative to the folder in which each command is started; write an absolute path"
_RULES_READ = 3600.0  # seconds by which the rules may be behind the sinks


def _store_problems(settings: Settings) -> Iterator[str]:
    try:
        check_path(settings.store.path)
    except StoreError as error:
        yield f"store.path: {error}"
    except OSError as error:
        yield f"store.path: {settings.store.path} cannot be read: {cannot_read(error)}"


def _file_path_problems(settings: Settings) -> Iterator[str]:
    for key, name, path in _sink_files(settings):
        folder = _nearest(path)
        if problem := place_problem(name):
            yield f"{key}: {problem}"
        elif os.path.exists(name) and not os.path.isfile(name):  # noqa: PTH110, PTH113  # pathlib's methods may raise
            inside = path if path.is_dir() else Path("/var/lib/forwarder")  # a device cannot contain a file
            yield f"{key}: {name} is not a file; name the file to write, as in {inside / 'okta.ndjson'}"
        elif not folder.is_dir():
            yield f"{key}: {folder} is not a folder; name a file in a folder"


def _file_rights_problems(settings: Settings) -> Iterator[str]:
    wrong = {line.partition(": ")[0] for line in _file_path_problems(settings)}
    for key, name, path in _sink_files(settings):
        for file in (path, lock_path(name)) if key not in wrong else ():
            exists, folder = os.path.exists(file), _nearest(file)  # noqa: PTH110  # as above
            if not can_create_in(folder) or (exists and not os.access(file, os.R_OK | os.W_OK)):
                yield f"{key}: {cannot_write(file if exists else folder)}"
                break


def _sink_files(settings: Settings) -> Iterator[tuple[str, Path, Path]]:
    """Yield (key, path in the settings, real path) for each file that a sink writes."""
    for name, sink in settings.sinks.items():
        if isinstance(sink, FileSinkSettings):
            yield f"sinks.{name}.path", sink.path, sink.real_path


def _nearest(path: Path) -> Path:
    """Return the nearest parent folder of `path` that exists."""
    return next(parent for parent in (*path.parents, Path("/")) if os.path.exists(parent))  # noqa: PTH110  # as above


def listeners(settings: Settings) -> Iterator[tuple[str, Listen]]:
    """Yield (key, address) of each listener."""
    yield "receiver.listen", settings.receiver.listen
    yield "ops.listen", settings.ops.listen


def _address_problems(settings: Settings) -> Iterator[str]:
    for key, listen in listeners(settings):
        yield from _listen_problems(key, listen)


def _listen_problems(key: str, listen: Listen) -> Iterator[str]:
    """Yield a problem if `listen` has an IP address that this machine does not have. A host name is not looked up."""
    if not listen.port:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except socket.gaierror:
        return
    except OSError as error:
        yield (
            f"{key}: {listen.host} is not an address of this machine ({error.strerror}); write an address of this "
            "machine, or 0.0.0.0 to listen on all its addresses"
        )


def _environment_warnings(_: Settings) -> Iterator[str]:
    for name in unread_variables():
        yield (
            f"{name}: the forwarder does not read this environment variable; write two underscores between its "
            "parts, as in FORWARDER__STORE__PATH, or remove the variable"
        )


def _org_warnings(settings: Settings) -> Iterator[str]:
    logs: dict[str, str] = {}  # the name of the first org that reads each System Log
    for name, org in settings.orgs.items():
        if "_" in org.header and org.secrets:
            yield f"orgs.{name}.header: has `_`, and proxies such as nginx remove such a header; write `-` in its place"
        host = urlsplit(org.url or "").hostname or ""
        if host and not is_loopback(host) and not is_public(host):
            yield f"orgs.{name}.url: {host} is not a host name of Okta; write the org's own URL, as in https://acme.okta.com"
        elif domain := misspelt_domain(host):
            yield (
                f"orgs.{name}.url: {host} looks like a misspelling of {domain}; correct the URL, unless your org "
                "really uses this domain"
            )
        if org.url and org.api and (first := logs.setdefault(org_origin(org.url), name)) != name:
            yield (
                f"orgs.{name}.url: is the same org as orgs.{first}, so its System Log is read twice, and sinks get each "
                f"event twice; remove `api` from one of the two"
            )
        if org.hook and not is_loopback(host) and not is_public(urlsplit(org.hook.uri).hostname or ""):
            yield (
                f"orgs.{name}.hook.uri: Okta posts from the internet, and cannot reach this host from there; write "
                "the public host name"
            )
        if org.hook and urlsplit(org.hook.uri).path.rstrip("/") != org.path.rstrip("/"):
            yield (
                f"orgs.{name}.hook.uri: its path differs from orgs.{name}.path ({org.path}), so every request gets a 404, unless a "
                "proxy rewrites the path; write the same path in both, then run `forwarder hooks sync`"
            )
    if settings.reconcile.lookback * SECOND > RETENTION:
        yield "reconcile.lookback: is longer than 90 days, for which Okta keeps its log; write at most 90d"


def _relative_store(settings: Settings) -> Iterator[str]:
    if not settings.store.path.is_absolute():
        yield f"store.path: {_RELATIVE}"


def _relative_files(settings: Settings) -> Iterator[str]:
    yield from (f"{key}: {_RELATIVE}" for key, name, _ in _sink_files(settings) if not name.is_absolute())


def _listener_warnings(settings: Settings) -> Iterator[str]:
    if settings.receiver.commit_timeout >= _OKTA_WAITS:
        yield "receiver.commit_timeout: Okta waits only 3 s for an answer; set 2s"
    if settings.receiver.body_timeout < _OKTA_WAITS:
        yield "receiver.body_timeout: Okta may need 3 s to send a body, and never retries after a 408 (body too late); set 10s"
    if not is_loopback(settings.receiver.listen.host) and not settings.receiver.tls:
        yield (
            "receiver.listen: other machines can connect by plain HTTP, which shows the hook's secret to the network; "
            "set receiver.tls, or listen on 127.0.0.1 behind a TLS proxy"
        )
    if not is_loopback(settings.ops.listen.host):
        is_clear = settings.ops.token and not settings.ops.tls
        clear = ", and ops.token crosses the network by plain HTTP; set ops.tls" if is_clear else ""
        yield (
            f"ops.listen: other machines can connect to this address, and the metrics need no password{clear}; use a "
            "firewall that lets only Prometheus and the operators connect, or listen on 127.0.0.1"
        )


def _rule_warnings(settings: Settings) -> Iterator[str]:
    ruleset, rule_problems = read_rules(settings.rules.files, settings.rules.lists)
    for exception in ruleset.expired:
        yield (
            f"rules.files: {exception.file}: the exception {exception.title!r} ended on {exception.until}; "
            "remove it, or give it a later day"
        )
    yield from (f"rules.files: {doubt}" for doubt in value_warnings(ruleset))
    yield from _list_warnings(settings, len(rule_problems))
    if settings.rules.files and settings.store.retention < _RULES_READ:
        yield (
            "store.retention: is so short that the store may drop events before the rules have read them; write at "
            "least 1h"
        )
    for correlation in ruleset.correlations:
        if correlation.timespan > settings.store.retention:
            yield (
                f"store.retention: is shorter than the timespan of the correlation {correlation.title!r} in "
                f"{correlation.file}, so the correlation counts too few events after a restart; keep events for longer"
            )


def _list_warnings(settings: Settings, problems: int) -> Iterator[str]:
    """Yield a warning for each list whose name is probably a misspelling of the name of a list that is empty by
    default.

    No other check notices the misspelling, because the rules then use the empty list. `problems` is the number of
    problems that the rules have with the lists as they are.
    """
    lists, files = settings.rules.lists, settings.rules.files
    spelled = {name.strip("% ").lower(): name for name in lists}
    for default in EMPTY_LISTS.keys() - lists.keys():
        for near in difflib.get_close_matches(default, spelled, n=1, cutoff=0.8):
            others = {name: values for name, values in lists.items() if name != spelled[near]}
            if len(read_rules(files, others)[1]) == problems:  # no rule needs this list
                yield f"rules.lists.{spelled[near]}: no rule uses a list with this name; did you mean {default}?"


def _zone_warnings(settings: Settings) -> Iterator[str]:
    for name, org in settings.orgs.items():
        yield from (f"orgs.{name}.{warning}" for warning in zone_warnings(org))


def _reaction_warnings(settings: Settings) -> Iterator[str]:
    if not settings.reactions.on:
        return
    apis = {name: org.api for name, org in settings.orgs.items()}
    hooked = {name for name, org in settings.orgs.items() if org.secrets}
    ruleset, _ = read_rules(settings.rules.files, settings.rules.lists)
    yield from reaction_warnings(settings.reactions, apis, hooked, settings.rules.late, ruleset)
    if any(each.do.asks and each.mode is not Mode.OFF for each in written(settings.reactions)):
        ops = settings.ops
        if not ops.token and not ops.proxy:
            yield (
                "ops.token: is not set, so operators can approve an action only with `forwarder reactions approve`, "
                "not on the page of the action; set ops.token or ops.proxy"
            )
        if settings.reactions.webhooks and not ops.url:
            yield (
                f"ops.url: is not set, so the links of approvals in webhooks lead to {ops.listen}; set the URL at which "
                "people can reach this listener"
            )


Finder = Callable[[Settings], Iterator[str]]
"""A check. It yields a line for each finding, with path, problem and hint."""

FATAL: Mapping[str, Finder] = {
    "store.path": _store_problems,
    "file.path": _file_path_problems,
    "listener.address": _address_problems,
}
"""The checks for problems with which the forwarder does not start, by the ids that `doctor` shows."""

PASSING: Mapping[str, Finder] = {"file.rights": _file_rights_problems, "certificate.expiry": expired_certificates}
"""The checks for problems that may also arise while the forwarder runs, such as a disk that is not mounted, or a
certificate that has expired. The forwarder logs such a problem and starts. Only the part with the problem waits; all
other parts work."""

PROBLEMS: Mapping[str, Finder] = {**FATAL, **PASSING}
"""The checks for problems with which the command `check` fails, by the ids that `doctor` shows."""

WARNINGS: Mapping[str, Finder] = {
    "store.path": _relative_store,
    "file.path": _relative_files,
    "certificate.expiry": expiring_certificates,
    "certificate.trust": refused_certificates,
    "environment.unread": _environment_warnings,
    "config.quantity": quantity_warnings,
    "config.placeholder": placeholder_warnings,
    "secret.strength": chosen_secret_warnings,
    "secret.rights": readable_secrets,
    "hook.path": _org_warnings,
    "listener.exposure": _listener_warnings,
    "sink.transport": sink_warnings,
    "heartbeat.sink": heartbeat_warnings,
    "rules.state": _rule_warnings,
    "zone.declaration": _zone_warnings,
    "reactions.state": _reaction_warnings,
}
"""The checks for settings that work but are unwise, by the ids that `doctor` shows."""


def problems(settings: Settings, table: Mapping[str, Finder] = PROBLEMS) -> list[str]:
    """Return the findings of the checks in `table`. Each finding is a line with path, problem and hint."""
    return [with_variable(line) for find in table.values() for line in find(settings)]


def new_problems(settings: Settings, running: Settings) -> list[str]:
    """Return the problems that the new `settings` have, and that `running`, the settings in force, do not have.

    A problem that exists already, such as a disk that is not mounted, must not prevent a reload with a new secret. A
    file sink is not checked if its path has not changed, because its disk may hang.
    """
    places = {name: getattr(sink, "path", sink) for name, sink in running.sinks.items()}
    sinks = settings.sinks.items()
    changed = {name: sink for name, sink in sinks if getattr(sink, "path", sink) != places.get(name)}
    before = {name: sink for name, sink in running.sinks.items() if name in changed}
    known = problems(running.model_copy(update={"sinks": before}))
    found = problems(settings.model_copy(update={"sinks": changed}))
    return [line for line in found if line not in known]


def warnings(settings: Settings) -> list[str]:
    """Return the warnings about settings that work but are unwise. Each warning is a line with path, reason and
    hint."""
    return problems(settings, WARNINGS)
