"""`reactions.on`, `protect` and `limits`: the accepted values, and the problems with path and hint."""

import copy
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import yaml

from forwarder import config_check
from forwarder.config.file import read_yaml
from forwarder.core.action import EffectKind
from forwarder.core.errors import SettingsError
from forwarder.react.settings.entries import written
from forwarder.react.settings.types import Mode
from forwarder.settings import Settings, read
from tests.fakes.keys import pem, rsa_key

RULES = """
title: Reported
id: 11111111-0000-4000-8000-000000000001
name: reported
tags: [attack.t1078.004]
logsource: {product: okta, service: okta}
detection: {one: {eventType: user.account.report_suspicious_activity_by_enduser}, condition: one}
level: critical
---
title: Signed in
id: 11111111-0000-4000-8000-000000000002
name: signed_in
logsource: {product: okta, service: okta}
detection: {one: {eventType: user.session.start}, condition: one}
level: high
---
title: Factor refused
id: 11111111-0000-4000-8000-000000000003
name: refused
tags: [attack.t1621]
logsource: {product: okta, service: okta}
detection: {one: {eventType|startswith: user.authentication.auth_via}, condition: one}
level: low
---
title: Refused often
id: 11111111-0000-4000-8000-000000000004
name: refused_often
tags: [attack.t1621]
correlation: {type: event_count, rules: [refused], group-by: [actor.id], timespan: 1h, condition: {gte: 5}}
level: medium
---
title: Any event
id: 11111111-0000-4000-8000-000000000005
name: any_event
logsource: {product: okta, service: okta}
detection: {one: {client.ipAddress: 203.0.113.9}, condition: one}
level: informational
"""

PROMISED = """
orgs:
  acme:
    url: https://acme.okta.com
    secrets: [s]
    api:
      client_id: 0oa1
      private_key: {file: app.pem}
      scopes: [okta.logs.read, okta.users.manage, okta.groups.manage, okta.networkZones.manage]
sinks: {archive: {kind: file, path: /tmp/x.ndjson}}
rules: {files: [rules.yml]}
reactions:
  mode: shadow
  protect: {users: [breakglass@corp.example], groups: [Break-glass], admins: true, ips: [198.51.100.0/24]}
  limits: {per_user: 2/1h, per_rule: 20/1h, mending: 60/1h, timed: 10/1h, prompt: 20/1d}
  fresh: 10m
  confirm: [timed, prompt]
  approve_within: 15m
  webhooks: {soc: {url: https://soc.example/okta, secret: {file: soc}}}
  receivers: {okta: {org: acme}, risk: {url: https://risk.example/events, audience: risk}}
  set: {issuer: https://fw.example, key: {file: set.pem}, jwks: serve}
  ciba: {client_id: 0oa2, private_key: {file: set.pem}, server: default}
  on:
    - rule: refused_often
      do:
        - revoke_sessions
        - {add_to_group: {group: Step-up, for: 24h}}
        - {suspend: {for: 4h}, approve: {within: 15m}}
        - {notify: soc}
    - rule: signed_in
      mode: shadow
      do:
        - prompt: {by: push, then: {denied: [{suspend: {for: 4h}, approve: no}], timeout: [{notify: soc}]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "soc").write_text("planted-secret-of-the-soc")
    for name in ("app.pem", "set.pem"):
        (tmp_path / name).write_text(pem(rsa_key(name)))
    return tmp_path


def tree_of(folder: Path, **changes: Any) -> dict[str, Any]:
    del folder  # in which the files lie that the section names
    tree = copy.deepcopy(promised())
    tree["reactions"] |= changes
    return tree


@cache
def promised() -> dict[str, Any]:
    """Return the section, which is read only once, because reading it takes half the time of most tests here."""
    with NamedTemporaryFile("w") as file:
        file.write(PROMISED)
        file.flush()
        return read_yaml(Path(file.name))


def entry(*do: Any, **changes: Any) -> list[dict[str, Any]]:
    return [{"rule": "reported", "do": list(do)} | changes]


def problems_of(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(tree)
    return caught.value.problems


@pytest.mark.long
def test_the_documented_section_is_read(folder: Path) -> None:
    settings = read(tree_of(folder)).reactions
    assert settings.mode is Mode.SHADOW
    assert [each.named for each in written(settings)] == [
        "reactions.on[0].do[0].revoke_sessions",
        "reactions.on[0].do[1].add_to_group",
        "reactions.on[0].do[2].suspend",
        "reactions.on[0].do[3].notify",
        "reactions.on[1].do[0].prompt",
        "reactions.on[1].do[0].prompt.then.denied[0].suspend",
        "reactions.on[1].do[0].prompt.then.timeout[0].notify",
    ]
    asks = {each.named.rpartition("].")[2] + each.answer: each.do.asks for each in written(settings)}
    assert asks == {
        "revoke_sessions": False,
        "add_to_group": False,
        "suspend": True,
        "notify": False,
        "prompt": False,
        "suspenddenied": False,
        "notifytimeout": False,
    }
    assert settings.limits.per_user.most == 2
    assert settings.limits.per_user.seconds == 3600
    assert [str(network) for network in settings.protect.ips] == ["198.51.100.0/24"]


def test_missing_keys_have_the_documented_defaults() -> None:
    tree = {"orgs": {"a": {"secrets": ["s"]}}, "sinks": {"a": {"kind": "file", "path": "/tmp/x"}}}
    settings = read(tree).reactions
    assert settings.mode is Mode.SHADOW
    assert settings.limits.model_dump() == {
        "per_user": "2/1h",
        "per_rule": "20/1h",
        "mending": "60/1h",
        "timed": "10/1h",
        "prompt": "20/1d",
        "prompt_per_user": "1/1d",
        "prompts_at_once": 5,
    }
    assert (settings.fresh, settings.approve_within) == (600, 900)
    assert settings.confirm == (EffectKind.TIMED, EffectKind.PROMPT)
    assert settings.protect.admins
    assert not settings.on


@pytest.mark.long
def test_the_output_of_config_show_is_read_as_the_same_settings(folder: Path) -> None:
    settings = read(tree_of(folder))
    shown = yaml.safe_load(yaml.safe_dump(settings.reactions.model_dump(mode="json", by_alias=True)))
    assert read(tree_of(folder, **shown)).reactions == settings.reactions


@pytest.mark.long
@pytest.mark.parametrize("word", [False, "off", "no"])
def test_the_word_off_is_understood_though_yaml_makes_it_false(folder: Path, word: Any) -> None:
    assert read(tree_of(folder, mode=word, on=[])).reactions.mode is Mode.OFF


@pytest.mark.long
def test_the_word_on_is_understood_though_yaml_makes_it_true(folder: Path) -> None:
    path = folder / "forwarder.yaml"
    path.write_text(PROMISED)
    assert len(read(read_yaml(path)).reactions.on) == 2
    helm = tree_of(folder)
    helm["reactions"]["true"] = helm["reactions"].pop("on")
    assert len(read(helm).reactions.on) == 2


@pytest.mark.long
@pytest.mark.parametrize("no", [False, "no"])
def test_the_word_no_is_understood_though_yaml_makes_it_false(folder: Path, no: Any) -> None:
    on = entry({"suspend": {"for": "4h"}, "approve": no})
    assert [each.do.asks for each in written(read(tree_of(folder, on=on)).reactions)] == [False]


TIMED = {"suspend": {"for": "4h"}}
PUSH: dict[str, Any] = {"by": "push"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mode": "enforced"}, "reactions.mode: write off, shadow or enforce"),
        ({"mode": True}, "reactions.mode: write off, shadow or enforce"),
        ({"on": [{"tag": "t1078.004", "do": ["revoke_sessions"]}]}, "reactions.on[0].tag: unknown tag t1078.004: no loaded rule has this tag; did you mean attack.t1078.004?"),
        ({"protect": {"users": ["*@corp.example"]}}, "reactions.protect.users[0]: *@corp.example has a `*`, but patterns are not supported; name each user"),
        ({"protect": {"groups": ["step-UP"]}, "on": entry({"add_to_group": {"group": "Step-up", "for": "1h"}})}, "reactions.on[0].do[0].add_to_group.group: Step-up is among `reactions.protect.groups`"),
        ({"set": {"issuer": "https://fw.example", "key": pem(rsa_key()), "jwks": "yes"}}, "reactions.set.jwks: write `serve`, or the URL"),
        ({"mode": "enforce", "protect": {"ips": ["198.51.100.7"]}}, "reactions.protect: `mode: enforce` needs at least one user or group"),
        ({"on": entry(TIMED, mode="enforce")}, "reactions.on[0].mode: enforce is stronger than `reactions.mode: shadow`"),
        ({"mode": "off", "on": entry(TIMED, mode="shadow")}, "reactions.on[0].mode: shadow is stronger than `reactions.mode: off`"),
        ({"limits": {"per_user": "2"}}, "reactions.limits.per_user: '2' is not a rate; write a count and a time, as in 2/1h"),
        ({"limits": {"per_user": 2}}, "reactions.limits.per_user: 2 is not a rate"),
        ({"limits": {"timed": "0/1h"}}, "reactions.limits.timed: 0 is outside 1 to 1,000,000"),
        ({"limits": {"timed": "5/1w"}}, "reactions.limits.timed: '1w' is not a time"),
        ({"limits": {"timed": "5/90d"}}, "reactions.limits.timed: 90d is outside 1s to 30d"),
        ({"limits": {"quiet": "5/1h"}}, "reactions.limits.quiet: unknown key"),
        ({"protect": {"user": ["x"]}}, "reactions.protect.user: unknown key; did you mean `users`?"),
        ({"protect": {"users": "x"}}, "reactions.protect.users: write a list"),
        ({"protect": {"ips": ["198.51.100.7/24"]}}, "reactions.protect.ips[0]: '198.51.100.7/24' has an address before the slash that is not the start of the network; write 198.51.100.0/24"),
        ({"protect": {"ips": ["corp"]}}, "reactions.protect.ips[0]: 'corp' is not an address or a network"),
        ({"fresh": "10s"}, "reactions.fresh: is outside 1m to 24h"),
        ({"approve_within": "2d"}, "reactions.approve_within: is outside 1m to 24h"),
        ({"confirm": ["all"]}, "reactions.confirm[0]: write quiet, mending, timed or prompt"),
        ({"ciba": {"client_id": "0oa"}}, "reactions.ciba.private_key: is required"),
        ({"ciba": {"client_id": "0oa", "private_key": "no key"}}, "reactions.ciba.private_key: "),
        ({"on": [{"do": ["revoke_sessions"]}]}, "reactions.on[0]: set exactly one of `rule`, `tag` and `level`"),
        ({"on": entry("revoke_sessions", level="high")}, "reactions.on[0]: set exactly one of `rule`, `tag` and `level`"),
        ({"on": entry()}, "reactions.on[0].do: at least one is required"),
        ({"on": entry("revoke_sessions", rule="reportd")}, "reactions.on[0].rule: unknown rule 'reportd': no loaded rule has this id or name; did you mean reported?"),
        ({"on": entry("revoke_sessions", rule="Signed in")}, "reactions.on[0].rule: unknown rule 'Signed in': no loaded rule has this id or name; write its name, signed_in"),
        ({"on": entry("revoke_sessions", rule="refused")}, "reactions.on[0].rule: refused only feeds a correlation"),
        ({"on": [{"tag": "attack.t1620", "do": ["revoke_sessions"]}]}, "reactions.on[0].tag: unknown tag attack.t1620: no loaded rule has this tag; did you mean attack.t1621?"),
        ({"on": [{"level": "severe", "do": ["revoke_sessions"]}]}, "reactions.on[0].level: write informational, low"),
        ({"on": entry("revoke_session")}, "reactions.on[0].do[0].revoke_session: unknown key; did you mean `revoke_sessions`?"),
        ({"on": entry({"deactivate": {}})}, "reactions.on[0].do[0].deactivate: unknown key"),
        ({"on": entry({"revoke_sessions": {}, "notify": "soc"})}, "reactions.on[0].do[0]: names notify and revoke_sessions; write exactly one action in each item of the list"),
        ({"on": entry({"approve": False})}, "reactions.on[0].do[0]: names no action"),
        ({"on": entry("suspend")}, "reactions.on[0].do[0].suspend.for: is required"),
        ({"on": entry({"suspend": {"for": "30s"}})}, "reactions.on[0].do[0].suspend.for: is outside 1m to 30d"),
        ({"on": entry({"block_ip": {"for": "31d"}})}, "reactions.on[0].do[0].block_ip.for: is outside 1m to 30d"),
        ({"on": entry({"add_to_group": {"group": "Step-up"}})}, "reactions.on[0].do[0].add_to_group.for: is required"),
        ({"on": entry({"add_to_group": {"grupo": "Step-up", "group": "Step-up", "for": "1h"}})}, "reactions.on[0].do[0].add_to_group.grupo: unknown key; did you mean `group`?"),
        ({"on": entry({"add_to_group": "Step-up", "for": "24h"})}, "reactions.on[0].do[0]: `for` belongs inside the braces of its action"),
        ({"on": entry({"revoke_sessions": {"for": "1h"}})}, ("reactions.on[0].do[0].revoke_sessions: this action is never undone, so `for` has no effect; remove "
            "`for`")),
        ({"on": entry({"notify": {"to": "soc", "for": "1h"}})}, "reactions.on[0].do[0].notify: this action is never undone"),
        ({"on": entry({"add_to_group": {"group": "Break-glass", "for": "1h"}})}, "reactions.on[0].do[0].add_to_group.group: Break-glass is among `reactions.protect.groups`"),
        ({"on": entry({"notify": "sok"})}, ("reactions.on[0].do[0].notify.to: unknown name sok: `reactions.webhooks` does not define it; did you "
            "mean soc?")),
        ({"on": entry({"risk_event": "rsk"})}, ("reactions.on[0].do[0].risk_event.to: unknown name rsk: `reactions.receivers` does not define it; did "
            "you mean risk?")),
        ({"on": entry("risk_event")}, "reactions.on[0].do[0].risk_event.to: is required; write one of: okta, risk"),
        ({"on": entry({"risk_event": {"to": "risk", "level": "none"}})}, "reactions.on[0].do[0].risk_event.level: write low, medium or high"),
        ({"on": entry({**TIMED, "approve": "maybe"})}, "reactions.on[0].do[0].approve: write `no`, `yes`, or a mapping with a time, such as {within: 15m}"),
        ({"on": entry({**TIMED, "approve": {"within": "1s"}})}, "reactions.on[0].do[0].approve: is outside 1m to 24h"),
        ({"on": entry({**TIMED, "approve": {"by": "soc"}})}, "reactions.on[0].do[0].approve: unknown key `by`"),
        ({"on": entry({"notify": "soc", "approve": True})}, "reactions.on[0].do[0].approve: notify announces approvals"),
        ({"on": entry({**TIMED, "user": "both"})}, "reactions.on[0].do[0].user: write actor or target"),
        ({"on": entry({"block_ip": {"for": "1h"}, "user": "target"})}, "reactions.on[0].do[0].user: block_ip does not act on a user"),
        ({"on": entry({"suspend": {"for": "1h"}}, {"suspend": {"for": "2h"}})}, "reactions.on[0].do[1].suspend: this action and reactions.on[0].do[0].suspend are the same action"),
        ({"on": entry({"suspend": {"for": "1h"}}, "expire_password")}, "reactions.on[0].do[1].expire_password: this action and reactions.on[0].do[0].suspend replace each other"),
        ({"on": entry({"suspend": {"for": "1h"}, "approve": False}, {"prompt": PUSH})}, "reactions.on[0].do[1].prompt: this action and reactions.on[0].do[0].suspend exclude each other"),
        ({"on": entry({"prompt": PUSH}, {"prompt": PUSH})}, "reactions.on[0].do[1].prompt: this action and reactions.on[0].do[0].prompt ask the user twice"),
        ({"on": [*entry({"suspend": {"for": "1h"}}), {"level": "critical", "do": ["expire_password"]}]}, "reactions.on[1].do[0].expire_password: this action and reactions.on[0].do[0].suspend replace each other"),
        ({"on": [*entry({"prompt": PUSH}), {"tag": "attack.t1078.004", "do": [{"prompt": PUSH}]}]}, "reactions.on[1].do[0].prompt: this action and reactions.on[0].do[0].prompt ask the user twice"),
        ({"on": entry({"prompt": {"by": "sms"}})}, "reactions.on[0].do[0].prompt.by: write push or ciba"),
        ({"on": entry({"prompt": {}})}, "reactions.on[0].do[0].prompt.by: is required"),
        ({"on": entry({"prompt": {**PUSH, "message": "Was it you"}})}, "reactions.on[0].do[0].prompt.message: a push shows no text"),
        ({"ciba": None, "on": entry({"prompt": {"by": "ciba"}})}, "reactions.on[0].do[0].prompt.by: ciba needs `reactions.ciba`"),
        ({"on": entry({"prompt": {**PUSH, "then": {"refused": ["revoke_sessions"]}}})}, "reactions.on[0].do[0].prompt.then.refused: unknown key"),
        ({"on": entry({"prompt": {**PUSH, "then": {"approved": ["revoke_sessions"]}}})}, "reactions.on[0].do[0].prompt.then.approved[0].revoke_sessions: after `approved`, only notify may follow"),
        ({"on": entry({"prompt": {**PUSH, "then": {"approved": [{"risk_event": "risk"}]}}})}, "reactions.on[0].do[0].prompt.then.approved[0].risk_event: after `approved`, only notify may follow"),
        ({"on": entry({"prompt": {**PUSH, "then": {"denied": [{"prompt": PUSH}]}}})}, "reactions.on[0].do[0].prompt.then.denied[0]: a prompt cannot follow a prompt"),
        ({"on": entry({"prompt": PUSH}, rule="refused_often")}, "reactions.on[0].do: a prompt cannot follow the rule 'Refused often', which can match events about factors (user.authentication.auth_via_mfa)"),
        ({"on": entry({"prompt": PUSH}, rule="any_event")}, "reactions.on[0].do: a prompt cannot follow the rule 'Any event', which can match events about factors ("),
        ({"on": [{"tag": "attack.t1621", "do": [{"prompt": PUSH}]}]}, "reactions.on[0].do: a prompt cannot follow the rule 'Refused often'"),
        ({"on": entry("revoke_sessions", orgs=["acm"])}, "reactions.on[0].orgs: unknown org acm; did you mean acme?"),
        ({"on": entry("universal_logout")}, "orgs.acme.api.scopes: lacks okta.universalLogout.manage, which universal_logout needs (reactions.on[0].do[0])"),
        ({"on": entry("user_risk")}, "orgs.acme.api.scopes: lacks okta.userRisk.manage, which user_risk needs"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_path_and_a_hint(folder: Path, changes: dict[str, Any], problem: str) -> None:
    (line,) = problems_of(tree_of(folder, **changes))
    assert line.startswith(problem)
    assert "planted" not in line


@pytest.mark.long
def test_all_mistakes_of_the_section_are_refused_together(folder: Path) -> None:
    tree = tree_of(
        folder,
        mode="enforce",
        protect={},
        limits={"per_user": "many"},
        on=[
            {
                "rule": "reportd",
                "do": [{"suspend": {"for": "31d"}}, "revoke_session", {"notify": "sok"}, "user_risk"],
            },
            {
                "rule": "refused_often",
                "do": [{"prompt": {"by": "push", "then": {"approved": ["revoke_sessions"], "denied": ["suspend"]}}}],
            },
        ],
    )  # fmt: skip
    tree["rules"]["late"] = "soon"
    assert [line.split(": ")[0] for line in problems_of(tree)] == [
        "orgs.acme.api.scopes",
        "reactions.limits.per_user",
        "reactions.on[0].do[0].suspend.for",
        "reactions.on[0].do[1].revoke_session",
        "reactions.on[0].do[2].notify.to",
        "reactions.on[1].do[0].prompt.then.approved[0].revoke_sessions",
        "reactions.on[1].do[0].prompt.then.denied[0].suspend.for",
        "reactions.protect",
        "rules.late",
    ]
    del tree["rules"]["late"]
    more = [line.split(": ")[0] for line in problems_of(tree)]
    assert "reactions.on[0].rule" in more
    assert "reactions.on[1].do" in more


@pytest.mark.long
@pytest.mark.parametrize("key", ["webhooks", "receivers", "set", "ciba", "protect", "mode"])
def test_a_reference_to_a_wrong_value_is_not_a_second_problem(folder: Path, key: str) -> None:
    on = entry({"notify": "soc"}, {"risk_event": "risk"}, {"prompt": {"by": "ciba"}})
    wrong: dict[str, Any] = {"soc": {}} if key == "webhooks" else {"risk": {}} if key == "receivers" else {"x": 1}
    changes = {"mode": "enforce", "on": on, key: "x" if key == "mode" else wrong}
    lines = problems_of(tree_of(folder, **changes))
    assert all(line.startswith(f"reactions.{key}") for line in lines)


@pytest.mark.long
def test_the_rest_of_the_file_is_checked_beside_a_mistake_in_the_section(folder: Path) -> None:
    tree = tree_of(folder, on=entry("suspend"))
    tree["orgs"]["acme"]["api"]["private_key"] = "no key"
    assert [line.split(": ")[0] for line in problems_of(tree)] == [
        "orgs.acme.api.private_key",
        "reactions.on[0].do[0].suspend.for",
    ]


@pytest.mark.long
def test_actions_need_the_api_of_every_org_that_they_are_about(folder: Path) -> None:
    tree = tree_of(folder, on=entry("revoke_sessions", {"add_to_group": {"group": "G", "for": "1h"}}))
    tree["orgs"]["beta"] = {"secrets": ["b"], "path": "/beta"}
    no_log = "needs the System Log, which is read with an org's `api`"
    assert [line.partition(";")[0] for line in problems_of(tree)] == [
        "reactions.on[0].do[0].revoke_sessions: needs the API of beta",
        f"reactions.confirm: {no_log}, but beta has no `api` (reactions.on[0].do[1].add_to_group)",
    ]
    tree["reactions"]["on"][0]["orgs"] = ["acme"]
    assert read(tree).reactions.on[0].orgs == ("acme",)


@pytest.mark.long
def test_confirmation_needs_a_system_log_that_is_read(folder: Path) -> None:
    tree = tree_of(folder, on=[], receivers={}, set=None)
    del tree["orgs"]["acme"]["api"]
    (line,) = problems_of(tree)
    assert line.startswith("reactions.confirm: needs the System Log")
    tree["reactions"]["confirm"] = []
    read(tree)


@pytest.mark.long
def test_an_entry_in_mode_off_needs_nothing_so_it_can_always_be_switched_off(folder: Path) -> None:
    tree = tree_of(folder, on=entry("universal_logout", mode="off"))
    assert read(tree).reactions.on[0].mode is Mode.OFF
    tree = tree_of(folder, mode=False, on=entry("universal_logout"))
    assert read(tree).reactions.mode is Mode.OFF


@pytest.mark.long
def test_risk_events_of_one_org_are_not_sent_to_another(folder: Path) -> None:
    tree = tree_of(folder, on=entry({"risk_event": "okta"}))
    tree["orgs"]["beta"] = {"secrets": ["b"], "path": "/beta"}
    (line,) = problems_of(tree)
    assert line.startswith("reactions.on[0].do[0].risk_event.to: okta is the org acme, which accepts no events")


def test_an_unknown_org_of_a_receiver_is_one_problem(folder: Path) -> None:
    tree = tree_of(folder, on=entry({"risk_event": "okta"}))
    tree["reactions"]["receivers"]["okta"]["org"] = "acmee"
    assert problems_of(tree) == ["reactions.receivers.okta.org: unknown org acmee; remove it, or correct the name"]


@pytest.mark.long
def test_an_app_for_ciba_is_of_one_org(folder: Path) -> None:
    tree = tree_of(folder, on=entry({"prompt": {"by": "ciba"}}))
    tree["orgs"]["beta"] = tree["orgs"]["acme"] | {"url": "https://beta.okta.com", "path": "/beta"}
    (line,) = problems_of(tree)
    assert line.startswith("reactions.on[0].do[0].prompt.by: the app of `reactions.ciba` belongs to one org")


def test_without_rules_no_alert_leads_to_anything(folder: Path) -> None:
    tree = tree_of(folder)
    del tree["rules"]
    (line,) = problems_of(tree)
    assert line.startswith("reactions.on: there are no rules whose alerts could lead to actions")


@pytest.mark.long
def test_an_api_token_needs_no_scopes_but_its_id(folder: Path) -> None:
    tree = tree_of(folder, mode="enforce", on=entry("universal_logout"))
    tree["orgs"]["acme"]["api"] = {"token": "00planted-token"}
    assert any("api.token_id: is not set" in line for line in warnings_of(tree))
    tree["orgs"]["acme"]["api"]["token_id"] = "00T4x1"
    assert not any("token_id" in line for line in warnings_of(tree))
    tree["orgs"]["acme"]["api"]["token_id"] = "4x1"
    assert problems_of(tree)[0].startswith("orgs.acme.api.token_id")


@pytest.mark.long
def test_a_mistyped_scope_is_refused_and_a_scope_of_another_use_is_not(folder: Path) -> None:
    tree = tree_of(folder, on=[])
    tree["orgs"]["acme"]["api"]["scopes"] = ["okta.logs.read", "okta.devices.read", "okta.userTypes.read"]
    read(tree)
    tree["orgs"]["acme"]["api"]["scopes"] = ["okta.logs.read", "okta.user.manage"]
    (line,) = problems_of(tree)
    assert line == "orgs.acme.api.scopes: unknown scope okta.user.manage; did you mean okta.users.manage?"


def warnings_of(tree: dict[str, Any]) -> list[str]:
    settings: Settings = read(tree)
    return [line for line in config_check.WARNINGS["reactions.state"](settings) if line]


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"on": entry({"prompt": PUSH})}, "reactions.on[0].do[0].prompt.by: a push shows no text"),
        ({"on": entry(TIMED)}, "reactions.on[0].do[0].suspend: waits for a human, but this entry does not notify anyone"),
        ({"fresh": "30m"}, "reactions.fresh: is longer than `rules.late`"),
        ({"confirm": ["timed"]}, "reactions.confirm: leaves out prompt"),
        ({"protect": {"admins": False}}, "reactions.protect.admins: is false, so actions can hit administrators"),
        ({"protect": {}}, "orgs.acme.api.scopes: lacks okta.roles.read, which shows administrators"),
    ],
)  # fmt: skip
def test_an_unwise_setting_is_a_warning(folder: Path, changes: dict[str, Any], warning: str) -> None:
    assert any(line.startswith(warning) for line in warnings_of(tree_of(folder, **changes)))


@pytest.mark.long
@pytest.mark.parametrize(
    ("choice", "warning"),
    [
        ({"level": "high"}, None),
        ({"level": "critical"}, None),
        ({"level": "medium"}, None),
        ({"tag": "attack.t1621"}, None),  # of the correlation
        ({"level": "low"}, "reactions.on[1].level: rules with the level low only feed correlations"),
    ],
)
def test_an_entry_that_no_rule_matches_is_a_warning_with_its_path(
    folder: Path, choice: dict[str, Any], warning: str | None
) -> None:
    choices = [{"rule": "reported", "do": ["revoke_sessions"]}, choice | {"do": ["revoke_sessions"]}]
    found = [line for line in warnings_of(tree_of(folder, on=choices)) if line.startswith("reactions.on")]
    assert [line[: len(warning or "")] for line in found] == ([warning] if warning else [])


@pytest.mark.long
def test_a_level_that_no_rule_has_is_a_warning_with_the_levels_of_the_rules(folder: Path) -> None:
    tree = tree_of(folder, on=[{"level": "low", "do": ["revoke_sessions"]}])
    rules = (folder / "rules.yml").read_text()
    (folder / "rules.yml").write_text(rules.replace("level: low", "level: high"))
    assert (
        "reactions.on[0].level: no loaded rule has the level low, so nothing leads to these actions; "
        "write one that rules have: critical, high, informational, medium"
    ) in warnings_of(tree)


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"mode": "enforce"}, True),
        ({"mode": "shadow"}, False),
        ({"mode": "enforce", "confirm": ["quiet", "timed", "prompt"]}, False),
    ],
)
def test_a_risk_that_a_rule_sets_wants_confirmed_events(folder: Path, changes: dict[str, Any], *, warned: bool) -> None:
    tree = tree_of(folder, on=entry("user_risk"), **changes)
    tree["orgs"]["acme"]["api"]["scopes"].append("okta.userRisk.manage")
    found = [line for line in warnings_of(tree) if line.startswith("reactions.confirm: leaves out quiet")]
    assert bool(found) is warned


@pytest.mark.long
def test_an_entry_in_mode_off_has_no_warning(folder: Path) -> None:
    assert warnings_of(tree_of(folder, mode="off", on=entry({"prompt": PUSH}, TIMED, mode="off"))) == []


@pytest.mark.long
def test_what_a_human_needs_to_approve_is_asked_for(folder: Path) -> None:
    soc = {"soc": {"url": "https://soc.example/okta", "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMQ=="}}
    tree = tree_of(folder, on=entry(TIMED, {"notify": "soc"}), webhooks=soc)
    found = warnings_of(tree | {"ops": {}})
    assert any(line.startswith("ops.token: is not set, so operators can approve an action only with") for line in found)
    assert any(line.startswith("ops.url: is not set, so the links of approvals") for line in found)
    ops = {"token": "the-token-of-the-operators", "url": "https://fw.example"}
    assert not [line for line in warnings_of(tree | {"ops": ops}) if line.startswith("ops.")]
    nothing_asks = tree_of(folder, on=entry("revoke_sessions"), webhooks=soc) | {"ops": {}}
    assert not [line for line in warnings_of(nothing_asks) if line.startswith("ops.")]
