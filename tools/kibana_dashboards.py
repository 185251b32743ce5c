"""What the Kibana dashboards show: every panel as data. `tools/make_kibana.py` turns it into saved objects.

A panel answers one question, which Kibana shows as its description. Filters are KQL, and only as much of it as
tests/e2e/kql.py reads: `field: value`, values in brackets, `*`, quotes, and, or, not. A field is used only if the
index template maps it and documents have it; tests hold that, and that no panel is empty on the demo's events.
"""

from tools.kibana_panels import Dashboard, Measure, Panel, Top

DELAY = "delivery_delay"
"""Seconds from an event in Okta until it was indexed; the data view computes it."""

COUNT = Measure("count", "Events")
HEARTBEAT = "okta_forwarder.health"
STATE = Top(f"{HEARTBEAT}.states", "State", 20)
LATEST = Measure("latest", "Latest", "@timestamp")
PEOPLE = Measure("unique", "People", "okta.actor.id")
ADDRESSES = Measure("unique", "Addresses", "source.ip")

TYPE = Top("event.action", "Event type")
WHO = Top("okta.actor.alternate_id", "Who")
WHOM = Top("okta.target.display_name", "What or whom", 5)
ADDRESS = Top("source.ip", "Address", of="ip")
COUNTRY = Top("client.geo.country_name", "Country")
OUTCOME = Top("event.outcome", "Outcome", 3)
REASON = Top("okta.outcome.reason", "Reason")
FACTOR = Top("okta.debug_context.debug_data.factor", "Factor")
LEVEL = Top("okta.debug_context.debug_data.risk_level", "Risk", 3)
RESULT = Top("okta.outcome.result", "Result")
CITY = Top("client.geo.city_name", "City")

SESSION = Top("okta.authentication_context.external_session_id", "Session")

SIGN_IN = "event.action: (user.session.start or user.authentication.*)"
SECOND_FACTOR = "event.action: user.authentication.auth_via_mfa"
FAILED = "event.outcome: failure"
PROXY = "okta.security_context.is_proxy: true"

HIGH = "okta.debug_context.debug_data.risk_level: HIGH"
SUSPECTED = 'okta.debug_context.debug_data.threat_suspected: "true"'
REPORTED = "event.action: user.account.report_suspicious_activity_by_enduser"
LOCKED = "event.action: user.account.lock"
BREACHED = "event.action: security.breached_credential.detected"
PHISHING = 'okta.outcome.reason: "FastPass declined phishing attempt"'
ATTACKS = "event.action: (security.threat.detected or security.request.blocked or user.mfa.attempt_bypass)"
SIGNALS = (
    "event.action: (user.account.report_suspicious_activity_by_enduser or user.account.lock or user.risk.* or "
    "security.breached_credential.detected or security.threat.detected or security.attack.start or "
    "security.request.blocked or user.mfa.attempt_bypass or policy.auth_reevaluate.fail or "
    "user.session.impersonation.initiate)"
)

RIGHTS = (
    "event.action: (user.account.privilege.* or group.privilege.* or app.oauth2.client.privilege.* or iam.role.* or "
    "iam.resourceset.*)"
)
GRANTS = "event.action: (user.account.privilege.grant or group.privilege.grant or app.oauth2.client.privilege.grant)"
POLICIES = (
    "event.action: (policy.lifecycle.* or policy.rule.* or application.policy.sign_on.rule.* or "
    "application.policy.sign_on.update)"
)
APPS = "event.action: application.lifecycle.*"
ZONES = "event.action: (zone.* or network_zone.*)"
SUPPORT = "event.action: user.session.impersonation.*"
TOKENS = "event.action: system.api_token.*"
RESETS = "event.action: (user.mfa.factor.reset_all or user.mfa.factor.deactivate or user.mfa.factor.suspend)"
PROVIDERS = "event.action: system.idp.*"
CHANGES = " or ".join(f"({part})" for part in (RIGHTS, POLICIES, APPS, ZONES, TOKENS, RESETS, PROVIDERS))

LATEST_COLUMNS = (TYPE, WHO, WHOM, OUTCOME, REASON, ADDRESS, COUNTRY)

OVERVIEW = Dashboard(
    "overview",
    "Okta: overview",
    "What happens in the Okta org, and does it arrive in time?",
    "now-24h",
    (
        (
            Panel("Events", "How many events are there?", "number"),
            Panel("Actors", "How many people and systems act?", "number", measures=(PEOPLE,)),
            Panel("Failures", "How much goes wrong?", "number", filter=FAILED),
            Panel("Addresses", "From how many addresses?", "number", measures=(ADDRESSES,)),
            Panel("Typical delay", "How long does an event take from Okta to here, in seconds (median)?", "number",
                  measures=(Measure("median", "Typical delay (s)", DELAY),)),
            Panel("Long delay", "How long does one event in twenty take at least, in seconds?", "number",
                  measures=(Measure("p95", "Long delay (s)", DELAY),)),
        ),
        (
            Panel("Newest event", "Can I trust this: when did the newest event happen?", "number", measures=(LATEST,)),
            Panel("Last heartbeat", "When did the forwarder last write a heartbeat?", "number", measures=(LATEST,), health=True),
            Panel("Missed by the hook", "How many events did the hook not deliver since the forwarder started?", "number",
                  measures=(Measure("largest", "Missed", f"{HEARTBEAT}.missed"),), health=True),
            Panel("Hooks and sinks", "Which state does each hook and sink have had, and until when?", "table", (STATE,),
                  (LATEST,), health=True, width=24),
        ),
        (
            Panel("Events over time", "What kinds of events happen, and when?", "bars", width=36,
                  by=(Top("event.category", "Category", 7),)),
            Panel("Outcomes", "How do they end?", "donut", (OUTCOME,)),
        ),
        (
            Panel("Frequent event types", "What happens most?", "table", (TYPE,), (COUNT, PEOPLE, LATEST)),
            Panel("Busy actors", "Who acts most?", "table", (WHO,), (COUNT, LATEST)),
            Panel("Countries", "From which countries?", "table", (COUNTRY,), (COUNT, PEOPLE)),
        ),
        (
            Panel("Delay over time", "How long do events take from Okta to here, in seconds, and when did it change?",
                  "lines", measures=(Measure("median", "Median (s)", DELAY), Measure("p95", "95 of 100 (s)", DELAY))),
            Panel("Why things fail", "Which reasons does Okta give?", "table", (REASON, TYPE), filter=FAILED),
        ),
        (
            Panel("Sessions", "Which sessions have the most events? Choose one above to see only its events, in order.",
                  "table", (SESSION, WHO), (COUNT, ADDRESSES, LATEST)),
        ),
        (Panel("Latest events", "What happened just now?", "events", LATEST_COLUMNS),),
    ),
)  # fmt: skip

SIGN_INS = Dashboard(
    "sign-ins",
    "Okta: sign-ins",
    "Who signs in, from where and how, and who is kept out?",
    "now-24h",
    (
        (
            Panel("Sign-ins that worked", "How many sign-ins worked?", "number",
                  filter=f"{SIGN_IN} and event.outcome: success"),
            Panel("Sign-ins that failed", "How many failed?", "number", filter=f"{SIGN_IN} and {FAILED}"),
            Panel("People", "How many people tried?", "number", measures=(PEOPLE,), filter=SIGN_IN),
            Panel("Second factor refused", "How often was a second factor wrong, refused or too late?", "number",
                  filter=f"{SECOND_FACTOR} and {FAILED}"),
            Panel("Locked out", "How many tries met a locked account?", "number",
                  filter=f"{SIGN_IN} and okta.outcome.reason: LOCKED_OUT"),
            Panel("Through a proxy", "How many came through a proxy?", "number", filter=f"{SIGN_IN} and {PROXY}"),
        ),
        (
            Panel("Sign-ins over time", "When do sign-ins work, and when do they fail?", "bars", (OUTCOME,),
                  filter=SIGN_IN, width=36),
            Panel("Second factors", "Which second factors are used?", "donut", (FACTOR,), filter=SECOND_FACTOR),
        ),
        (
            Panel("Failures by reason", "Why do sign-ins fail?", "table", (REASON,), (COUNT, PEOPLE, LATEST),
                  f"{SIGN_IN} and {FAILED}"),
            Panel("Failures by person", "Whose sign-ins fail?", "table", (WHO,), (COUNT, ADDRESSES, LATEST),
                  f"{SIGN_IN} and {FAILED}"),
            Panel("Failures by address", "Where do failing sign-ins come from? One address with many people is a "
                  "password spray.", "table", (ADDRESS,), (COUNT, PEOPLE, LATEST), f"{SIGN_IN} and {FAILED}"),
        ),
        (
            Panel("Countries", "From which countries do people sign in, and how does it end?", "table",
                  (COUNTRY, OUTCOME), (COUNT, PEOPLE), SIGN_IN),
            Panel("Proxies", "Who signs in through a proxy, and from whose network?", "table",
                  (WHO, Top("okta.security_context.isp", "Network", 3)), (COUNT, LATEST), f"{SIGN_IN} and {PROXY}"),
            Panel("Second factors that failed", "Which second factors fail, and why?", "table", (FACTOR, REASON),
                  filter=f"{SECOND_FACTOR} and {FAILED}"),
        ),
        (
            Panel("Success after failures", "Who failed often and then got in?", "table", (Top(WHO.field, WHO.label, 20),),
                  (Measure("count", "Failures", filter=FAILED),
                   Measure("count", "Successes", filter="event.outcome: success"), ADDRESSES, LATEST), SIGN_IN),
        ),
        (
            Panel("Browsers", "With which browsers?", "donut",
                  (Top("okta.client.user_agent.browser", "Browser", 7),), filter=SIGN_IN),
            Panel("Systems", "On which systems?", "donut", (Top("okta.client.user_agent.os", "System", 7),),
                  filter=SIGN_IN),
            Panel("Ways to sign in", "By which kind of sign-in?", "donut", (TYPE,), filter=SIGN_IN),
        ),
        (Panel("Latest failures", "Which sign-ins failed just now?", "events",
               (TYPE, WHO, REASON, FACTOR, ADDRESS, CITY, COUNTRY), filter=f"{SIGN_IN} and {FAILED}"),),
    ),
)  # fmt: skip

THREATS = Dashboard(
    "threats",
    "Okta: threats",
    "Is someone attacking our accounts, and did they get in?",
    "now-7d",
    (
        (
            Panel("High risk", "How many sign-ins does Okta judge as high risk?", "number", filter=HIGH),
            Panel("Threat suspected", "How many requests come from addresses that ThreatInsight suspects?", "number",
                  filter=SUSPECTED),
            Panel("Reported by people", "How often did people report activity that was not theirs?", "number",
                  filter=REPORTED),
            Panel("Lockouts", "How many accounts were locked after too many tries?", "number", filter=LOCKED),
            Panel("Breached passwords", "How many passwords were found in a breach?", "number", filter=BREACHED),
            Panel("Phishing stopped", "How often did FastPass refuse a phishing site?", "number", filter=PHISHING),
        ),
        (
            Panel("Risk over time", "When are sign-ins risky?", "bars", (LEVEL,), width=36,
                  filter="okta.debug_context.debug_data.risk_level: (MEDIUM or HIGH)"),
            Panel("Unusual behavior", "What is unusual about them?", "donut",
                  (Top("okta.debug_context.debug_data.risk_behaviors", "Behavior", 7),)),
        ),
        (
            Panel("Risky sign-ins that worked", "Who got in despite a high risk?", "table", (WHO,),
                  (COUNT, ADDRESSES, LATEST), f"{HIGH} and event.outcome: success"),
            Panel("Suspected addresses", "Which addresses are suspected, and how many people do they try?", "table",
                  (ADDRESS, COUNTRY), (COUNT, PEOPLE), SUSPECTED),
            Panel("Reasons for risk", "Why does Okta see a risk?", "table",
                  (Top("okta.debug_context.debug_data.risk_reasons", "Reason"),), (COUNT, PEOPLE, LATEST)),
        ),
        (
            Panel("Signals over time", "Which signs of an attack are there, and when?", "bars", (TYPE,),
                  filter=SIGNALS),
        ),
        (
            Panel("Locked and reported", "Whose accounts were locked or reported?", "table", (WHO, TYPE),
                  (COUNT, LATEST), f"({LOCKED}) or ({REPORTED})"),
            Panel("Phishing, by person", "Whom did FastPass save from a phishing site?", "table", (WHO,),
                  (COUNT, ADDRESSES, LATEST), PHISHING),
            Panel("Attacks that Okta saw", "What did ThreatInsight and Okta's own guards see or stop?", "table",
                  (TYPE, OUTCOME), (COUNT, LATEST), ATTACKS, system_log_only=True),
        ),
        (Panel("Latest signals", "Which signs of an attack came just now?", "events",
               (TYPE, WHO, WHOM, OUTCOME, LEVEL, ADDRESS, COUNTRY),
               filter=f"({SIGNALS}) or ({HIGH}) or ({SUSPECTED}) or ({PHISHING})"),),
    ),
)  # fmt: skip

ADMIN_CHANGES = Dashboard(
    "admin-changes",
    "Okta: admin changes",
    "Who changed permissions, rules and locks of the org?",
    "now-7d",
    (
        (
            Panel("Rights granted", "How often were admin rights granted?", "number", filter=GRANTS),
            Panel("Policies", "How often was a policy or a rule changed?", "number", filter=POLICIES),
            Panel("Apps", "How often was an app added, changed or removed?", "number", filter=APPS),
            Panel("API tokens", "How many API tokens were made?", "number",
                  filter="event.action: system.api_token.create"),
            Panel("Factors taken away", "How often were factors of a user reset, removed or suspended?", "number",
                  filter=RESETS),
            Panel("Identity providers", "How often was an identity provider added or changed?", "number",
                  filter=PROVIDERS),
        ),
        (
            Panel("Changes over time", "What is changed, and when?", "bars", (TYPE,), filter=CHANGES, width=36),
            Panel("Who changes things", "Who changes most?", "donut", (WHO,), filter=CHANGES),
        ),
        (
            Panel("Rights", "Who gives or takes rights, and whose?", "table", (WHO, TYPE, WHOM), (COUNT, LATEST),
                  RIGHTS),
            Panel("Policies and rules", "Who changes which policy?", "table", (WHO, TYPE, WHOM), (COUNT, LATEST),
                  POLICIES),
        ),
        (
            Panel("App changes", "Who adds, changes or removes which app?", "table", (WHO, TYPE, WHOM),
                  (COUNT, LATEST), APPS),
            Panel("Network zones", "Who changes which network zone?", "table", (WHO, TYPE, WHOM), (COUNT, LATEST),
                  ZONES, system_log_only=True),
        ),
        (
            Panel("Support access", "Whom did Okta's support act as, and who allowed it?", "table", (WHO, TYPE, WHOM),
                  (COUNT, LATEST), SUPPORT, system_log_only=True),
            Panel("Tokens", "Who makes or revokes which API token?", "table", (WHO, TYPE, WHOM), (COUNT, LATEST),
                  TOKENS),
            Panel("Factors", "Who takes factors away, and from whom?", "table", (WHO, TYPE, WHOM), (COUNT, LATEST),
                  RESETS),
            Panel("Providers", "Who changes which identity provider?", "table", (WHO, TYPE, WHOM), (COUNT, LATEST),
                  PROVIDERS),
        ),
        (Panel("Latest changes", "What was changed just now?", "events",
               (TYPE, WHO, WHOM, RESULT, ADDRESS, COUNTRY), filter=CHANGES),),
    ),
)  # fmt: skip

DASHBOARDS = (OVERVIEW, SIGN_INS, THREATS, ADMIN_CHANGES)
