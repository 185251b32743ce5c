"""Maps names of event types in Okta's old Events API to the types that replaced them in the System Log.

The names are from Okta's guide to the migration from the Events API. Each event still has its old name in
`legacyEventType`. An old name and the type that replaced it are spelled so differently that a search for similar names
would suggest wrong types.
"""

from forwarder.core.catalogue import EVENT_TYPES

_BY_TYPE = {
    "application.integration.rate_limit_exceeded": "app.api.error.rate.limit.exceeded",
    "application.lifecycle.activate": "app.generic.config.app_activated",
    "application.lifecycle.deactivate": "app.generic.config.app_deactivated",
    "application.lifecycle.delete": "app.generic.config.app_deleted",
    "application.lifecycle.update": "app.generic.config.app_updated",
    "application.provision.user.activate": "app.user_management.activate_user",
    "application.provision.user.deactivate": "app.user_management.deactivate_user",
    "application.provision.user.deprovision": "app.user_management.deprovision_task_complete",
    "application.provision.user.push": "app.user_management.push_new_user app.user_management.push_pending_user",
    "application.provision.user.push_okta_password": "app.user_management.push_okta_password_update",
    "application.provision.user.push_password": "app.user_management.push_unique_password_update",
    "application.provision.user.push_profile": (
        "app.user_management.push_profile_failure app.user_management.push_profile_success "
        "app.user_management.push_profile_update"
    ),
    "application.provision.user.reactivate": "app.user_management.reactivate_user",
    "application.provision.user.sync": "app.user_management.provision_user app.user_management.provision_user_failed",
    "application.provision.user.verify_exists": "app.user_management.verified_user_with_thirdparty",
    "application.user_membership.add": "app.generic.provision.assign_user_to_app",
    "application.user_membership.approve": "app.generic.provision.approve_user_for_app",
    "application.user_membership.change_password": "app.generic.config.app_password_update",
    "application.user_membership.change_username": "app.generic.config.app_username_update",
    "application.user_membership.deprovision": "app.generic.provision.deprovision_user_from_app",
    "application.user_membership.provision": "app.generic.provision.provision_user_for_app",
    "application.user_membership.remove": "app.generic.provision.deactivate_user_from_app",
    "application.user_membership.restore": "app.generic.reversibility.individual.app.recovery",
    "application.user_membership.restore_password": "app.generic.reversibility.credentials.recovery",
    "application.user_membership.revoke": "app.generic.provision.revoke_user_from_app",
    "application.user_membership.show_password": "app.generic.show.password",
    "application.user_membership.update": "app.generic.config.app_user_property_update",
    "group.user_membership.add": "core.user_group_member.user_add",
    "group.user_membership.remove": "core.user_group_member.user_remove",
    "group.user_membership.rule.add_exclusion": "core.user.added_to_rule_exclusion",
    "group.user_membership.rule.deactivated": "cvd.group_rule_deactivated",
    "group.user_membership.rule.invalidate": "cvd.group_rule_invalidated",
    "group.user_membership.rule.trigger": "cvd.group_rule_triggered",
    "policy.lifecycle.activate": "policy.activated",
    "policy.lifecycle.create": "policy.created",
    "policy.lifecycle.deactivate": "policy.deactivated",
    "policy.lifecycle.delete": "policy.deleted",
    "policy.lifecycle.overwrite": "policy.overwritten",
    "policy.lifecycle.update": "policy.updated",
    "policy.rule.activate": "policy.rule.activated",
    "policy.rule.add": "policy.rule.added",
    "policy.rule.deactivate": "policy.rule.deactivated",
    "policy.rule.delete": "policy.rule.deleted",
    "policy.rule.invalidate": "policy.rule.invalidated",
    "policy.rule.update": "policy.rule.updated",
    "system.api_token.create": "api.token.create core.user.api_token.create",
    "system.api_token.revoke": "api.token.revoke",
    "system.email.account_unlock.sent_message": "core.user.email.message_sent.self_service.account_unlock",
    "system.email.new_device_notification.sent_message": "core.user.email.message_sent.new_device_notification",
    "system.email.password_reset.sent_message": "core.user.email.message_sent.self_service.password_reset",
    "system.import.complete": "app.generic.import.complete",
    "system.import.start": "app.generic.import.started",
    "system.org.lifecycle.create": "core.org.config.org_creation.failure core.org.config.org_creation.success",
    "system.org.rate_limit.violation": "core.framework.ratelimit.exceeded",
    "system.org.rate_limit.warning": "core.framework.ratelimit.warning",
    "system.sms.send_account_unlock_message": "core.user.sms.message_sent.self_service.account_unlock",
    "system.sms.send_factor_verify_message": "core.user.sms.message_sent.factor",
    "system.sms.send_okta_push_verify_message": "core.user.sms.message_sent.push_verify.activation",
    "system.sms.send_password_reset_message": (
        "core.user.sms.message_sent.forgotpw core.user.sms.message_sent.self_service.password_reset"
    ),
    "system.sms.send_phone_verification_message": "core.user.sms.message_sent.verify",
    "system.voice.send_call": "core.user.call_made.factor",
    "user.account.lock": "core.user_auth.account_locked",
    "user.account.privilege.grant": "core.user.admin_privilege.granted",
    "user.account.privilege.revoke": "core.user.admin_privilege.revoked",
    "user.account.report_suspicious_activity_by_enduser": ("core.user.account.report_suspicious_activity_by_enduser"),
    "user.account.reset_password": "core.user.config.user_status.password_reset",
    "user.account.unlock": "core.user_auth.account_auto_unlocked",
    "user.account.unlock_by_admin": "core.user_auth.account_unlocked_by_admin",
    "user.account.unlock_failure": "core.user_auth.user.account.unlock_failure",
    "user.account.unlock_token": "core.user_auth.self_service.account_unlock.issued_recovery_token",
    "user.account.update_password": (
        "core.user.config.password_update.failure core.user.config.password_update.success"
    ),
    "user.account.update_primary_email": "core.user.config.update_primary_email",
    "user.account.update_profile": "core.user.config.profile_update.success",
    "user.account.update_secondary_email": "core.user.config.update_secondary_email",
    "user.account.use_token": "core.user_auth.self_service.invalid_recovery_token",
    "user.authentication.auth_via_mfa": "core.user.factor.attempt_fail core.user.factor.attempt_success",
    "user.authentication.auth_via_radius": ("core.user_auth.radius.login.failed core.user_auth.radius.login.succeeded"),
    "user.authentication.sso": "app.auth.sso",
    "user.lifecycle.activate": "core.user.config.user_activated",
    "user.lifecycle.create": "core.user.config.user_creation.failure core.user.config.user_creation.success",
    "user.lifecycle.deactivate": "core.user.config.user_deactivated",
    "user.lifecycle.delete.completed": "core.user.config.user_status.delete.completed",
    "user.lifecycle.delete.initiated": "core.user.config.user_status.delete.initiated",
    "user.lifecycle.password_mass_expiry": "core.user.config.user_status.password_mass_expiry",
    "user.lifecycle.reactivate": "core.user.config.user_reactivation.success",
    "user.lifecycle.suspend": "core.user.config.user_status.suspended",
    "user.lifecycle.unsuspend": "core.user.config.user_status.unsuspended",
    "user.mfa.attempt_bypass": "core.user_auth.mfa_bypass_attempted",
    "user.mfa.factor.activate": "core.user.factor.activate",
    "user.mfa.factor.deactivate": "core.user.factor.deactivate",
    "user.mfa.factor.reset_all": "core.user.factor.reset_all",
    "user.mfa.factor.update": "core.user.factor.update",
    "user.mfa.okta_verify": "core.user_auth.mfa_okta_verify_response",
    "user.mfa.okta_verify.deny_push": "core.user.factor.push_rejected",
    "user.session.access_admin_app": "app.admin.sso.login.failure app.admin.sso.login.success",
    "user.session.clear": "core.user_auth.session_clear",
    "user.session.end": "core.user_auth.logout_success",
    "user.session.expire": "core.user_auth.session_expired",
    "user.session.impersonation.end": "core.user.impersonation.session.ended",
    "user.session.impersonation.extend": "core.user.impersonation.grant.extended",
    "user.session.impersonation.grant": "core.user.impersonation.grant.enabled",
    "user.session.impersonation.initiate": "core.user.impersonation.session.initiated",
    "user.session.impersonation.revoke": "core.user.impersonation.grant.revoked",
    "user.session.start": (
        "core.user_auth.login_denied core.user_auth.login_failed core.user_auth.login_failed.policy_denied "
        "core.user_auth.login_success core.user_auth.session_created_using_api_token "
        "core.user_auth.session_created_using_token"
    ),
}
_BECAME = {old: event_type for event_type, names in _BY_TYPE.items() for old in names.split()}

NAMES = frozenset(_BECAME)
"""Names of the Events API, in lower case. The list is not complete."""

_GROUPS = {
    "app.inbound_del_auth.failure.": "user.authentication.auth_via_inbound_delauth",
    "app.ldap.login.": "user.authentication.auth_via_LDAP_agent",
    "app.rich_client.": "user.authentication.auth_via_richclient",
    "core.user_auth.authentication.": "user.authentication.authenticate",
    "core.user_auth.duo.": "user.authentication.auth_via_mfa",
    "core.user_auth.idp.social.": "user.authentication.auth_via_social",
    "core.user_auth.idp.": "user.authentication.auth_via_IDP",
    "core.user_auth.saml2.": "user.authentication.auth_via_inbound_SAML",
    "core.user_auth.self_service.account_unlock": "user.account.unlock",
    "core.user_auth.self_service.password_reset": "user.account.reset_password",
}
"""Beginnings of old names. The value is the one type that replaced all old names with this beginning."""

_ENDINGS = ("_success", "_failure", "_legacy", ".legacy")
"""Suffixes that names in the Events API have, and names in the System Log do not."""

_NAMESPACES = ("core.", "app.", "cvd.", "iwa.", "platform.", "framework.", "api.")


def is_legacy(name: str) -> bool:
    """Whether `name`, which is not in the catalogue, may be an event type of the Events API."""
    return name.strip().lower().startswith(_NAMESPACES) or became(name) is not None


def became(name: str) -> str | None:
    """Return the event type of the System Log that replaced `name`, a type of the Events API; None if no replacement is
    known."""
    folded = name.strip().lower()
    for ending in _ENDINGS:
        if (today := folded.removesuffix(ending)) in EVENT_TYPES and today != folded:
            return today
    group = next((found for start, found in _GROUPS.items() if folded.startswith(start)), None)
    return _BECAME.get(folded) or group
