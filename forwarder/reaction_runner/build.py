"""Builds the parts of reactions from the settings; a reload replaces all of them at once."""

from collections.abc import Callable, Mapping, Sequence

from forwarder.core.action import Action, ActionStore
from forwarder.core.event import Event, Source, read_event
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.okta.api.client import OktaClient
from forwarder.okta.zones.blocklist import Blocklist
from forwarder.okta.zones.build import protected_by, zone_writer
from forwarder.react.action_rows.in_memory import ActionsInMemory, horizon_of
from forwarder.react.actions import okta as actions
from forwarder.react.actions.receivers import Notify, RiskEvent
from forwarder.react.actions.security_event import SecurityEvents
from forwarder.react.actions.webhook import Webhooks
from forwarder.react.approval_notifications import approval_notifications
from forwarder.react.guards.guards import Guards
from forwarder.react.guards.judgement import Judgement
from forwarder.react.guards.pauses import Pauses
from forwarder.react.plan import Plans
from forwarder.react.ports import Answer, Seen
from forwarder.react.prompts.asking import Prompts
from forwarder.react.prompts.oauth import CibaApp
from forwarder.react.runtime_problems import ReactionFinding, missing_groups, stranded_effects
from forwarder.reaction_check import known_rules
from forwarder.reaction_runner.guard_settings import guard_settings
from forwarder.reaction_runner.okta_calls import OktaCalls
from forwarder.reaction_runner.zone_action import BlockIp
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.settings import Settings
from forwarder.setup.okta_role.needs import concerned


class Reactions:
    """Implements `react.engine_parts.Parts` for one configuration."""

    def __init__(  # noqa: PLR0913  # everything that it connects
        self,
        settings: Settings,
        rules: Ruleset,
        client: Callable[[str], OktaClient | None],
        store: ActionStore,
        *,
        memory: ActionsInMemory,
        pauses: Callable[[], Pauses],
        clock: Clock,
    ) -> None:
        """Build all parts; connect to nothing yet. `memory`, `store` and `pauses` outlive this object.

        Raises:
            SettingsError: a certificate cannot be used.
        """
        self._settings = settings
        self._client = client
        self._clock = clock
        self._zones: dict[str, tuple[OktaClient, Blocklist]] = {}
        reactions, okta = settings.reactions, OktaCalls(client, clock)
        self._plans = Plans(reactions, known_rules(rules))
        self._webhooks = Webhooks(reactions.webhooks, clock)
        urls = {name: org.url for name, org in settings.orgs.items()}
        self._events = SecurityEvents(reactions, urls, clock)
        self.acts: Mapping[str, actions.Act] = {
            "notify": Notify(self._webhooks),
            "risk_event": RiskEvent(self._events),
            "user_risk": actions.UserRisk(okta),
            "revoke_sessions": actions.RevokeSessions(okta),
            "universal_logout": actions.UniversalLogout(okta),
            "expire_password": actions.ExpirePassword(okta),
            "add_to_group": actions.AddToGroup(okta, spares_admins=reactions.protect.admins),
            "suspend": actions.Suspend(okta),
            "block_ip": BlockIp(self._blocklist),
        }
        self.prompts = Prompts(okta, _ciba_apps(settings), clock)
        values = guard_settings(settings, self._plans.mode_of)
        self.horizon = horizon_of(values.limits.values())
        self._guards = Guards(values, okta, self._look, store, memory, pauses=pauses, now=clock.now)

    async def judge(self, action: Action, now: Micros) -> Judgement:
        return await self._guards.judge(action, now)

    def plan(self, alert: Event, at: Micros) -> Sequence[Action]:
        return self._plans.plan(alert, at)

    def answered(self, prompt: Action, answer: str, at: Micros) -> Sequence[Action]:
        return self._plans.answered(prompt, answer, at)

    def announced(self, action: Action, at: Micros) -> Sequence[Action]:
        """Return the notifications that `action` waits for approval. They go to the webhooks that get the alert; if no
        webhook gets the alert, to all webhooks."""
        webhooks: list[str] = []
        if action.subject:
            alert = read_event(action.subject, org=action.org, source=Source.ALERT, received_at=at)
            webhooks = [str(one.settings["to"]) for one in self.plan(alert, at) if one.name == "notify"]
        names = webhooks or list(self._settings.reactions.webhooks)
        return approval_notifications(action, names, self._approval_url, at)

    async def newly_protected(self) -> Sequence[Action]:
        return await self._guards.newly_protected()

    async def findings(self, effects: Sequence[Action]) -> Sequence[ReactionFinding]:
        reactions = self._settings.reactions
        acting = [name for name in self._settings.orgs if self._client(name) and concerned(reactions, name)]
        groups = await missing_groups(self._guards.directory, acting, reactions.protect.groups)
        return [*groups, *stranded_effects(effects, lambda org: self._client(org) is not None)]

    async def close(self) -> None:
        await self.prompts.close()
        await self._webhooks.close()
        await self._events.close()

    async def _look(self, action: Action) -> Seen:
        act = self.acts.get(action.name)
        return await act.look(action) if act else Seen(Answer(200))  # a prompt changes no target

    def _approval_url(self, action: Action) -> str:
        ops = self._settings.ops
        return f"{(ops.url or f'{ops.scheme}://{ops.listen}').rstrip('/')}/approve/{action.id}"

    def _blocklist(self, name: str) -> Blocklist | None:
        """Return the blocklist of the org `name`, which uses the org's current API client; None if the org has no
        client."""
        client, org = self._client(name), self._settings.orgs.get(name)
        if client is None or org is None or org.url is None or org.api is None:
            return None
        known = self._zones.get(name)
        if known is None or known[0] is not client:
            protected = protected_by("reactions.protect.ips", self._settings.reactions.protect.ips)
            writer = zone_writer(
                name,
                org.url,
                org,
                client,
                self._clock,
                store=self._settings.store.path,
                client_id=org.api.client_id,
                protected=protected,
            )
            known = self._zones[name] = (client, Blocklist(org.blocklist, writer))
        return known[1]


def _ciba_apps(settings: Settings) -> dict[str, CibaApp]:
    ciba = settings.reactions.ciba
    if ciba is None:
        return {}
    key = ciba.private_key.reveal()
    return {
        name: CibaApp(org.url, ciba.client_id, key, server=ciba.server, key_id=ciba.key_id)
        for name, org in settings.orgs.items()
        if org.url is not None
    }
