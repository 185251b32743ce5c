"""A day of events for correlations, the rules, and the expected alerts, which are computed from the whole day at once."""

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from forwarder.core.event import Event, Source, read_event
from forwarder.core.time import SECOND, iso
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.load import load
from tests.fakes.clock import NOON

HOUR = 3600 * SECOND

_RULE = """
title: {name}
id: {name}
name: {name}
logsource: {{product: okta, service: okta}}
detection:
  selection: {{eventType: "{event_type}"}}
  condition: selection
"""

ALONE = """
title: Alone
id: alone
logsource: {product: okta, service: okta}
detection:
  selection: {eventType: test.alone}
  condition: selection
"""

RULES = (
    "---".join(_RULE.format(name=name, event_type=f"test.{name}") for name in ("alpha", "beta", "gamma"))
    + f"\n---{ALONE}---"
    + """
title: Many
id: many
correlation: {type: event_count, rules: [alpha], group-by: [actor.id], timespan: 10m, condition: {gte: 4}}
---
title: More
id: more
correlation: {type: event_count, rules: [alpha, beta], group-by: [client.ipAddress], timespan: 5m, condition: {gt: 5}}
---
title: Spray
id: spray
correlation:
  type: value_count
  rules: [beta]
  group-by: [client.ipAddress]
  timespan: 30m
  condition: {field: actor.id, gte: 3}
---
title: Together
id: together
correlation: {type: temporal, rules: [alpha, beta, gamma], group-by: [actor.id], timespan: 15m}
---
title: In order
id: ordered
correlation: {type: temporal_ordered, rules: [alpha, beta, gamma], group-by: [actor.id], timespan: 20m}
---
title: Chain
id: chain
correlation: {type: temporal_ordered, generate: true, rules: [many, gamma], group-by: [actor.id], timespan: 30m}
---
title: Aliased
id: aliased
correlation:
  type: temporal_ordered
  rules: [gamma, beta]
  aliases: {user: {gamma: actor.id, beta: target.id}}
  group-by: [user]
  timespan: 10m
"""
)


def ruleset(folder: Path, text: str = RULES) -> Ruleset:
    """Return the rules in `text`, loaded from a file."""
    file = folder / "rules.yml"
    file.write_text(text)
    return load([file])


def made(number: int, at: int, kind: str, actor: str, ip: str, target: str = "none", **more: Any) -> Event:
    body = {
        "uuid": str(UUID(int=number + (1 << 100))),
        "eventType": f"test.{kind}",
        "published": iso(at, "milliseconds"),
        "actor": {"id": actor},
        "client": {"ipAddress": ip},
        "target": [{"id": target}],
        **more,
    }
    return read_event(json.dumps(body).encode(), org="acme", source=Source.HOOK, received_at=NOON)


def day(seed: int, count: int = 300) -> list[Event]:
    """Return the events of the day before noon. They come in bursts that fill windows, just miss them, or overlap."""
    chance = Random(seed)
    events = []
    bursts = [NOON - chance.randrange(23 * HOUR) for _ in range(12)]
    for number in range(count):
        at = min(NOON, chance.choice(bursts) + chance.randrange(20 * 60) * SECOND)
        kind = chance.choices(("alpha", "beta", "gamma", "alone"), (12, 4, 2, 1))[0]
        actor, target = (f"u{chance.randrange(5)}" for _ in range(2))
        events.append(made(number + seed * 100_000, at, kind, actor, f"192.0.2.{chance.randrange(5)}", target))
    return sorted(events, key=lambda event: event.published)


Pair = tuple[str, str]


def expected(events: Iterable[Event]) -> set[Pair]:
    """Return the (rule, group) pairs that must alert by the definitions of the correlations."""
    rows = [(event.published, event.event_type.removeprefix("test."), json.loads(event.body)) for event in events]
    # `gamma` alerts by itself too, because the chain has `generate`.
    found: set[Pair] = {(row[1], row[2]["actor"]["id"]) for row in rows if row[1] in {"alone", "gamma"}}
    actors = {row[2]["actor"]["id"] for row in rows}
    many: dict[str, list[int]] = {}
    for actor in actors:
        mine = [(at, kind) for at, kind, body in rows if body["actor"]["id"] == actor]
        many[actor] = _ends([at for at, kind in mine if kind == "alpha"], 4, 600)
        together = any(
            {kind for at, kind in mine if start <= at <= start + 900 * SECOND} >= {"alpha", "beta", "gamma"}
            for start, _ in mine
        )
        found |= {("many", actor)} if many[actor] else set()
        found |= {("together", actor)} if together else set()
        steps = [[at for at, kind in mine if kind == name] for name in ("alpha", "beta", "gamma")]
        found |= {("ordered", actor)} if _in_order(steps, 1200) else set()
        found |= {("chain", actor)} if _in_order([many[actor], steps[2]], 1800) else set()
        targeted = [at for at, kind, body in rows if kind == "beta" and body["target"][0]["id"] == actor]
        found |= {("aliased", actor)} if _in_order([steps[2], targeted], 600) else set()
    for ip in {row[2]["client"]["ipAddress"] for row in rows}:
        its = [row for row in rows if row[2]["client"]["ipAddress"] == ip]
        if _ends([at for at, kind, _ in its if kind in {"alpha", "beta"}], 6, 300):
            found.add(("more", ip))
        betas = [(at, body["actor"]["id"]) for at, kind, body in its if kind == "beta"]
        for start, _ in betas:
            if len({actor for at, actor in betas if start <= at <= start + 1800 * SECOND}) >= 3:
                found.add(("spray", ip))
    return found


def _ends(times: Sequence[int], wanted: int, seconds: int) -> list[int]:
    """Return the times at which a window with enough events ends."""
    return [at for at in times if sum(at - seconds * SECOND <= other <= at for other in times) >= wanted]


def _in_order(steps: Sequence[Sequence[int]], seconds: int) -> bool:
    return any(
        all(one <= other for one, other in itertools.pairwise(times)) and times[-1] - times[0] <= seconds * SECOND
        for times in itertools.product(*steps)
    )
