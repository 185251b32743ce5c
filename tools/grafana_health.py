"""The Grafana dashboard of the forwarder itself: one question a row.

A quantile of nothing is NaN, and so is a share of nothing: `>= 0` and `> 0` leave them out, and the panel has a gap.
"""

from tools.grafana_panels import BAD, GOOD, HERE, ORG, PLAIN, SINK, WARN, Dashboard, Panel, Query, Row

_RATE = "[$__rate_interval]"
_UP = {"0": ("Down", BAD), "1": ("Up", GOOD)}
_ALERTS = 'ALERTS{alertname=~"Forwarder.*",alertstate="firing"}'
_MISSED = f"sum by (org) (increase(forwarder_events_missed_total{{{ORG}}}[$__range]))"
_HOOKED = f'sum by (org) (increase(forwarder_events_received_total{{{ORG},via="hook"}}[$__range]))'


def _quantile(share: float, histogram: str, labels: str, by: str = "") -> str:
    within = f"sum by ({by}{', ' if by else ''}le) (rate({histogram}_bucket{{{labels}}}{_RATE}))"
    return f"histogram_quantile({share}, {within}) >= 0"


def _quantiles(histogram: str, labels: str, by: str = "", shares: tuple[float, ...] = (0.5, 0.99)) -> tuple[Query, ...]:
    legend = "".join(f"{{{{{label}}}}} " for label in by.split(", ") if label)
    return tuple(Query(_quantile(share, histogram, labels, by), f"{legend}p{share * 100:g}") for share in shares)


IS_ALL_WELL = Row(
    "Is all well?",
    (
        (
            Panel("Up", "Does the forwarder respond to the scrape?", "ForwarderDown", "stat",
                  (Query(f"up{{{HERE}}}", "{{instance}}", now=True),), unit="none", words=_UP),
            Panel("Ready", "Could the next event of Okta be stored?", "ForwarderNotReady", "stat",
                  (Query(f"forwarder_ready{{{HERE}}}", "{{instance}}", now=True),), unit="none",
                  words={"0": ("No", BAD), "1": ("Yes", GOOD)}),
            Panel("Hook", "Does Okta show our hook as active and verified?", "ForwarderHookDown", "stat",
                  (Query(f"forwarder_hook_verified{{{ORG}}}", "{{org}}", now=True),), unit="none",
                  words={"0": ("Sends nothing", BAD), "1": ("Live", GOOD)}, none="not watched"),
            Panel("Sinks", "Did the last try of each sink succeed? A paused sink waits for an operator.",
                  "ForwarderSinkDown", "stat",
                  (Query(f"forwarder_sink_up{{{SINK}}} - 2 * (forwarder_sink_paused{{{SINK}}} * "
                         f"(1 - forwarder_sink_up{{{SINK}}}))", "{{sink}}", now=True),), unit="none",
                  words={"-2": ("Paused", BAD), "0": ("Retrying", WARN), "1": ("Up", GOOD)}),
            Panel("Ledger", "By how many events does the ledger of a sink differ from what was stored?",
                  "ForwarderLedgerUnbalanced", "stat",
                  (Query(f"max(abs(sum by (job, instance, sink) (forwarder_ledger_events{{{SINK}}}) - on (job, instance) "
                         f"group_left () forwarder_stored_events{{{HERE}}}))", "difference", now=True),),
                  unit="none", words={"0": ("Balanced", GOOD)}, steps=((0, GOOD), (1, BAD))),
            Panel("Version", "Which version runs?", "ForwarderAbsent", "stat",
                  (Query(f"forwarder_build_info{{{HERE}}}", "{{version}}", now=True),), unit="none", names=True),
        ),
        (
            Panel("Alerts", "Which alerts fire? Needs config/prometheus/forwarder.rules.yml in Prometheus.",
                  "ForwarderDown", "table",
                  (Query(f"count by (alertname, severity, org, sink) ({_ALERTS})", now=True),), unit="none",
                  none="No alert fires.", hidden=("Time",), columns={"Value": "alerts"}),
        ),
    ),
    height=5,
)  # fmt: skip

DO_EVENTS_ARRIVE = Row(
    "Do events arrive?",
    (
        (
            Panel("Events stored", "How many events come, and by which source?", "ForwarderNoEvents", "lines",
                  (Query(f"sum by (org, via) (rate(forwarder_events_received_total{{{ORG}}}{_RATE}))",
                         "{{org}} by {{via}}"),), unit="eps", width=12),
            Panel("Newest event", "How long ago did the newest event happen?", "ForwarderNoEvents", "stat",
                  (Query(f"time() - max by (org, via) (forwarder_last_event_timestamp_seconds{{{ORG}}})",
                         "{{org}} by {{via}}", now=True),), unit="s", steps=((0, GOOD), (3600, WARN), (21600, BAD))),
            Panel("Missed by the hook", "Which share of the events meant for our hook did the hook not deliver?",
                  "ForwarderEventsMissed", "stat",
                  (Query(f"{_MISSED} / ({_MISSED} + {_HOOKED} > 0)", "{{org}}", now=True),), unit="percentunit",
                  steps=((0, GOOD), (0.001, WARN), (0.01, BAD)), none="not compared"),
        ),
        (
            Panel("Responses to Okta", "How does the forwarder answer Okta's requests? 503 means that an event could not be stored.",
                  "ForwarderRefusesEvents", "lines",
                  (Query(f"sum by (code) (rate(forwarder_hook_requests_total{{{ORG}}}{_RATE}))", "{{code}}"),), unit="reqps"),
            Panel("Refused secrets", "How many requests had no secret or a wrong one?", "ForwarderSecretRefused", "bars",
                  (Query(f"sum by (org, reason) (rate(forwarder_auth_failures_total{{{ORG}}}{_RATE}))",
                         "{{org}} {{reason}}"),), unit="reqps"),
            Panel("Copies", "How many events had been stored already?", "ForwarderEventsMissed", "lines",
                  (Query(f"sum by (org, via) (rate(forwarder_events_duplicate_total{{{ORG}}}{_RATE}))",
                         "{{org}} by {{via}}"),), unit="eps"),
            Panel("Challenges", "How often did Okta verify the hook, and how did that end?", "ForwarderHookDown", "stat",
                  (Query(f"sum by (org, outcome) (increase(forwarder_challenges_total{{{ORG}}}[$__range]))",
                         "{{org}} {{outcome}}", now=True),), unit="none"),
        ),
    ),
)  # fmt: skip

DOES_OKTA_WAIT = Row(
    "Does Okta wait?",
    (
        (
            Panel("Time to answer", "How are the times to answer Okta spread?", "ForwarderAnswersSlowly", "heatmap",
                  (Query(f"sum by (le) (increase(forwarder_ack_duration_seconds_bucket{{{ORG}}}{_RATE}))", "{{le}}"),),
                  unit="s", width=8),
            Panel("Slow answers", "How long does Okta wait? It gives up after 3 s.", "ForwarderAnswersSlowly", "lines",
                  _quantiles("forwarder_ack_duration_seconds", ORG, shares=(0.5, 0.99, 0.999)), unit="s", width=8,
                  steps=((0, PLAIN), (1, WARN), (3, BAD)), lines_at=True),
            Panel("Commit", "How long does a commit with its fsync take?", "ForwarderAnswersSlowly", "lines",
                  _quantiles("forwarder_store_commit_duration_seconds", HERE), unit="s", width=8),
        ),
        (
            Panel("Connections", "How many connections are open?", "ForwarderAnswersSlowly", "lines",
                  (Query(f"sum by (listener) (forwarder_connections{{{HERE}}})", "{{listener}}"),
                   Query(f"max by (listener) (forwarder_connections_limit{{{HERE}}})", "limit of {{listener}}"))),
            Panel("Evicted connections", "How many connections were closed at the limit, or after a deadline?",
                  "ForwarderAnswersSlowly", "bars",
                  (Query(f"sum by (reason) (rate(forwarder_connections_evicted_total{{{HERE}}}{_RATE}))", "{{reason}}"),),
                  unit="cps"),
        ),
    ),
)  # fmt: skip

DO_THEY_LEAVE = Row(
    "Do they leave?",
    (
        (
            Panel("Delivered", "How many events does each sink accept?", "ForwarderSinkDown", "lines",
                  (Query(f"sum by (sink) (rate(forwarder_events_delivered_total{{{SINK}}}{_RATE}))", "{{sink}}"),), unit="eps"),
            Panel("Waiting", "How many events wait for each sink?", "ForwarderSinkBehind", "lines",
                  (Query(f"sum by (sink) (forwarder_sink_backlog_events{{{SINK}}})", "{{sink}}"),
                   Query(f"sum by (sink) (forwarder_sink_set_aside_events{{{SINK}}})", "{{sink}} set aside"))),
            Panel("Oldest waiting event", "How old is the oldest event that waits?", "ForwarderSinkBehind", "lines",
                  (Query(f"max by (sink) (forwarder_sink_lag_seconds{{{SINK}}})", "{{sink}}"),), unit="s"),
        ),
        (
            Panel("Retries", "Which batches must be sent again, and why?", "ForwarderSinkDown", "bars",
                  (Query(f"sum by (sink, reason) (rate(forwarder_delivery_retries_total{{{SINK}}}{_RATE}))",
                         "{{sink}} {{reason}}"),), unit="cps"),
            Panel("New dead letters", "Which events does a sink never accept, and why?", "ForwarderDeadLetters", "bars",
                  (Query(f"sum by (sink, reason) (rate(forwarder_events_dead_lettered_total{{{SINK}}}{_RATE}))",
                         "{{sink}} {{reason}}"),), unit="eps"),
            Panel("Dead letters held", "How many dead letters wait for a decision?", "ForwarderDeadLettersWaiting", "stat",
                  (Query(f'sum by (sink) (forwarder_dead_letters{{{HERE},sink=~"$sink|receiver"}})', "{{sink}}", now=True),),
                  unit="none", steps=((0, GOOD), (1, WARN))),
        ),
        (
            Panel("Batch size", "How many events does a batch hold?", "ForwarderSinkBehind", "lines",
                  _quantiles("forwarder_batch_events", SINK, "sink", (0.5, 0.95))),
            Panel("Batch duration", "How long does a sink take to answer a batch?", "ForwarderSinkBehind", "lines",
                  _quantiles("forwarder_batch_duration_seconds", SINK, "sink", (0.5, 0.99)), unit="s"),
            Panel("Last delivery", "When did each sink last accept events?", "ForwarderSinkDown", "stat",
                  (Query(f"time() - max by (sink) (forwarder_sink_last_delivery_timestamp_seconds{{{SINK}}})", "{{sink}}",
                         now=True),), unit="s"),
        ),
    ),
)  # fmt: skip

_WITHIN = f'sum by (sink) (rate(forwarder_delivery_lag_seconds_bucket{{{SINK},le="60.0"}}{_RATE}))'
_DELIVERED = f"sum by (sink) (rate(forwarder_delivery_lag_seconds_count{{{SINK}}}{_RATE}))"

HOW_LATE = Row(
    "How late are they?",
    (
        (
            Panel("Okta's part", "How long after an event does the forwarder receive it?", "ForwarderFreshnessBudgetBurn",
                  "lines", _quantiles("forwarder_receive_lag_seconds", ORG, "org, via", (0.5, 0.95)), unit="s"),
            Panel("The whole way", "How long after an event does a sink accept it?", "ForwarderFreshnessBudgetBurn",
                  "lines", _quantiles("forwarder_delivery_lag_seconds", SINK, "sink", (0.5, 0.95, 0.99)), unit="s"),
            Panel("Within a minute", "Which share of the events does a sink have within a minute?",
                  "ForwarderFreshnessBudgetBurn", "lines", (Query(f"{_WITHIN} / ({_DELIVERED} > 0)", "{{sink}}"),),
                  unit="percentunit", most=1),
        ),
    ),
)  # fmt: skip

HOW_MUCH_ROOM = Row(
    "How much room is left?",
    (
        (
            Panel("Store", "How much of the store is taken, and how much of that waits? Settled events stay until room is "
                  "needed.", "ForwarderStoreFilling", "lines",
                  (Query(f"forwarder_store_bytes{{{HERE}}}", "on disk"),
                   Query(f"forwarder_store_waiting_bytes{{{HERE}}}", "waiting"),
                   Query(f"forwarder_store_wal_bytes{{{HERE}}}", "WAL"),
                   Query(f"forwarder_store_max_bytes{{{HERE}}}", "max_size")), unit="bytes", width=9),
            Panel("Full tomorrow?", "Which share of max_size will waiting events fill in a day, at the present rate?",
                  "ForwarderStoreFilling", "stat",
                  (Query(f"clamp_min(predict_linear(forwarder_store_waiting_bytes{{{HERE}}}[1h], 86400), 0) / "
                         f"forwarder_store_max_bytes{{{HERE}}}", "{{instance}}", now=True),), unit="percentunit",
                  steps=((0, GOOD), (0.5, WARN), (1, BAD))),
            Panel("Free on disk", "How much is free on the disk of the store?", "ForwarderDiskFilling", "stat",
                  (Query(f"forwarder_store_disk_free_bytes{{{HERE}}}", "{{instance}}", now=True),), unit="bytes",
                  steps=((0, BAD), (1e9, GOOD))),
            Panel("Events held", "For how many events does the store hold the body?", "ForwarderStoreFilling", "lines",
                  (Query(f"forwarder_store_events{{{HERE}}}", "{{instance}}"),)),
        ),
    ),
)  # fmt: skip

IS_THE_GAP_CLOSED = Row(
    "Is the gap closed?",
    (
        (
            Panel("System Log behind", "How old is the newest time up to which the System Log is stored?",
                  "ForwarderReconcileBehind", "lines",
                  (Query(f"max by (org) (forwarder_reconcile_lag_seconds{{{ORG}}})", "{{org}}"),), unit="s"),
            Panel("Missed events", "How many events did the hook not deliver? They were read from the System Log.",
                  "ForwarderEventsMissed", "bars",
                  (Query(f"sum by (org) (increase(forwarder_events_missed_total{{{ORG}}}{_RATE}))", "{{org}}"),)),
            Panel("Failed deliveries", "How often does Okta say that a delivery failed, or that its quota runs out?",
                  "ForwarderHookQuota", "bars",
                  (Query(f"sum by (org) (increase(forwarder_hook_deliveries_failed_total{{{ORG}}}{_RATE}))", "{{org}} failed"),
                   Query(f"sum by (org) (increase(forwarder_hook_quota_warnings_total{{{ORG}}}{_RATE}))", "{{org}} quota"))),
        ),
        (
            Panel("Calls of Okta's API", "Which calls does the forwarder make, and with which status does Okta answer?", "ForwarderOktaApiFailing", "lines",
                  (Query(f"sum by (operation, code) (rate(forwarder_okta_requests_total{{{ORG}}}{_RATE}))",
                         "{{operation}} {{code}}"),), unit="reqps", width=16),
            Panel("Rate limit left", "How much of Okta's rate limit is left?", "ForwarderOktaRateLimited", "lines",
                  (Query(f"min by (org, bucket) (forwarder_okta_rate_limit_remaining_ratio{{{ORG}}})",
                         "{{org}} {{bucket}}"),), unit="percentunit", most=1),
        ),
    ),
)  # fmt: skip


def _over_range(name: str, labels: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (increase({name}{{{labels}{more}}}[$__range]))"


_REFUSED = _over_range("forwarder_hook_requests_total", ORG, "org", ',code="503"')
_ANSWERED = _over_range("forwarder_hook_requests_total", ORG, "org", ',code=~"200|503"')
_IN_TIME = _over_range("forwarder_delivery_lag_seconds_bucket", SINK, "sink", ',le="60.0"')
_ALL = _over_range("forwarder_delivery_lag_seconds_count", SINK, "sink")
_LEFT = ((-1e9, BAD), (0, WARN), (0.5, GOOD))

IS_THE_PROMISE_KEPT = Row(
    "Is the promise kept?",
    (
        (
            Panel("Budget of refusals", "How much is left of the objective to accept 99.9 % of the requests, over the time "
                  "shown?", "ForwarderAckBudgetBurn", "stat",
                  (Query(f"1 - {_REFUSED} / ({_ANSWERED} > 0) / 0.001", "{{org}}", now=True),), unit="percentunit",
                  steps=_LEFT, none="no requests"),
            Panel("Budget of late events", "How much is left of the objective to deliver 99 % of the events within a minute, "
                  "over the time shown?", "ForwarderFreshnessBudgetBurn", "stat",
                  (Query(f"1 - (1 - {_IN_TIME} / ({_ALL} > 0)) / 0.01", "{{sink}}", now=True),), unit="percentunit",
                  steps=_LEFT, none="nothing delivered"),
        ),
    ),
    height=5,
)  # fmt: skip

IS_THE_PROCESS_SOUND = Row(
    "Is the process sound?",
    (
        (
            Panel("Memory", "How much memory does the forwarder use?", "ForwarderRestarting", "lines",
                  (Query(f"process_resident_memory_bytes{{{HERE}}}", "{{instance}}"),), unit="bytes"),
            Panel("CPU", "How much of a CPU core does the forwarder use?", "ForwarderAnswersSlowly", "lines",
                  (Query(f"rate(process_cpu_seconds_total{{{HERE}}}{_RATE})", "{{instance}}"),), unit="percentunit"),
            Panel("Descriptors", "How many file descriptors does the forwarder have open?", "ForwarderRestarting", "lines",
                  (Query(f"process_open_fds{{{HERE}}} / process_max_fds{{{HERE}}}", "{{instance}}"),), unit="percentunit"),
            Panel("Log lines", "How many lines does the forwarder log at each level?", "ForwarderRestarting", "bars",
                  (Query(f"sum by (level) (rate(forwarder_log_lines_total{{{HERE}}}{_RATE}))", "{{level}}"),), unit="cps"),
        ),
        (
            Panel("Restarts", "How often did the forwarder start in the time shown?", "ForwarderRestarting", "stat",
                  (Query(f"changes(process_start_time_seconds{{{HERE}}}[$__range])", "{{instance}}", now=True),), unit="none",
                  steps=((0, GOOD), (2, WARN))),
            Panel("Configuration", "Was the last reload applied?", "ForwarderConfigReloadFailed", "stat",
                  (Query(f"forwarder_config_last_reload_successful{{{HERE}}}", "{{instance}}", now=True),), unit="none",
                  words={"0": ("Refused", BAD), "1": ("Applied", GOOD)}),
            Panel("Clock", "How far is this machine's clock ahead of Okta's?", "ForwarderClockSkew", "stat",
                  (Query(f"forwarder_clock_offset_seconds{{{ORG}}}", "{{org}}", now=True),), unit="s",
                  steps=((-1e9, BAD), (-5, GOOD), (5, BAD)), none="not compared"),
            Panel("Certificates", "How long is each certificate valid?", "ForwarderCertificateExpiring", "stat",
                  (Query(f"forwarder_certificate_expiry_timestamp_seconds{{{HERE}}} - time()", "{{setting}}", now=True),),
                  unit="s", steps=((-1e9, BAD), (172800, WARN), (1209600, GOOD)), none="none configured"),
        ),
    ),
)  # fmt: skip

HEALTH = Dashboard(
    "health",
    "Forwarder: health",
    "Is every event of Okta stored and delivered, and if not, where does it stop?",
    "prometheus",
    "now-6h",
    (
        IS_ALL_WELL,
        DO_EVENTS_ARRIVE,
        DOES_OKTA_WAIT,
        DO_THEY_LEAVE,
        HOW_LATE,
        HOW_MUCH_ROOM,
        IS_THE_GAP_CLOSED,
        IS_THE_PROMISE_KEPT,
        IS_THE_PROCESS_SOUND,
    ),
    sinks=True,
)
