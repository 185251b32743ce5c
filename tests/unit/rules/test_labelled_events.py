"""The shipped rules on labelled series of events, which were written without a look at the rules. For each rule that alerts,
there are two series that it must find, and two that it must not find; one of the latter is a near miss. The events are
complete, and their derived fields come from earlier events of the user, as in a running forwarder."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from forwarder.core.event import Event, Source, read_event
from forwarder.core.time import SECOND, iso
from forwarder.detect.users import Users
from forwarder.rules.evaluation.engine import RuleEngine, Timing
from forwarder.rules.load import load
from tests.fakes.clock import NOON
from tests.stack.process import ROOT

RULES = load([ROOT / "config" / "rules"], {"embargo": ["KP"]})
MINUTE = 60 * SECOND
DAY = 24 * 60  # minutes
LISBON, PORTO, SYDNEY = (38.72, -9.14), (41.15, -8.61), (-33.87, 151.21)

TAKEOVER = "Factor and password changed, and a new network, within an hour"
ADMIN = "Admin role granted from a new device"
TOKEN = "API token created behind an anonymiser"
TRAVEL = "Impossible travel"
COUNTRY = "Sign-in from a listed country"
SPRAY = "Password spray"
FATIGUE = "Push fatigue"
ACCEPTED = "Push fatigue, then a push is accepted"
MOVED = "Session moved to a new network"
REPORTED = "Suspicious activity reported by the user"

Step = tuple[float, dict[str, Any]]


def did(minute: float, event_type: str, **about: Any) -> Step:
    """Return an event, `minute` minutes after noon. Default: an everyday event of Ada, from Lisbon, on her own device."""
    who = about.pop("who", "ada")
    spot, ip = about.pop("spot", LISBON), about.pop("ip", "192.0.2.10")
    debug: dict[str, Any] = {"requestUri": "/api/v1/authn", **about.pop("debug", {})}
    target = about.pop("target", None)
    raw: dict[str, Any] = {
        "eventType": event_type,
        "severity": "INFO",
        "displayMessage": event_type,
        "actor": {"id": f"00u{who}", "type": about.pop("kind", "User"), "alternateId": f"{who}@corp.example"},
        "outcome": {"result": about.pop("result", "SUCCESS"), "reason": about.pop("reason", None)},
        "client": {
            "ipAddress": ip,
            "userAgent": {"rawUserAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0", "os": "Linux"},
            "geographicalContext": {
                "country": about.pop("country", "Portugal"),
                "geolocation": {"lat": spot[0], "lon": spot[1]},
            },
        },
        "securityContext": {"asNumber": about.pop("asn", 64500), "isProxy": about.pop("proxy", False)},
        "device": {"id": about.pop("device", "guo-laptop")},
        "authenticationContext": {"externalSessionId": about.pop("session", "idx-ada-1")},
        "debugContext": {"debugData": debug},
        "target": [{"id": f"00u{target}", "type": "User"}] if target else [],
        "request": {"ipChain": [{"ip": ip, "version": "V4"}]},
    }
    assert not about, about
    return minute, raw


SIGN_IN, SSO, MFA = "user.session.start", "user.authentication.sso", "user.authentication.auth_via_mfa"
DENIED, PUSH = "user.mfa.okta_verify.deny_push", {"factor": "OKTA_VERIFY_PUSH"}
GRANT, RESET = "user.account.privilege.grant", "user.account.reset_password"
REPORT = "user.account.report_suspicious_activity_by_enduser"


def refused(minute: float, who: str, **about: Any) -> Step:
    return did(
        minute, SIGN_IN, who=who, **{"result": "FAILURE", "reason": "INVALID_CREDENTIALS", "ip": "203.0.113.66"} | about
    )


def denied(count: int, every: float = 1, **about: Any) -> list[Step]:
    return [did(n * every, DENIED, result="FAILURE", **about) for n in range(count)]


CASES: list[tuple[str, set[str], list[Step]]] = [
    ("factors reset and password changed by the desk, then Ada in a new network", {TAKEOVER}, [
        did(0, "user.mfa.factor.reset_all", who="desk", target="ada"),
        did(20, "user.account.update_password", who="desk", target="ada"), did(40, SSO, asn=64999, session="idx-2")]),
    ("the new network comes first", {TAKEOVER}, [
        did(0, SSO, asn=64999, session="idx-2"), did(5, "user.mfa.factor.activate", target="ada"),
        did(9, RESET, who="desk", target="ada")]),
    ("all changes, and the known network", set(), [
        did(0, "user.mfa.factor.reset_all", who="desk", target="ada"), did(5, RESET, who="desk", target="ada"), did(9, SSO)]),
    ("the password changes an hour and a minute after the rest", set(), [
        did(0, SSO, asn=64999, session="idx-2"), did(1, "user.mfa.factor.update", target="ada"),
        did(61.5, RESET, who="desk", target="ada")]),

    ("a role from a laptop that the admin never had", {ADMIN}, [did(0, GRANT, device="guo-other", target="eve")]),
    ("a group gets a role, from a new device after a sign-in on it", {ADMIN}, [
        did(0, SIGN_IN, device="guo-other", session="idx-3"), did(4, "group.privilege.grant", device="guo-other", session="idx-3")]),
    ("a role from the admin's own device", set(), [did(0, GRANT, target="eve")]),
    ("a role from a new device, refused by Okta", set(), [did(0, GRANT, device="guo-other", result="FAILURE", target="eve")]),

    ("a token through a proxy", {TOKEN}, [did(0, "system.api_token.create", proxy=True)]),
    ("a token through Tor, which only the debug data know", {TOKEN}, [
        did(0, "system.api_token.create", debug={"tunnels": '[{"anonymous":true,"operator":"TOR"}]'})]),
    ("a token from the office", set(), [did(0, "system.api_token.create")]),
    ("a token used through a proxy", set(), [did(0, "app.oauth2.as.token.grant", proxy=True)]),

    ("Lisbon, and half an hour later Sydney", {TRAVEL}, [
        did(0, SIGN_IN), did(30, SIGN_IN, spot=SYDNEY, ip="198.51.100.9", session="idx-4")]),
    ("an app in Sydney after a factor in Lisbon", {TRAVEL}, [
        did(0, MFA, debug={"factor": "TOKEN"}), did(120, SSO, spot=SYDNEY, ip="198.51.100.9", session="idx-4")]),
    ("Lisbon, and three hours later Porto", set(), [did(0, SIGN_IN), did(180, SIGN_IN, spot=PORTO, ip="198.51.100.8")]),
    ("Sydney half an hour later, by a proxy", set(), [
        did(0, SIGN_IN), did(30, SIGN_IN, spot=SYDNEY, ip="198.51.100.9", proxy=True)]),

    ("a sign-in from a listed country", {COUNTRY}, [
        did(2 * DAY, SIGN_IN, country="North Korea", spot=(39.03, 125.75), ip="198.51.100.70")]),
    ("an app from a listed country, in Okta's other spelling", {COUNTRY}, [
        did(2 * DAY, SSO, country="Democratic People's Republic of Korea", spot=(39.03, 125.75), ip="198.51.100.70")]),
    ("a sign-in from the other Korea", set(), [
        did(2 * DAY, SIGN_IN, country="South Korea", spot=(37.57, 126.98), ip="198.51.100.71")]),
    ("a failed sign-in from a listed country", set(), [
        did(2 * DAY, SIGN_IN, country="North Korea", result="FAILURE", reason="INVALID_CREDENTIALS")]),

    ("twelve users, one address, six minutes", {SPRAY}, [refused(n / 2, f"user{n}") for n in range(12)]),
    ("ten users, some locked out", {SPRAY}, [
        refused(n, f"user{n}", reason="LOCKED_OUT" if n % 2 else "INVALID_CREDENTIALS") for n in range(10)]),
    ("one user forgets the password twenty times", set(), [refused(n / 3, "ada") for n in range(20)]),
    ("nine users, and a tenth ten minutes and a half after the first", set(), [
        *(refused(n, f"user{n}") for n in range(9)), refused(10.5, "user9")]),

    ("six pushes rejected in five minutes", {FATIGUE}, denied(6)),
    ("pushes that time out count too", {FATIGUE}, [
        *denied(3), *(did(4 + n, MFA, debug=PUSH, result="FAILURE") for n in range(2))]),
    ("four rejected pushes", set(), denied(4)),
    ("five rejected pushes, eleven minutes from the first to the last", set(), denied(5, every=2.75)),

    ("five rejected pushes, then one is accepted", {FATIGUE, ACCEPTED}, [*denied(5), did(7, MFA, debug=PUSH)]),
    ("seven rejected, and nineteen minutes later one is accepted", {FATIGUE, ACCEPTED}, [
        *denied(7), did(23, MFA, debug=PUSH)]),
    ("five rejected pushes, then another user accepts", {FATIGUE}, [*denied(5), did(7, MFA, who="bob", debug=PUSH)]),
    ("four rejected pushes, then one is accepted", set(), [*denied(4), did(7, MFA, debug=PUSH)]),

    ("a session goes on from a new network", {MOVED}, [
        did(0, SIGN_IN, session="idx-9"), did(50, SSO, asn=64777, ip="203.0.113.5", session="idx-9")]),
    ("the same eleven hours later", {MOVED}, [
        did(0, SIGN_IN, session="idx-9"), did(660, SSO, asn=64777, ip="203.0.113.5", session="idx-9")]),
    ("a session stays in its network", set(), [did(0, SIGN_IN, session="idx-9"), did(50, SSO, session="idx-9")]),
    ("a second session starts in a new network", set(), [
        did(0, SIGN_IN, session="idx-9"), did(50, SIGN_IN, asn=64777, session="idx-10"), did(51, SSO, asn=64777, session="idx-10")]),

    ("a user reports a sign-in", {REPORTED}, [did(0, REPORT, debug={"suspiciousActivityEventType": SIGN_IN})]),
    ("a user reports a factor, from a phone", {REPORTED}, [did(0, REPORT, device="guo-phone")]),
    ("Okta itself sees a threat", set(), [did(0, "security.threat.detected", kind="SystemPrincipal")]),
    ("an admin resets the password after a report by phone", set(), [did(0, RESET, who="desk", target="ada")]),
]  # fmt: skip


def events(steps: list[Step]) -> Iterator[tuple[Event, dict[str, Any]]]:
    """Return the events of all users ten days ago, and then the steps."""
    names = {raw["actor"]["id"].removeprefix("00u") for _, raw in steps}
    known = [did(-10 * DAY, SIGN_IN, who=name, session=f"idx-{name}-0") for name in sorted(names)]
    for number, (minute, raw) in enumerate([*known, *steps]):
        at = NOON + int(minute * MINUTE)
        raw |= {"uuid": f"labelled-{number}", "published": iso(at, "milliseconds")}
        body = msgspec.json.encode(raw)
        event = read_event(body, org="acme", source=Source.HOOK, received_at=at + SECOND, envelope_id="")
        yield event, msgspec.json.decode(body)


@pytest.mark.parametrize(("wanted", "steps"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_rules_find_the_labelled_series(wanted: set[str], steps: list[Step]) -> None:
    engine, users = RuleEngine(RULES, Timing()), Users()
    found: set[str] = set()
    for event, raw in events(steps):
        for org, names in users.missing([(event, raw)]).items():
            users.keep(org, names, [])
        users.derive(event, raw)
        found |= {alert.rule.title for alert in engine.feed(event, raw).alerts}
    assert found == wanted


def test_each_rule_that_alerts_has_two_of_each_label() -> None:
    titles = {rule.title for rule in RULES.rules if rule.alerts}
    titles |= {rule.title for rule in RULES.correlations if rule.alerts}
    assert titles == set().union(*(wanted for _, wanted, _ in CASES))
    assert all(sum(title in wanted for _, wanted, _ in CASES) >= 2 for title in titles)
    assert len(CASES) == 4 * len(titles) == 40
