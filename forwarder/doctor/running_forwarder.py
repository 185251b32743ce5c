"""Checks of the running forwarder and of the ports of its listeners."""

import contextlib
import socket
from collections.abc import Iterable

import httpx
import msgspec

from forwarder import config_check
from forwarder.config.hosts import Listen
from forwarder.control_socket.client import is_running
from forwarder.doctor.check import Check, CheckVerdict, Finding, Found, fail, ok, skip, warn
from forwarder.doctor.context import Context
from forwarder.doctor.network import request
from forwarder.safe_files import lock_owner
from forwarder.settings import Settings
from forwarder.store.settings import lock_path
from forwarder.threads import in_daemon_thread

_NO_FORWARDER = "because no forwarder runs on this store"
_LARGEST_STATUS = 4 << 20
"""The limit for the size of the status, in bytes. Each org and each sink adds about 1 kB to the status."""


class _Problem(msgspec.Struct):
    level: str
    text: str
    hint: str
    runbook: str


class _Log(msgspec.Struct):
    complete_up_to_seconds_ago: float | None
    error: str | None
    missed: int


class _Org(msgspec.Struct):
    log: _Log | None = None


class _Status(msgspec.Struct):
    """The response of `/api/status`: only the fields that the checks read."""

    version: str
    uptime_seconds: float
    problems: list[_Problem]
    okta: dict[str, _Org | None] = {}


async def _running(context: Context, _: str) -> Found:
    path = context.settings.store.path
    context.is_running = await in_daemon_thread(lambda: is_running(path), "control")
    owner = await in_daemon_thread(lambda: lock_owner(lock_path(path)), "lock")
    if context.is_running:
        return ok("a forwarder runs on this store" + (f" (pid {owner})" if owner else ""))
    if owner:
        return warn(
            f"the process with the pid {owner} uses the store, but no forwarder answers",
            "if the process is a `backfill` or a `replay`, wait until it ends; otherwise stop the process, then "
            "start `forwarder run`",
        )
    return warn("no forwarder runs on this store", "start it with `forwarder run`")


async def _answers(context: Context, _: str) -> Found:
    if not context.is_running:
        return skip(_NO_FORWARDER)
    ops = context.settings.ops
    url = f"{ops_url(context.settings)}/api/status"
    headers = {"authorization": f"Bearer {ops.token.reveal()}"} if ops.token else {}
    try:
        # The certificate is not verified: it may not name this address, and the connection stays on this machine.
        answer = await request(
            "GET", url, headers=headers, timeout=context.timeout, verify=False, limit=_LARGEST_STATUS
        )
        if answer.status in {401, 403}:
            fix = "set `ops.token`, or set `ops.listen` to a loopback address; then restart the forwarder"
            return fail(f"{url} shows the status only to loopback addresses, or to requests with `ops.token`", fix)
        decoded = msgspec.json.decode(answer.body)
        status = msgspec.convert(decoded, _Status)
    except (httpx.HTTPError, OSError, ValueError, RecursionError):
        fix = "if `ops.listen` was changed after the forwarder started, restart the forwarder"
        return fail(f"the forwarder does not answer at {url}", fix)
    context.status = decoded
    return ok(f"version {status.version}, up for {status.uptime_seconds:,.0f} s")


async def _problems(context: Context, _: str) -> Found:
    """Return the problems that the running forwarder reports. The status page shows the same problems."""
    assert context.status is not None
    return [
        Finding(
            CheckVerdict.FAIL if problem["level"] == "critical" else CheckVerdict.WARN,
            problem["text"],
            problem["hint"],
            problem["runbook"],
        )
        for problem in context.status["problems"]
    ] or ok("the forwarder reports no problem")


def local_address(listen: Listen) -> str:
    """Return the `host:port` by which this machine reaches the listener at `listen`.

    The host is a loopback address if the listener listens on all addresses (0.0.0.0 or [::]).
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104
    return f"[{host}]:{listen.port}" if ":" in host else f"{host}:{listen.port}"


def ops_url(settings: Settings) -> str:
    """Return the URL by which this machine reaches the ops listener, without a path."""
    return f"{settings.ops.scheme}://{local_address(settings.ops.listen)}"


def _listener_keys(settings: Settings) -> Iterable[str]:
    return [key for key, _ in config_check.listeners(settings)]


async def _port(context: Context, key: str) -> Found:
    listen = dict(config_check.listeners(context.settings))[key]
    if not listen.port:
        return ok(f"the port in `{key}` is 0, so the forwarder uses any free port")
    occupied = await in_daemon_thread(lambda: _is_occupied(listen), "port")
    if context.is_running:
        if occupied:
            return await _check_listener(context, key, listen)
        return fail(
            f"the forwarder runs, but nothing listens at {listen}",
            "the forwarder was started with another address; restart it to apply the configuration",
        )
    hint = f"stop that program (`ss -ltnp 'sport = :{listen.port}'` shows it), or choose another port in `{key}`"
    if occupied:
        return fail(f"another program listens at {listen}", hint)
    return await in_daemon_thread(lambda: _can_bind(key, listen, hint), "port")


def _is_occupied(listen: Listen) -> bool:
    host, _, port = local_address(listen).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _can_bind(key: str, listen: Listen, hint: str) -> Finding:
    """Check that the current user may listen at the address `listen`, by binding a socket for a moment.

    `hint` is what the operator can do if another program uses the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except PermissionError:
        fix = f"choose a port above 1023 in `{key}`, or give the unit AmbientCapabilities=CAP_NET_BIND_SERVICE"
        return fail(f"this user may not listen at {listen}", fix)
    except socket.gaierror as error:
        return fail(f"{listen.host} cannot be resolved ({error.strerror})", f"write an IP address in `{key}`")
    except OSError as error:
        return fail(f"{listen} cannot be used ({error.strerror})", hint)
    return ok(f"{listen} is free")


async def _check_listener(context: Context, key: str, listen: Listen) -> Found:
    """Check that the program that listens at `listen` is this forwarder."""
    secure = key.replace("listen", "tls") in dict(context.settings.tls_listeners())
    url = f"{'https' if secure else 'http'}://{local_address(listen)}"
    answer = None
    with contextlib.suppress(httpx.HTTPError, OSError):
        path = "/livez" if key == "ops.listen" else "/okta-forwarder-doctor"
        answer = await request("GET", url + path, timeout=context.timeout, verify=False)
    ours = answer is not None and (answer.body == b"alive\n" if key == "ops.listen" else answer.status in {401, 404})
    if ours:
        return ok(f"the forwarder listens at {listen}")
    return fail(
        f"the program that listens at {listen} is not this forwarder",
        f"`ss -ltnp 'sport = :{listen.port}'` shows that program; if `{key}` was changed, restart the forwarder",
    )


CHECKS = (
    Check("forwarder.running", "a forwarder runs on the store", "ForwarderDown", _running),
    Check("forwarder.status", "the running forwarder answers", "Ports", _answers, needs=("forwarder.running",)),
    Check(
        "forwarder.problems",
        "the problems that the running forwarder reports",
        "ForwarderNotReady",
        _problems,
        needs=("forwarder.status",),
    ),
    Check(
        "listener.port",
        "the listeners' ports are free, or this forwarder uses them",
        "Ports",
        _port,
        _listener_keys,
        needs=("listener.address", "forwarder.running"),
    ),
)
