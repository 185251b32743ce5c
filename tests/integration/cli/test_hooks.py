"""`forwarder hooks` as an operator uses it, against the emulated org."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from forwarder.app import Forwarder
from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.emulator.emulator import Emulator
from forwarder.emulator.hooks.hooks import EmulatedHook
from forwarder.settings import read
from tests.fakes.hook_receiver import HookReceiver
from tests.fakes.okta_org import TOKEN, okta_org


@dataclass
class Scene:
    """An org, the receiver of its hook, and a configuration for both."""

    org: Emulator
    receiver: HookReceiver
    folder: Path
    secrets: tuple[str, ...] = ("first-secret",)

    async def run(
        self, *words: str, hook: dict[str, Any] | None = None, drop: tuple[str, ...] = (), **org: Any
    ) -> tuple[int, str]:
        """The exit code and the output of `forwarder hooks`, in a thread, so that the org can answer.

        Args:
            words: the command and its options.
            hook: changes to the hook's settings.
            drop: keys of the org that are not set.
            org: changes to the org's settings.
        """
        acme = {
            "url": self.org.settings.url,
            "secrets": list(self.secrets),
            "api": {"token": TOKEN},
            "hook": {"uri": self.receiver.url, "events": ["user.session.start"]} | (hook or {}),
        } | org
        tree = {
            "orgs": {"acme": {key: value for key, value in acme.items() if key not in drop}},
            "store": {"path": str(self.folder / "s.db")},
            "sinks": {"archive": {"kind": "file", "path": str(self.folder / "x.ndjson")}},
        }
        return await self.run_on(tree, *words)

    async def run_on(self, tree: dict[str, Any], *words: str) -> tuple[int, str]:
        """As `run`, with the whole configuration."""
        config = self.folder / "forwarder.yaml"
        config.write_text(yaml.safe_dump(tree))
        arguments = ["hooks", words[0], "-c", str(config), *words[1:]]
        done = await asyncio.to_thread(CliRunner().invoke, main, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    @property
    def hook(self) -> EmulatedHook:
        (hook,) = self.org.hooks.all()
        return hook


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Scene]:
    async with HookReceiver() as receiver, okta_org() as org:
        yield Scene(org, receiver, tmp_path)


@pytest.mark.long
async def test_create_makes_a_live_hook_and_refuses_a_second_one(there: Scene) -> None:
    code, output = await there.run("create")
    assert code == 0, output
    assert "+ user.session.start" in output
    assert f"✓ forwarder ({there.hook.id}) is ACTIVE and VERIFIED." in output
    assert there.hook.live
    code, output = await there.run("create")
    assert (code, "already exists" in output) == (1, True)


@pytest.mark.long
async def test_sync_shows_what_differs_changes_it_and_then_finds_nothing(there: Scene) -> None:
    await there.run("sync")
    wider = {"events": ["user.session.start", "user.account.lock"]}
    code, output = await there.run("sync", hook=wider)
    assert code == 0, output
    assert "  events\n    + user.account.lock\n" in output
    code, output = await there.run("sync", hook=wider)
    assert (code, "is up to date" in output) == (0, True)


@pytest.mark.long
async def test_the_running_forwarder_knows_at_once_what_a_command_has_changed(there: Scene) -> None:
    await there.run("list")
    tree = yaml.safe_load((there.folder / "forwarder.yaml").read_text())
    local = {"receiver": {"listen": "127.0.0.1:0"}, "ops": {"listen": "127.0.0.1:0"}}
    forwarder = Forwarder(read(tree | local), SystemClock())
    await forwarder.start()

    async def condition() -> Any:
        hook = (await forwarder.status.gather())["okta"]["acme"]["hook"]
        return hook["condition"] if hook else None

    try:
        async with asyncio.timeout(30):
            while await condition() != "missing":
                await asyncio.sleep(0.01)
        for command, wanted in (("sync", "live"), ("deactivate", "inactive"), ("sync", "live")):
            assert (await there.run(command))[0] == 0
            assert await condition() == wanted
    finally:
        await forwarder.stop(grace=0)


@pytest.mark.long
async def test_a_dry_run_changes_nothing(there: Scene) -> None:
    code, output = await there.run("create", "--dry-run")
    assert (code, "would create and verify" in output) == (0, True)
    assert there.org.hooks.all() == ()
    await there.run("sync")
    updated = there.hook.updated
    code, output = await there.run("sync", "--dry-run", "--resend-secret")
    assert (code, "would replace and verify" in output) == (0, True)
    for command in ("verify", "deactivate", "delete"):
        assert (await there.run(command, "--dry-run"))[0] == 0
    assert there.hook.live
    assert there.hook.updated == updated


@pytest.mark.long
async def test_a_dry_run_prints_every_event_type_that_it_would_choose(there: Scene) -> None:
    eligible = {name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags}
    for command in ("create", "sync"):
        code, output = await there.run(command, "--dry-run", hook={"events": "all-eligible"})
        assert code == 0
        assert eligible <= set(output.split())
    _, output = await there.run("sync", hook={"events": "all-eligible"})
    assert f"… and {len(eligible) - 20} more" in output  # a change prints a summary


async def test_show_prints_a_hook_of_all_event_types_on_one_screen(there: Scene) -> None:
    everything = {"events": "all-eligible"}
    await there.run("sync", hook=everything)
    code, output = await there.run("show", hook=everything)
    assert (code, len(output.splitlines()) < 30) == (0, True), output
    assert f"… and {len(there.hook.types) - 20} more; --json prints all" in output


async def test_the_last_of_several_secrets_is_sent(there: Scene) -> None:
    await there.run("sync")
    there.secrets = ("first-secret", "second-secret")
    there.receiver.calls.clear()
    code, output = await there.run("sync", "--resend-secret")
    assert code == 0, output
    assert {call.headers["authorization"] for call in there.receiver.calls} == {"second-secret"}
    assert "second-secret" not in output


@pytest.mark.long
async def test_a_secret_that_the_receiver_does_not_know_never_reaches_okta(there: Scene) -> None:
    await there.run("sync")
    there.secrets = ("first-secret", "second-secret")
    there.receiver.otherwise = 401
    code, output = await there.run("sync", "--resend-secret")
    assert (code, "does not have this secret yet" in output) == (1, True)
    assert there.hook.live
    code, output = await there.run("sync", "--resend-secret", "--force")
    assert (code, "could not verify the hook" in output) == (1, True)
    assert not there.hook.live


async def test_verify_that_fails_tells_why_and_ends_with_1(there: Scene) -> None:
    there.receiver.otherwise = 500
    code, output = await there.run("sync")
    assert code == 1
    assert "does not echo the challenge: it answers 500" in output
    assert "Unable to verify event hook" in output
    assert "Then try again with `forwarder hooks verify`" in output
    there.receiver.otherwise = 200
    code, output = await there.run("verify")
    assert (code, "ACTIVE and VERIFIED" in output) == (0, True)


async def test_a_hook_with_another_address_than_ours_is_not_verified_and_ends_with_1(there: Scene) -> None:
    await there.run("sync")
    elsewhere = {"uri": "https://elsewhere.example.com/okta/events"}
    there.receiver.calls.clear()
    for command in ("verify", "show"):
        code, output = await there.run(command, hook=elsewhere)
        assert code == 1
        assert f"is {there.receiver.url}, and not {elsewhere['uri']} (`hook.uri`)" in output
        assert "`forwarder hooks sync` changes the URL" in output
    assert there.receiver.calls == []
    code, output = await there.run("verify", "--id", there.hook.id, hook=elsewhere)
    assert (code, "ACTIVE and VERIFIED" in output) == (0, True)


@pytest.mark.long
async def test_deactivate_is_undone_by_sync(there: Scene) -> None:
    await there.run("sync")
    code, output = await there.run("deactivate")
    assert (code, "INACTIVE" in output, there.hook.active) == (0, True, False)
    assert "is already INACTIVE" in (await there.run("deactivate"))[1]
    code, output = await there.run("sync")
    assert (code, there.hook.live) == (0, True), output


@pytest.mark.long
async def test_delete_asks_first(there: Scene) -> None:
    await there.run("sync")
    code, output = await there.run("delete")
    assert (code, len(there.org.hooks.all())) == (1, 1), output
    code, output = await there.run("delete", "--yes")
    assert (code, there.org.hooks.all()) == (0, ()), output
    code, output = await there.run("delete", "--yes")
    assert (code, "has no event hook named forwarder" in output) == (1, True)


@pytest.mark.long
async def test_show_and_list_tell_what_okta_has(there: Scene) -> None:
    other = there.org.add_hook("https://other.example.com/", "x", name="other")
    await there.run("sync")
    code, output = await there.run("list")
    assert (code, f"✗ other ({other.id})" in output, "✓ forwarder (" in output) == (0, True, True)
    code, output = await there.run("list", "--json")
    assert [each["live"] for each in json.loads(output)] == [False, True]
    code, output = await there.run("show", "--json", hook={"events": "security"})
    told = json.loads(output)
    assert (code, told["verification_status"], told["events"]) == (0, "VERIFIED", ["user.session.start"])
    assert [each["what"] for each in told["differences"]] == ["events"]
    code, output = await there.run("show", "--id", other.id)
    assert (code, "Okta sends no events to other" in output) == (1, True)


@pytest.mark.long
async def test_a_hook_made_by_hand_is_taken_over_by_its_id(there: Scene) -> None:
    there.org.add_hook(there.receiver.url, "first-secret", name="by hand", types=["user.session.start"])
    code, output = await there.run("sync")
    assert (code, "posts to" in output, "--id" in output) == (1, True, True)
    code, output = await there.run("sync", "--id", there.hook.id)
    assert (code, there.hook.spec.name, there.hook.live) == (0, "forwarder", True), output


async def test_the_events_that_rules_need_are_read_from_their_files(there: Scene) -> None:
    rules = there.folder / "rules.txt"
    rules.write_text('eventType eq "user.account.lock"\neventType eq "zone.create"\n')
    code, output = await there.run("sync", hook={"events": "rules", "rules": [str(rules)]})
    assert code == 0, output
    assert there.hook.spec.events.items == {"user.account.lock"}
    assert "1 of the event types that your rules need are only in the System Log" in output


async def test_all_that_okta_would_refuse_is_told_at_once_before_anything_is_sent(there: Scene) -> None:
    code, output = await there.run("sync", hook={"events": ["zone.create", "no.such.type"]})
    assert code == 2
    assert "orgs.acme.hook.events[0]: " in output
    assert "hooks do not carry zone.create, only the System Log does" in output
    assert "unknown event type no.such.type" in output
    code, output = await there.run("sync", drop=("api",))
    assert (code, "orgs.acme.api: is required for `hook`" in output) == (2, True), output
    assert there.receiver.calls == []


async def test_rules_that_cannot_be_read_are_told(there: Scene) -> None:
    code, output = await there.run("sync", hook={"events": "rules", "rules": ["no/such/file.toml"]})
    assert (code, "orgs.acme.hook.rules: no/such/file.toml" in output) == (2, True), output


async def test_an_org_without_hook_says_what_is_missing(there: Scene) -> None:
    code, output = await there.run("sync", drop=("hook",))
    assert (code, "orgs.acme.hook: this setting is required for this command" in output) == (2, True), output


@pytest.mark.long
async def test_the_org_must_be_named_where_several_could_be_meant(there: Scene) -> None:
    def org(name: str) -> dict[str, Any]:
        return {
            "url": there.org.settings.url,
            "path": f"/{name}",
            "secrets": ["some-secret"],
            "api": {"token": TOKEN},
            "hook": {"uri": f"{there.receiver.url}/{name}", "events": ["user.account.lock"]},
        }

    tree: dict[str, Any] = {
        "orgs": {"one": org("one"), "two": org("two")},
        "sinks": {"archive": {"kind": "file", "path": str(there.folder / "x.ndjson")}},
        "store": {"path": str(there.folder / "s.db")},
    }
    code, output = await there.run_on(tree, "sync")
    assert (code, "--org: one, two" in output) == (2, True)
    assert (await there.run_on(tree, "sync", "--org", "three"))[0] == 2
    code, output = await there.run_on(tree, "sync", "--org", "two")
    assert code == 0, output
    assert there.hook.spec.channel.config.uri.endswith("/two")
    del tree["orgs"]["one"]["hook"]
    assert (await there.run_on(tree, "show"))[0] == 0


async def test_a_wrong_token_is_told_and_ends_with_1(there: Scene) -> None:
    code, output = await there.run("list", api={"token": "wrong"})
    assert code == 1
    assert "Traceback" not in output
