"""The Grafana dashboard of Okta's events in Elasticsearch. Its data source reads the events and the forwarder's health
documents (`logs-okta.system-*,metrics-okta_forwarder.health-*`); each search says which of the two it wants.
"""

from tools.grafana_panels import GOOD, WARN, Dashboard, Number, Panel, Row, Search, Terms

_EVENTS = "event.dataset:okta.system AND data_stream.namespace:$namespace"
_HEALTH = "event.dataset:okta_forwarder.health AND data_stream.namespace:$namespace"
_HEALTH_OF = "okta_forwarder.health"

COUNT = Number("count", "Events")
PEOPLE = Number("cardinality", "People", "okta.actor.id")
ADDRESSES = Number("cardinality", "Addresses", "source.ip")
LATEST = Number("max", "Latest", "@timestamp")

TYPE = Terms("event.action", "Event type")
WHO = Terms("okta.actor.alternate_id", "Who")
WHOM = Terms("okta.target.display_name", "What or whom", 5)
COUNTRY = Terms("client.geo.country_name", "Country", 200)
OUTCOME = Terms("event.outcome", "Outcome", 3)
REASON = Terms("okta.outcome.reason", "Reason")
FACTOR = Terms("okta.debug_context.debug_data.factor", "Factor")
ADDRESS = Terms("source.ip", "Address")

_SIGN_IN = "event.action:(user.session.start OR user.authentication.*)"
_FAILED = f"{_SIGN_IN} AND event.outcome:failure"
_RESETS = (
    "user.account.lock*", "user.account.unlock*", "user.account.*password", "user.mfa.factor.deactivate",
    "user.mfa.factor.reset_all", "user.mfa.factor.suspend",
)  # fmt: skip
_CHANGES = (
    "user.account.privilege.*", "group.privilege.*", "app.oauth2.client.privilege.*", "iam.*", "policy.lifecycle.*",
    "policy.rule.*", "application.lifecycle.*", "zone.*", "network_zone.*", "system.idp.*",
)  # fmt: skip
_SUPPORT = ("user.session.impersonation.*", "support.org.*")
_SIGNALS = (
    "user.account.report_suspicious_activity_by_enduser", "user.account.lock", "user.risk.*", "security.*",
    "user.mfa.attempt_bypass", "policy.auth_reevaluate.fail",
)  # fmt: skip
_NO = "Nothing of this in the time shown."
_COLUMNS = {
    "event.action": "event type",
    "event.outcome": "outcome",
    "okta.actor.alternate_id": "who",
    "okta.target.display_name": "what or whom",
    "okta.outcome.reason": "reason",
    "okta.debug_context.debug_data.factor": "factor",
    "client.geo.country_name": "country",
    "source.ip": "address",
    "Count": "events",
    "Unique Count": "different",
    "Max": "latest",
    f"{_HEALTH_OF}.states": "state",
}
_SHOWN = ("@timestamp", "event.action", "okta.actor.alternate_id", "okta.target.display_name", "event.outcome",
          "okta.outcome.reason", "source.ip", "client.geo.country_name")  # fmt: skip


def _events(query: str = "", *by: Terms, numbers: tuple[Number, ...] = (COUNT,), over_time: bool = False) -> Search:
    return Search(f"{_EVENTS} AND {query}" if query else _EVENTS, by, numbers, over_time)


def _health(field: str = "@timestamp") -> tuple[Search, ...]:
    return (Search(_HEALTH, (), (Number("max", field, field),), over_time=True),)


def _any(types: tuple[str, ...]) -> str:
    return f"event.action:({' OR '.join(types)})"


def _table(title: str, question: str, search: Search, runbook: str = "ForwarderNoEvents", width: int = 0) -> Panel:
    return Panel(title, question, runbook, "table", (search,), unit="none", none=_NO, columns=_COLUMNS, width=width,
                 units={"Max": "dateTimeAsIso", "latest": "dateTimeAsIso"})  # fmt: skip


TRUST = Row(
    "Can I trust this?",
    (
        (
            Panel("Newest event", "When did the newest event happen?", "ForwarderNoEvents", "stat",
                  (_events(numbers=(LATEST,), over_time=True),), unit="dateTimeFromNow", width=4),
            Panel("Last heartbeat", "When did the forwarder last write a heartbeat? Needs `ops.heartbeat`.", "ForwarderDown", "stat",
                  _health(), unit="dateTimeFromNow", none="no heartbeat", width=4),
            Panel("Missed by the hook", "How many events did the hook not deliver since the forwarder started? They came by "
                  "the System Log.", "ForwarderEventsMissed", "stat", _health(f"{_HEALTH_OF}.missed"), unit="none",
                  steps=((0, GOOD), (1, WARN)), none="no heartbeat", width=4),
            Panel("Hooks down", "To how many hooks does Okta send nothing?", "ForwarderHookDown", "lines",
                  _health(f"{_HEALTH_OF}.hooks_down"), unit="none"),
            Panel("Late by", "How old is the oldest event that waits for a sink?", "ForwarderSinkBehind", "lines",
                  _health(f"{_HEALTH_OF}.sink_lag"), unit="s"),
        ),
        (
            _table("Hooks and sinks", "Which state does each hook and sink have had, and until when?",
                   Search(_HEALTH, (Terms(f"{_HEALTH_OF}.states", "State", 50),), (LATEST,)), "ForwarderHookDown", 12),
            Panel("Events over time", "Is there a gap?", "ForwarderNoEvents", "bars", (_events(over_time=True),), unit="short"),
        ),
    ),
    height=7,
)  # fmt: skip

SIGN_INS = Row(
    "Who signs in, and who is kept out?",
    (
        (
            Panel("Sign-ins by outcome", "When do sign-ins work, and when do they fail?", "ForwarderNoEvents", "bars",
                  (_events(_SIGN_IN, OUTCOME, over_time=True),), width=16),
            Panel("Second factors", "Which second factors are used, and how do they end?", "ForwarderNoEvents", "table",
                  (_events("event.action:user.authentication.auth_via_mfa", FACTOR, OUTCOME),), unit="none", none=_NO,
                  columns=_COLUMNS),
        ),
        (
            _table("Failures by person", "Whose sign-ins fail?", _events(_FAILED, WHO, numbers=(COUNT, ADDRESSES, LATEST))),
            _table("Failures by address", "Where do failing sign-ins come from? One address with many people is a password "
                   "spray.", _events(_FAILED, ADDRESS, numbers=(COUNT, PEOPLE, LATEST))),
            _table("Failures by reason", "Which reasons does Okta give?", _events(_FAILED, REASON, numbers=(COUNT, PEOPLE))),
            _table("Failures by country", "From which countries?", _events(_FAILED, COUNTRY, numbers=(COUNT, PEOPLE))),
        ),
        (
            Panel("Success after failures", "Who got in after five failures or more?", "ForwarderNoEvents", "table",
                  (_events(_SIGN_IN, Terms(WHO.field, WHO.label, 1000), OUTCOME),), unit="none", none=_NO,
                  pivot=("okta.actor.alternate_id", "event.outcome", "Count"),
                  at_least=(("failure", 5), ("success", 1)), width=12),
            Panel("Where from", "From which countries do people sign in?", "ForwarderNoEvents", "map",
                  (_events(_SIGN_IN, COUNTRY),), width=12),
        ),
    ),
    height=9,
)  # fmt: skip

CHANGES = Row(
    "Who changes what?",
    (
        (
            _table("Locks and resets", "Whose accounts were locked, and whose passwords and factors reset?",
                   _events(_any(_RESETS), TYPE, WHO, WHOM)),
            _table("Admin and policy changes", "Who changes permissions, rules and apps?",
                   _events(_any(_CHANGES), WHO, TYPE, WHOM)),
        ),
        (
            _table("API tokens", "Who makes or revokes which API token?",
                   _events("event.action:system.api_token.*", WHO, TYPE, WHOM)),
            _table("Support access", "Who lets Okta's support in, and who acts in another person's name?",
                   _events(_any(_SUPPORT), TYPE, WHO, WHOM)),
            Panel("Signs of an attack", "Which signs of an attack are there, and when?", "ForwarderNoEvents", "bars",
                  (_events(_any(_SIGNALS), TYPE, over_time=True),)),
        ),
    ),
    height=9,
)  # fmt: skip

SESSION = Row(
    "What happened in a session?",
    (
        (
            Panel("Sessions", "Which sessions have the most events? Put one into Session above.", "ForwarderNoEvents", "table",
                  (_events("", Terms("okta.authentication_context.external_session_id", "Session", 50), WHO,
                           numbers=(COUNT, ADDRESSES, LATEST)),),
                  unit="none", none=_NO, columns={"okta.authentication_context.external_session_id": "session", **_COLUMNS},
                  units={"latest": "dateTimeAsIso"}, width=10),
            Panel("Events of the session", "What happened in the chosen session, or in all?", "ForwarderNoEvents", "documents",
                  (_events("okta.authentication_context.external_session_id:$session", numbers=()),), unit="none", none=_NO,
                  fields=_SHOWN, columns=_COLUMNS, width=14),
        ),
    ),
    height=14,
)  # fmt: skip

SECURITY = Dashboard(
    "security",
    "Okta: security",
    "Is someone attacking our accounts, did they get in, and can I trust what I see?",
    "elasticsearch",
    "now-24h",
    (TRUST, SIGN_INS, CHANGES, SESSION),
)
