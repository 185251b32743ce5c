"""The offline checks: they open no connection and send nothing.

The tables of `config_check` contain the code of these checks. `forwarder check` runs the same code.
"""

from collections.abc import Iterable, Mapping

from forwarder import config_check
from forwarder.doctor.check import Check, CheckKind, CheckRow, CheckVerdict, Finding, Found, from_line, ok
from forwarder.doctor.context import Context
from forwarder.settings import Settings
from forwarder.threads import in_daemon_thread

CONFIGURATION = "Configuration"
_CORRECT = "correct the configuration, then run `forwarder check`"


async def _valid(context: Context, _: str) -> Found:
    orgs, sinks = ", ".join(context.settings.orgs), ", ".join(context.settings.sinks)
    return ok(f"the configuration is valid (orgs: {orgs}; sinks: {sinks})")


def _offline(id_: str, what: str, ok_text: str, heading: str = CONFIGURATION) -> Check:
    """Return a check that reports the problems and warnings that `config_check` finds for the check `id_`.

    `what` says what the check examines. `ok_text` is the text of the finding if there is no problem and no warning.
    """

    def find(settings: Settings) -> list[Finding]:
        return [
            *_findings(config_check.PROBLEMS, id_, CheckVerdict.FAIL, settings),
            *_findings(config_check.WARNINGS, id_, CheckVerdict.WARN, settings),
        ]

    async def run(context: Context, _: str) -> Found:
        return await in_daemon_thread(lambda: find(context.settings), id_) or ok(ok_text)

    return Check(id_, what, heading, run, kind=CheckKind.OFFLINE)


def _findings(
    table: Mapping[str, config_check.Finder], id_: str, verdict: CheckVerdict, settings: Settings
) -> Iterable[Finding]:
    for line in table[id_](settings) if id_ in table else ():
        yield from_line(verdict, line, _CORRECT)


VALID = Check(
    "config.valid",
    "the file, the environment, secrets, certificates and rules can be read",
    CONFIGURATION,
    _valid,
    kind=CheckKind.OFFLINE,
)

CHECKS = (
    VALID,
    _offline("store.path", "the store's folder exists and is writable", "the folder is writable"),
    _offline(
        "file.path", "the paths of file sinks name files, not folders", "every file sink names a file in a folder"
    ),
    _offline("file.rights", "the files of file sinks are writable", "every file sink can write its file"),
    _offline(
        "listener.address",
        "the listeners' addresses belong to this machine",
        "the listeners' addresses belong to this machine",
        "Ports",
    ),
    _offline(
        "listener.exposure",
        "which machines can connect to the listeners, and whether the listeners use TLS",
        "other machines cannot reach a listener without TLS",
        "Ports",
    ),
    _offline(
        "certificate.expiry",
        "the certificates that the configuration names",
        "no certificate expires within 14 days",
        "ForwarderCertificateExpiring",
    ),
    _offline(
        "certificate.trust",
        "whether clients accept the certificates of the listeners and sinks: their names and their chains",
        "no certificate was found that clients would refuse",
        "Hook address",
    ),
    _offline(
        "environment.unread",
        "environment variables that look like keys of the configuration",
        "every FORWARDER_ variable is read",
    ),
    _offline(
        "config.quantity",
        "times, sizes and numbers that are so small or so large that they are probably a slip",
        "every time, size and number is in the usual range",
    ),
    _offline(
        "config.placeholder",
        "values that were copied from an example, such as `YOUR_TOKEN` or a host of example.com",
        "no value looks like a placeholder",
    ),
    _offline("secret.strength", "the secrets that people choose", "no secret can be guessed", "Secrets"),
    _offline(
        "secret.rights",
        "which users may read the files of secrets",
        "only the owner and the group of each file may read the file",
        "Secrets",
    ),
    _offline("hook.path", "`hook.uri` ends with `path`", "the two paths are the same", "Hook address"),
    _offline(
        "sink.transport",
        "the addresses and credentials of sinks, and whether they cross the network with TLS",
        "no unwise settings of sinks were found",
    ),
    _offline(
        "heartbeat.sink",
        "`ops.heartbeat` has an Elasticsearch sink",
        "`ops.heartbeat` has an Elasticsearch sink, or is not configured",
    ),
    _offline(
        "rules.state",
        "exceptions that have ended, and correlations whose timespan is longer than the store keeps events",
        "no exception of a rule has ended, and the store keeps events for long enough",
    ),
    _offline(
        "zone.declaration",
        "the declared network zones block exactly what they list, and `egress` is set",
        "no problem was found, or no zone is declared",
    ),
    _offline(
        "reactions.state",
        "unwise settings in `reactions`, such as approvals without a notification, or missing scopes",
        "no unwise settings were found",
    ),
)


def refused(problems: Iterable[str]) -> list[CheckRow]:
    """Return a failed row for each of `problems`, the reasons why the configuration cannot be loaded."""
    return [
        CheckRow(VALID.id, VALID.group, CheckVerdict.FAIL, finding.seen, finding.fix, VALID.url, 0.0)
        for finding in (from_line(CheckVerdict.FAIL, problem, _CORRECT) for problem in problems)
    ]
