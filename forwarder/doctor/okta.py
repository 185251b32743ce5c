"""Checks of an Okta org: its address, its clock, our credentials, and how far its System Log was read."""

from collections.abc import Iterable

import httpx

from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.core.time import from_http_date
from forwarder.core.urls import split_url
from forwarder.core.wording import agrees, count
from forwarder.doctor.check import Check, CheckVerdict, Finding, Found, fail, from_line, ok, skip, warn
from forwarder.doctor.context import Context
from forwarder.doctor.network import explain, judge_expiry, request
from forwarder.health_verdict.current import BEHIND, CLOCK_SKEW
from forwarder.okta.hooks.admin import HookAdmin
from forwarder.okta.system_log.pages import SystemLog
from forwarder.settings import Settings

_PUBLIC_PATH = "/.well-known/okta-organization"
"""A path of Okta's API that needs no credentials."""

_FAIL_SKEW = 60.0  # seconds of difference from which the check fails, instead of warning
_HEADING = "Okta API"


async def _reachable(context: Context, name: str) -> Found:
    url = (context.org(name).url or "").rstrip("/")
    try:
        answer = await request("GET", url + _PUBLIC_PATH, timeout=context.timeout)
    except (httpx.HTTPError, OSError) as error:
        return explain(url, error, f"`orgs.{name}.url`")
    date = from_http_date(answer.headers.get("date", ""))
    if date is not None:
        context.clock_ahead[name] = (context.clock.now() - date) / 1e6
    if 300 <= answer.status < 400:
        host = split_url(answer.headers.get("location", "")).netloc or "another address"
        return fail(f"{url} redirects to {host}", f"set `orgs.{name}.url` to the org's own address")
    ended = judge_expiry(
        answer.certificate_end, f"the certificate of {url}", "if a proxy on the way inspects TLS, renew its certificate"
    )
    return ok(f"{url} answers") if ended.verdict is CheckVerdict.OK else ended


async def _clock(context: Context, name: str) -> Found:
    if name not in context.clock_ahead:
        return skip("Okta's response had no date")
    ahead = context.clock_ahead[name]
    # A small difference is normal: Okta's date is in whole seconds, and the response took some time.
    if abs(ahead) < CLOCK_SKEW:
        return ok("this machine's clock agrees with Okta's")
    seen = f"this machine's clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} Okta's"
    fix = (
        "synchronize it with `timedatectl set-ntp true`; `chronyc tracking` or `timedatectl timesync-status` "
        "shows whether that worked"
    )
    return fail(seen, fix) if abs(ahead) >= _FAIL_SKEW else warn(seen, fix)


async def _log(context: Context, name: str) -> Found:
    log = SystemLog(name, context.org(name).url or "", context.okta(name), context.clock, limit=1)
    try:
        await log.first_page(context.clock.now())
    except OktaError as error:
        return _refused(name, error)
    return ok("the credentials may read the System Log")


async def _hooks(context: Context, name: str) -> Found:
    try:
        context.hooks[name] = await HookAdmin(context.okta(name)).all()
    except OktaError as error:
        return _refused(name, error)
    return ok(f"the credentials may read event hooks (number of hooks: {len(context.hooks[name])})")


def split_hint(error: OktaError) -> tuple[str, str]:
    """Return the text of `error` without its hint, and the hint; the hint is empty if the error has none."""
    hint = error.hint if isinstance(error, OktaRefusedError) else ""
    return str(error).removesuffix(hint).removesuffix(". "), hint


def _refused(name: str, error: OktaError) -> Finding:
    fix = f"check `orgs.{name}.url` and `orgs.{name}.api`"
    if not isinstance(error, OktaRefusedError):
        return from_line(CheckVerdict.FAIL, str(error), fix)
    seen, hint = split_hint(error)
    return fail(seen, hint or fix)


async def _polling(context: Context, name: str) -> Found:
    org = (context.status or {}).get("okta", {}).get(name) or {}
    log = org.get("log")
    if not log:
        return skip(
            "the running forwarder does not poll this org; if the org or its `api` is new in the configuration, "
            "restart the forwarder"
        )
    behind = log["complete_up_to_seconds_ago"]
    if behind is None:
        return ok("polling has just begun")
    if behind > BEHIND:
        fix = log["error"] or "lower the load on the org's rate limit, or raise `reconcile.rate_share`"
        return warn(f"reading the System Log is {behind:,.0f} s behind", fix)
    return ok(
        f"the forwarder's reading of the System Log is {behind:,.0f} s behind; {count(log['missed'], 'event')} "
        f"{agrees(log['missed'], 'was', 'were')} missed by the hook"
    )


def with_url(settings: Settings) -> Iterable[str]:
    """Return the names of the orgs that have a `url`."""
    return [name for name, org in settings.orgs.items() if org.url]


def with_api(settings: Settings) -> Iterable[str]:
    """Return the names of the orgs that have the section `api`, which has the credentials for Okta's API."""
    return [name for name, org in settings.orgs.items() if org.api]


def with_hook(settings: Settings) -> Iterable[str]:
    """Return the names of the orgs that have the section `hook`, so that the forwarder manages their hook."""
    return [name for name, org in settings.orgs.items() if org.hook]


CHECKS = (
    Check("okta.reachable", "the org's address: DNS, TLS, certificate", _HEADING, _reachable, with_url),
    Check("okta.clock", "this machine's clock agrees with Okta's", "Clock", _clock, with_url, ("okta.reachable",)),
    Check("okta.log", "the credentials may read the System Log", _HEADING, _log, with_api, ("okta.reachable",)),
    Check("okta.hooks", "the credentials may read event hooks", _HEADING, _hooks, with_hook, ("okta.reachable",)),
    Check(
        "okta.polling",
        "how far the System Log was read",
        "ForwarderReconcileBehind",
        _polling,
        with_api,
        ("forwarder.status",),
    ),
)
