"""The events about actions: a running forwarder stores, delivers and shows them, and no rule reads them."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.action import Outcome
from forwarder.core.action_event import to_event
from forwarder.core.event import Source
from forwarder.core.ports import Batch
from tests.fakes.action import action
from tests.integration.detect.scene import content, evaluated, running, settings, stored, until

pytestmark = pytest.mark.timeout(60)

EVERYTHING = """
title: Everything
id: everything
status: stable
logsource: {product: okta, service: okta}
detection:
  selection:
    displayMessage|contains: "Password spray"
  condition: selection
level: high
"""


@pytest.mark.long
async def test_events_about_actions_are_delivered_and_counted_and_no_rule_reads_them(tmp_path: Path) -> None:
    async with running(settings(tmp_path, EVERYTHING)) as forwarder:
        await evaluated(forwarder)
        one = action(outcome=Outcome.DONE)
        change = to_event(one, SystemClock().now())
        okta = msgspec.structs.replace(change, uuid="of Okta", source=Source.HOOK)
        await forwarder.store.commit_actions(Batch([change], source=Source.ACTION), [one])
        await evaluated(forwarder)
        assert await stored(forwarder) == []
        await forwarder.store.append(Batch([okta]), timeout=5)  # the same from Okta would alert
        await evaluated(forwarder)
        await until(lambda: b'"rule-match"' in content(tmp_path / "archive.ndjson"))
        assert len(await stored(forwarder)) == 1
        lines = map(msgspec.json.decode, content(tmp_path / "archive.ndjson").splitlines())
        (document,) = [line for line in lines if line["event"]["dataset"] == "okta_forwarder.action"]
        assert (document["event"]["action"], document["event"]["id"]) == ("add_to_group", change.uuid)
        ledger = await forwarder.store.ledger()
        assert (ledger.stored, ledger.actions, ledger.alerts, ledger.balanced) == (3, 1, 1, True)
    config = tmp_path / "config.yaml"
    config.write_text(
        "orgs: {acme: {secrets: [the-secret]}}\n"
        f"store: {{path: {tmp_path / 'store.db'}}}\n"
        f"sinks: {{archive: {{kind: file, path: {tmp_path / 'archive.ndjson'}}}}}\n"
        f"rules: {{files: [{tmp_path / 'rules'}]}}\n"
    )
    for what in (change.uuid, "jane@corp.example"):
        option = [what] if what == change.uuid else ["--user", what, "--type", "forwarder.action"]
        found = CliRunner().invoke(main, ["find", "--config", str(config), *option, "--offline"])
        assert "by a reaction of this forwarder" in found.output, found.output
        assert "add_to_group of jane@corp.example: done" in found.output
    stats = CliRunner().invoke(main, ["stats", "--config", str(config)])
    assert "1 event stored" in stats.output, stats.output
    assert "1 change of reactions" in stats.output
    replayed = CliRunner().invoke(main, ["rules", "replay", "--config", str(config), "--since", "1d"])
    assert "1 alert from 1 match" in replayed.output, replayed.output
