"""The Grafana dashboard of what happens in Okta, from metrics alone: event types and numbers, no personal data.

Types other than those that matter most for security have no series before their first event, and a rate never sees the
first value of a series: `_grown` adds it.
"""

from forwarder.core.security_event_types import SECURITY_TYPES, SECURITY_TYPES_OF_LOG
from tools.grafana_panels import ORG, Dashboard, Panel, Query, Row

_ALERT = "ForwarderNoEvents"
_RATE = "[$__rate_interval]"
_SECURITY = "|".join(sorted({*SECURITY_TYPES, *SECURITY_TYPES_OF_LOG}))


def _received(more: str = "") -> str:
    return f"forwarder_events_received_total{{{ORG}{more}}}"


def _grown(by: str, window: str, more: str = "") -> str:
    """Events within the window, with those of series that began in it."""
    counter = _received(more)
    return f"sum by ({by}) ((({counter} unless {counter} offset {window}) or increase({counter}[{window}])) > 0)"


_FAMILY = 'label_replace({0}, "family", "$1", "event_type", "([^.]+[.][^.]+|other).*")'

ACTIVITY = Dashboard(
    "activity",
    "Okta: activity",
    "What happens in the Okta org, and what is unusual about it? Event types and numbers, no personal data.",
    "prometheus",
    "now-24h",
    (
        Row(
            "What happens?",
            (
                (
                    Panel("Events by family", "Which kinds of events happen, and when?", _ALERT, "bars",
                          (Query("sum by (family) (" + _FAMILY.format(f"rate({_received()}{_RATE})") + ") > 0", "{{family}}"),),
                          unit="eps", width=16),
                    Panel("Sources", "Which share of the events comes by the hook, and which only by the System Log?",
                          "ForwarderEventsMissed", "share",
                          (Query(_grown("via", "$__range"), "{{via}}", now=True),), unit="short"),
                ),
                (
                    Panel("Frequent event types", "Which 20 types happen most in the time shown?", _ALERT, "top",
                          (Query(f"topk(20, {_grown('event_type', '$__range')})", "{{event_type}}", now=True),)),
                    Panel("Events by org", "How busy is each org?", _ALERT, "lines",
                          (Query(f"sum by (org) (rate({_received()}{_RATE}))", "{{org}}"),), unit="eps"),
                ),
            ),
            height=9,
        ),
        Row(
            "What matters for security?",
            (
                (
                    Panel("Security events", "Which types that matter for security happened in the last hour and day?",
                          _ALERT, "table",
                          (Query(_grown("event_type", "1h", f',event_type=~"{_SECURITY}"'), now=True),
                           Query(_grown("event_type", "1d", f',event_type=~"{_SECURITY}"'), now=True)),
                          unit="none", hidden=("Time",),
                          columns={"Value #A": "last hour", "Value #B": "last day", "event_type": "event type"},
                          none="None happened within a day."),
                    Panel("Security events over time", "When do they happen?", _ALERT, "bars",
                          (Query(f'sum by (event_type) (increase({_received(f",event_type=~{chr(34)}{_SECURITY}{chr(34)}")}'
                                 f"{_RATE})) > 0", "{{event_type}}"),), unit="short"),
                ),
            ),
            height=10,
        ),
        Row(
            "What is unusual?",
            (
                (
                    Panel("New event types", "Which types did not happen before the last day?", _ALERT, "table",
                          (Query(f"sum by (event_type) ({_received()}) > 0 unless sum by (event_type) "
                                 f"({_received()} offset 1d) > 0", now=True),),
                          unit="none", hidden=("Time",), columns={"Value": "events", "event_type": "event type"},
                          none="None is new."),
                    Panel("Only in the System Log", "Which types come by the System Log and not by the hook?",
                          "ForwarderEventsMissed", "table",
                          (Query(f"""{_grown("event_type", "$__range", ',via="log"')} unless """
                                 f"""{_grown("event_type", "$__range", ',via="hook"')}""", now=True),),
                          unit="none", hidden=("Time",), columns={"Value": "events", "event_type": "event type"},
                          none="The hook has them all."),
                    Panel("This week and last week", "Is it busier or quieter than a week ago?", _ALERT, "lines",
                          (Query(f"sum(rate({_received()}{_RATE}))", "now"),
                           Query(f"sum(rate({_received()}{_RATE} offset 1w))", "a week ago")), unit="eps"),
                ),
            ),
            height=10,
        ),
    ),
)  # fmt: skip
