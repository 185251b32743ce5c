"""How long an alert takes until its action is done, while 50 events a second arrive; and what an Okta that hangs delays."""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from forwarder.core.action import Action, Outcome
from forwarder.core.time import SECOND
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import action_rows, schema
from tests.bench.figures import Figure
from tests.bench.parts import forwarder, running
from tests.stack.emulator import TOKEN, EmulatorProcess
from tests.stack.forwarder import SECRET, ForwarderProcess

RATE = 50  # events a second
_ALERTS = 2  # of these
_ADDRESS = "203.0.113.77"
_RULE = f"""
title: A sign-in from a certain address
id: 6f3e2a52-6b66-4e2e-9d0c-0d5b6b7e0001
status: test
level: high
logsource: {{product: okta, service: okta}}
detection: {{selection: {{eventType: user.session.start, client.ipAddress: {_ADDRESS}}}, condition: selection}}
"""
_TYPES = ("user.session.start", "user.session.end", "user.authentication.sso", "user.account.update_password")


def reactions(work: Path, seconds: float) -> list[Figure]:
    """Measure with an org that answers, and with one whose calls hang."""
    okta = EmulatorProcess(work / "org")
    directory = work / "reactions"
    with running(okta):
        ours = forwarder(directory, _sinks(directory), **_sections(directory, okta))
        with running(ours):
            okta.create_hook(ours.url, SECRET, _TYPES)
            with _load(okta):
                _alerts(okta, seconds)
                done = _ended(ours, round(_ALERTS * seconds))
            found = [_latency(done)]
            okta.set_faults(changes={"delay": "10m"}, reads={"delay": "10m"})
            before = _written(directory)
            with _load(okta):
                _alerts(okta, seconds)
            return [*found, _beside(directory, before, okta)]


def _sinks(directory: Path) -> dict[str, dict[str, Any]]:
    return {"archive": {"kind": "file", "path": str(directory / "events.ndjson")}}


def _sections(directory: Path, okta: EmulatorProcess) -> dict[str, Any]:
    directory.mkdir(parents=True)
    (directory / "rule.yml").write_text(_RULE)
    limits = {"per_user": "1000/1h", "per_rule": "100000/1h", "mending": "100000/1h"}
    return {
        "orgs": {"acme": {"url": okta.url, "secrets": [SECRET], "api": {"token": TOKEN}}},
        "reconcile": {"poll": "5s", "rate_share": 1},
        "rules": {"files": [str(directory / "rule.yml")], "again": "1s"},
        "reactions": {
            "mode": "enforce",
            "protect": {"users": ["breakglass@corp.example"]},
            "limits": limits,
            "on": [{"level": "high", "do": ["revoke_sessions"]}],
        },
    }


@contextmanager
def _load(okta: EmulatorProcess) -> Iterator[None]:
    """Emit the other events, five times a second, until the end."""
    stop = threading.Event()

    def emit() -> None:
        began, sent = time.monotonic(), 0
        while not stop.wait(0.2):
            wanted = round((time.monotonic() - began) * (RATE - _ALERTS))
            okta.emit(wanted - sent, _TYPES[1:])
            sent = wanted

    thread = threading.Thread(target=emit)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _alerts(okta: EmulatorProcess, seconds: float) -> None:
    """Emit events that alert, each about a user of its own as far as the org has users, evenly over `seconds`."""
    users = [user["id"] for user in httpx.get(f"{okta.url}/emulator/state", trust_env=False).json()["users"]]
    fields = {"client": {"ipAddress": _ADDRESS}, "outcome": {"result": "SUCCESS"}}
    began = time.monotonic()
    with httpx.Client(base_url=okta.url, trust_env=False) as client:
        for number in range(round(_ALERTS * seconds)):
            time.sleep(max(0.0, began + number / _ALERTS - time.monotonic()))
            order = {"types": [_TYPES[0]], "user": users[number % len(users)], "fields": fields}
            client.post("/emulator/events", json=order).raise_for_status()


def _ended(ours: ForwarderProcess, count: int) -> list[Action]:
    """Return the actions, once all of them are done; admins among the users are refused."""
    for _ in range(600):
        with closing(schema.connect_reader(StoreSettings(path=ours.store).path)) as db:
            found = action_rows.load(db, 0)
        if len(found) >= count and not any(one.is_open for one in found):
            return [one for one in found if one.outcome is Outcome.DONE]
        time.sleep(0.1)
    raise RuntimeError(f"{len(found)} of {count} actions, {sum(one.is_open for one in found)} of them open")


def _latency(done: list[Action]) -> Figure:
    """The time from `published` until the call was answered and its effect seen."""
    times = sorted(((one.seen_at or 0) - one.published) / SECOND for one in done)
    p95 = statistics.quantiles(times, n=20)[-1]
    raw = f"p50 {statistics.median(times):.2f}, worst {times[-1]:.2f} s of {len(times)} `revoke_sessions`; the hook batches for 50 ms"
    return Figure(f"p95 from an event to its action done, at {RATE} events/s", p95, "s", raw, most=2)


def _written(directory: Path) -> set[str]:
    with (directory / "events.ndjson").open("rb") as file:
        return {json.loads(line)["event"]["id"] for line in file}


def _beside(directory: Path, before: set[str], okta: EmulatorProcess) -> Figure:
    """How many events a sink lacks soon after, though the org's API hangs and its actions wait."""
    time.sleep(2)
    ledger = okta.ledger()
    emitted = set(ledger["events"]) - set(ledger["own"]) - before
    missing = emitted - _written(directory)
    raw = f"of {len(emitted):,} events, with each call of an action without an answer"
    name = "events that a file sink lacks after 2 s while Okta's API hangs"
    return Figure(name, len(missing), "events", raw, most=0)
