"""The offline checks: the same as `forwarder check` runs, from the tables of `config_check`."""

from collections.abc import Iterable, Mapping

from forwarder import config_check
from forwarder.doctor.check import Check, Finding, Found, Kind, Row, Verdict, from_line, ok
from forwarder.doctor.context import Context
from forwarder.settings import Settings
from forwarder.threads import in_daemon_thread

CONFIGURATION = "Configuration"
_CORRECT = "correct the configuration, then run `forwarder check`"

_FIXES = {"hook.path": "write the path of `orgs.NAME.path` into `hook.uri`, then run `forwarder hooks sync`"}
"""In place of the second half of a line that says only what will happen."""


async def _valid(context: Context, _: str) -> Found:
    orgs, sinks = ", ".join(context.settings.orgs), ", ".join(context.settings.sinks)
    return ok(f"the configuration is valid (orgs: {orgs}; sinks: {sinks})")


def _offline(id_: str, what: str, heading: str, sound: str) -> Check:
    """Return a check that reports the problems and warnings of `config_check` for `id_`, or `sound`."""

    def look(settings: Settings) -> list[Finding]:
        return [
            *_findings(config_check.PROBLEMS, id_, Verdict.FAIL, settings),
            *_findings(config_check.WARNINGS, id_, Verdict.WARN, settings),
        ]

    async def run(context: Context, _: str) -> Found:
        return await in_daemon_thread(lambda: look(context.settings), id_) or ok(sound)

    return Check(id_, what, heading, run, kind=Kind.OFFLINE)


def _findings(
    table: Mapping[str, config_check.Finder], id_: str, verdict: Verdict, settings: Settings
) -> Iterable[Finding]:
    for line in table[id_](settings) if id_ in table else ():
        finding = from_line(verdict, line, _CORRECT)
        yield Finding(verdict, finding.seen, _FIXES.get(id_, finding.fix))


VALID = Check(
    "config.valid",
    "the file, the environment, secrets, certificates and rules can be read",
    CONFIGURATION,
    _valid,
    kind=Kind.OFFLINE,
)

CHECKS = (
    VALID,
    _offline(
        "store.path", "the store's folder is there and writable", CONFIGURATION, "the folder is writable"
    ),
    _offline(
        "file.path",
        "files that sinks write are writable",
        CONFIGURATION,
        "every file sink can write its file",
    ),
    _offline(
        "listener.address", "the listeners' addresses are this machine's", "Ports", "both are this machine's"
    ),
    _offline(
        "listener.exposure",
        "who reaches the listeners, and how",
        "Ports",
        "other machines reach neither without TLS",
    ),
    _offline(
        "certificate.expiry",
        "the certificates that the configuration names",
        "ForwarderCertificateExpiring",
        "none ends within 14 days",
    ),
    _offline("secret.strength", "the hooks' secrets", "Secrets", "none can be guessed"),
    _offline(
        "secret.rights",
        "who may read the files of secrets",
        "Secrets",
        "only their owner and group read them",
    ),
    _offline("hook.path", "`hook.uri` ends with `path`", "Hook address", "the two paths are the same"),
    _offline(
        "sink.transport",
        "events and credentials cross the network by TLS",
        CONFIGURATION,
        "nothing crosses it in clear",
    ),
    _offline(
        "heartbeat.sink", "`ops.heartbeat` has a sink", CONFIGURATION, "it has one, or is not configured"
    ),
    _offline(
        "rules.state",
        "exceptions that have ended, correlations that look back further than the store",
        CONFIGURATION,
        "none has ended, and the store keeps enough",
    ),
    _offline(
        "zone.declaration",
        "the declared network zones block what they seem to, and `egress` is set",
        CONFIGURATION,
        "they do, or none is declared",
    ),
    _offline(
        "reactions.state",
        "what is unwise in `reactions`, as approvals without a notification, or missing scopes",
        CONFIGURATION,
        "nothing",
    ),
)


def refused(problems: Iterable[str]) -> list[Row]:
    """Return the rows for a configuration that cannot be loaded."""
    return [
        Row(VALID.id, VALID.group, Verdict.FAIL, finding.seen, finding.fix, VALID.url, 0.0)
        for finding in (from_line(Verdict.FAIL, problem, _CORRECT) for problem in problems)
    ]
