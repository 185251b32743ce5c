"""Checks of an Elasticsearch sink: the hosts, the credentials and their rights, the templates and the mapping."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from forwarder.core.errors import SetupError, SinkError
from forwarder.doctor.check import Check, CheckVerdict, Finding, Found, fail, from_line, ok, skip, warn
from forwarder.doctor.context import Context
from forwarder.doctor.network import certificate_end, judge_expiry
from forwarder.settings import Settings
from forwarder.setup.elasticsearch import template_bodies
from forwarder.setup.elasticsearch.capabilities import check_privileges
from forwarder.setup.elasticsearch.cluster import (
    Cluster,
    ClusterResponse,
    MissingPrivilegeError,
    is_unknown_path,
    reason,
)
from forwarder.setup.elasticsearch.responses import About, ApiKeys, Identity, Privileges, excerpt, read
from forwarder.setup.elasticsearch.search_check import Deviation, find_deviations, find_wrong_types
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

if TYPE_CHECKING:
    from forwarder.setup.elasticsearch.admin import ElasticsearchAdmin

_HEADING = "Elasticsearch"
_IDENTITY = "GET /_security/_authenticate"
_RIGHTS = ("create_doc", "auto_configure")
_SETUP_KEY_HINT = (
    "set FORWARDER__SINKS__NAME__API_KEY to a key that may read templates and mappings, and run "
    "`forwarder doctor elasticsearch` once; docs/elasticsearch.md lists the privileges"
)


def sinks(settings: Settings) -> Iterable[str]:
    """Return the names of the Elasticsearch sinks."""
    return [name for name, sink in settings.sinks.items() if isinstance(sink, ElasticsearchSinkSettings)]


def _with_tls(settings: Settings) -> Iterable[str]:
    return [name for name in sinks(settings) if _sink(settings, name).uses_tls]


def _sink(settings: Settings, name: str) -> ElasticsearchSinkSettings:
    sink = settings.sinks[name]
    assert isinstance(sink, ElasticsearchSinkSettings)
    return sink


def admin(context: Context, name: str, hosts: tuple[str, ...] = ()) -> "ElasticsearchAdmin":
    """Return a client for the cluster of the sink `name`.

    The client sends to `hosts`; if `hosts` is empty, to the hosts in the settings of the sink.
    """
    from forwarder.setup.elasticsearch.admin import ElasticsearchAdmin  # noqa: PLC0415  # its library takes a second

    sink = _sink(context.settings, name)
    return ElasticsearchAdmin(sink.model_copy(update={"hosts": hosts}) if hosts else sink, context.timeout)


async def _reachable(context: Context, name: str) -> Found:
    hosts = _sink(context.settings, name).hosts
    answers = await asyncio.gather(*(_ask(context, name, host) for host in hosts))
    broken = [answer for answer in answers if answer.verdict is not CheckVerdict.OK]
    if broken and len(broken) < len(hosts):
        return [warn(each.seen, each.fix) for each in broken]
    return broken or answers[0]


async def _ask(context: Context, name: str, host: str) -> Finding:
    try:
        async with admin(context, name, (host,)) as cluster:
            answer = await cluster.call("GET", "/")
    except SinkError as error:
        return from_line(CheckVerdict.FAIL, str(error), f"check `sinks.{name}.hosts`")
    if answer.status in {401, 403}:  # the checks of the credentials and rights say more
        return ok(f"{host} answers")
    fix = f"check `sinks.{name}.hosts`: the address may be that of a proxy or of another server"
    if answer.status != 200:
        return fail(f"{host} answers {answer.status}: {excerpt(answer.body)}", fix)
    try:
        about = read(answer.body, About, "GET /")
    except SetupError:
        return fail(f"{host} answers, but not as Elasticsearch does: {excerpt(answer.body)}", fix)
    return ok(f"{host} is Elasticsearch {about.version.number}")


async def _certificate(context: Context, name: str) -> Found:
    found = []
    for host in _sink(context.settings, name).hosts:
        parts = urlsplit(host)
        with suppress(OSError):  # the check of the hosts names a host that cannot be reached
            end = await certificate_end(parts.hostname or "", parts.port or 443)
            found.append(judge_expiry(end, f"the certificate of {host}", "renew it on that server"))
    return found or skip("no host can be reached")


async def _credentials(context: Context, name: str) -> Found:
    async with admin(context, name) as cluster:
        answer = await cluster.call(*_IDENTITY.split())
    if answer.status == 401:
        return fail(
            f"Elasticsearch does not accept the credentials (401: {reason(answer)[:200]})",
            f"set a valid `sinks.{name}.api_key` or `basic_auth`; docs/elasticsearch.md says how to create a key",
        )
    if answer.status in {400, 404, 405} or is_unknown_path(answer):  # only with security, Elasticsearch has this path
        return ok("security is off on this server, so it asks for no credentials")
    if answer.status != 200:
        return fail(
            f"Elasticsearch answers {answer.status} to the question whose credentials these are: {reason(answer)[:200]}",
            "look at the log and the health of Elasticsearch, then run this again",
        )
    about = read(answer.body, Identity, _IDENTITY)
    if about.api_key:
        return ok(f"the API key {about.api_key.name or about.api_key.id} is valid")
    return ok(f"the user {about.username} is known")


async def _key(context: Context, name: str) -> Found:
    """Check when the API key of the sink expires. Elasticsearch lets every key read its own expiry."""
    async with admin(context, name) as cluster:
        answer = await cluster.call(*_IDENTITY.split())
        key = read(answer.body, Identity, _IDENTITY).api_key if answer.status == 200 else None
        if key is None:
            return skip("the sink uses no API key")
        path = f"/_security/api_key?id={quote(key.id, safe='')}"
        answer = await cluster.call("GET", path)
    return _judge_key(answer, path, name)


def _judge_key(answer: ClusterResponse, path: str, name: str) -> Finding:
    keys = read(answer.body, ApiKeys, f"GET {path}").api_keys if answer.status == 200 else None
    if not keys:
        return skip("this server does not say when the key expires")
    expiration = keys[0].expiration
    if expiration is None:
        return ok("the API key does not expire")
    try:
        end = datetime.fromtimestamp(expiration / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return skip(f"this server says that the key expires at {expiration:g}, which is not a valid time")
    return judge_expiry(
        end, "the API key", f"create a new key (docs/elasticsearch.md), and put it into `sinks.{name}.api_key`"
    )


async def _rights(context: Context, name: str) -> Found:
    settings, sink = context.settings, _sink(context.settings, name)
    streams = [
        sink.data_stream,
        *([sink.alert_stream] if settings.rules.files else ()),
        *([sink.action_stream] if settings.reactions.on else ()),
        *([sink.health_stream] if settings.ops.heartbeat else ()),
    ]
    wanted = {"index": [{"names": streams, "privileges": list(_RIGHTS)}]}
    async with admin(context, name) as cluster:
        answer = await Cluster(cluster).offer("POST", "/_security/user/_has_privileges", Privileges, wanted)
    if answer is None:
        return ok("security is off on this server, so everything is allowed")
    found = []
    for stream in streams:
        has = answer.index.get(stream, {})
        missing = [f"`{right}`" for right in _RIGHTS if not has.get(right)]
        if missing:
            fix = f"create a key with both privileges (docs/elasticsearch.md), and put it into `sinks.{name}.api_key`"
            found.append(fail(f"the credentials lack {' and '.join(missing)} on {stream}", fix))
    return found or ok(f"the credentials may write to {' and '.join(streams)}")


async def _templates(context: Context, name: str) -> Found:
    sink = _sink(context.settings, name)
    async with admin(context, name) as cluster:
        try:
            await check_privileges(Cluster(cluster), rollover=False, ilm=False)
        except MissingPrivilegeError as error:
            return skip(f"templates cannot be read: {error}", _SETUP_KEY_HINT)
        try:
            found = await find_deviations(
                cluster,
                template_bodies.target_of(sink),
                template_bodies.retention_of(sink),
                other_streams=bool(context.settings.rules.files or context.settings.ops.heartbeat),
            )
        except SetupError as error:
            return fail(str(error), f"correct this, then run `forwarder setup elasticsearch --sink {name}`")
    return [_judged(each, f"run `forwarder setup elasticsearch --sink {name}`") for each in found] or ok(
        f"the templates and the pipeline have version {template_bodies.VERSION}, as expected"
    )


async def _mapping(context: Context, name: str) -> Found:
    stream = _sink(context.settings, name).data_stream
    async with admin(context, name) as cluster:
        try:
            found = await find_wrong_types(cluster, stream)
        except MissingPrivilegeError:
            return skip(f"the credentials may not read the mapping of {stream}", _SETUP_KEY_HINT)
    if found is None:
        return ok(f"{stream} will be created with the first event")
    fix = (
        f"if an index or alias has the name {stream}, remove or rename it; if a field has a wrong type, run `forwarder setup "
        f"elasticsearch --sink {name} --rollover`, then reindex the older index"
    )
    return [_judged(each, fix) for each in found] or ok("addresses, times and names have the right types")


def _judged(deviation: Deviation, fix: str) -> Finding:
    return (fail if deviation.severe else warn)(deviation.text, fix)


_REACHED = ("elasticsearch.reachable",)
_KNOWN = ("elasticsearch.credentials",)

CHECKS = (
    Check("elasticsearch.reachable", "each host answers, and is Elasticsearch", _HEADING, _reachable, sinks),
    Check(
        "elasticsearch.certificate",
        "the hosts' certificates",
        "ForwarderCertificateExpiring",
        _certificate,
        _with_tls,
        _REACHED,
    ),
    Check("elasticsearch.credentials", "the credentials are accepted", _HEADING, _credentials, sinks, _REACHED),
    Check("elasticsearch.key", "when the API key expires", _HEADING, _key, sinks, _KNOWN),
    Check("elasticsearch.rights", "the credentials may write events", _HEADING, _rights, sinks, _KNOWN),
    Check(
        "elasticsearch.templates",
        "the forwarder's templates and pipeline exist and are current; no other template applies to the data stream",
        _HEADING,
        _templates,
        sinks,
        _KNOWN,
    ),
    Check(
        "elasticsearch.mapping",
        "the fields of the data stream have the types that the forwarder's template sets",
        _HEADING,
        _mapping,
        sinks,
        _KNOWN,
    ),
)
