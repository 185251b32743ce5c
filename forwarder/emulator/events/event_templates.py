"""What an event of each type tells: who acts, on what, how often, and how it may fail.

Common types have a story of their own; all others, and types that Okta adds later, take that of their longest known prefix.
"""

from functools import cache
from typing import Literal

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE

Actor = Literal["user", "admin", "client", "system"]


class Story(msgspec.Struct, frozen=True):
    """How events of one type look.

    Attributes:
        weight: how often it happens, beside the others.
        actor: who acts; `system` acts in a job, without any client.
        targets: kinds of what it acts on.
        message: what a human reads; empty: made from the type's name.
        severity: Okta's word.
        result: of one that went well.
        failed: share of those that do not go well.
        failure: result of those.
        reasons: why they do not.
        debug: what else the debug data says: keys with their possible values.
        signs_in: somebody proves who they are, so risk, behaviour and device are judged.
        legacy: Okta's older name of the type.
    """

    weight: float = 0.2
    actor: Actor = "admin"
    targets: tuple[str, ...] = ()
    message: str = ""
    severity: str = "INFO"
    result: str = "SUCCESS"
    failed: float = 0.0
    failure: str = "FAILURE"
    reasons: tuple[str, ...] = ()
    debug: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    signs_in: bool = False
    legacy: str | None = None


_FACTORS = (
    "OKTA_VERIFY_PUSH", "FIDO_WEBAUTHN", "SIGNED_NONCE", "OKTA_SOFT_TOKEN", "SMS_FACTOR", "PASSWORD_AS_FACTOR",
)  # fmt: skip
_ROLES = (
    "Super administrator",
    "Application administrator",
    "Help desk administrator",
    "Read-only administrator",
)

_COMMON = {
    "user.session.start": Story(60, "user", ("AuthenticatorEnrollment", "AppInstance"), "User signs in to Okta", failed=0.15, reasons=("INVALID_CREDENTIALS", "VERIFICATION_ERROR", "LOCKED_OUT"), signs_in=True, legacy="core.user_auth.login_success"),
    "user.session.end": Story(15, "user", (), "User signs out of Okta", legacy="core.user_auth.logout_success"),
    "user.authentication.auth_via_mfa": Story(50, "user", ("User", "AuthenticatorEnrollment"), "Second factor is checked", failed=0.08, reasons=("INVALID_CREDENTIALS", "User rejected the push", "Factor timed out", "FastPass declined phishing attempt"), debug={"factor": _FACTORS}, signs_in=True),
    "user.authentication.sso": Story(80, "user", ("AppInstance", "AppUser"), "User opens an app by single sign-on", failed=0.02, reasons=("User is not assigned to this app",), debug={"signOnMode": ("SAML 2.0", "OpenID Connect", "Secure Web Authentication"), "initiationType": ("SP_INITIATED", "IDP_INITIATED")}, signs_in=True, legacy="app.auth.sso"),
    "user.authentication.auth_via_IDP": Story(5, "user", ("IdentityProvider",), "User signs in at another identity provider", failed=0.1, reasons=("Signature of the assertion is not valid",), signs_in=True),
    "user.authentication.auth_via_social": Story(2, "user", ("IdentityProvider",), signs_in=True),
    "user.account.lock": Story(2, "user", ("User",), "Account is locked after too many tries", "WARN", "FAILURE", reasons=("LOCKED_OUT",)),
    "user.account.unlock": Story(1.5, "user", ("User",)),
    "user.account.update_password": Story(4, "user", ("User",), "User changes their password", failed=0.05, reasons=("PASSWORD_REQUIREMENTS_NOT_MET",)),
    "user.account.reset_password": Story(4, "admin", ("User",), "Password is reset"),
    "user.account.update_profile": Story(8, "admin", ("User",), "Profile is changed", debug={"changedAttributes": ("title", "department,manager", "mobilePhone")}),
    "user.account.privilege.grant": Story(2, "admin", ("User",), "Admin rights are granted", debug={"privilegeGranted": _ROLES}),
    "user.account.privilege.revoke": Story(1, "admin", ("User",), "Admin rights are taken away", debug={"privilegeRevoked": _ROLES}),
    "user.account.report_suspicious_activity_by_enduser": Story(0.5, "user", ("User",), "User reports activity that was not theirs", "WARN", debug={"suspiciousActivityEventType": ("user.mfa.factor.activate", "user.session.start")}),
    "user.lifecycle.create": Story(5, "admin", ("User",), "User is created"),
    "user.lifecycle.activate": Story(5, "admin", ("User",), "User is activated"),
    "user.lifecycle.deactivate": Story(2, "admin", ("User",), "User is deactivated"),
    "user.lifecycle.suspend": Story(0.6, "admin", ("User",), "User is suspended"),
    "user.mfa.factor.activate": Story(5, "user", ("User",), "Factor is enrolled", debug={"factor": _FACTORS}),
    "user.mfa.factor.deactivate": Story(2, "user", ("User",), "Factor is removed", debug={"factor": _FACTORS}),
    "user.mfa.factor.reset_all": Story(1, "admin", ("User",), "All factors of a user are reset", "WARN"),
    "user.risk.change": Story(1.5, "system", ("User",), "Risk of a user changes", "WARN", debug={"risk": ("{level=HIGH, previousLevel=LOW}", "{level=MEDIUM, previousLevel=HIGH}")}),
    "user.risk.detect": Story(1.5, "user", ("User",), "Risk of a user is found", "WARN", debug={"detectionName": ("Suspicious app access", "Session hijacking")}, signs_in=True),
    "user.session.context.change": Story(1.5, "user", ("User",), "Session goes on from another context", "WARN", signs_in=True),
    "user.session.clear": Story(1, "admin", ("User",), "Sessions of a user are ended"),
    "group.user_membership.add": Story(18, "system", ("User", "UserGroup"), "User joins a group", legacy="core.user_group_member.user_add"),
    "group.user_membership.remove": Story(9, "admin", ("User", "UserGroup"), "User leaves a group", legacy="core.user_group_member.user_remove"),
    "group.privilege.grant": Story(0.6, "admin", ("UserGroup",), "Admin rights are granted to a group", debug={"privilegeGranted": _ROLES}),
    "application.user_membership.add": Story(10, "admin", ("AppUser", "AppInstance", "User"), "App is assigned to a user"),
    "application.user_membership.remove": Story(5, "admin", ("AppUser", "AppInstance", "User"), "App is taken from a user"),
    "application.lifecycle.create": Story(0.6, "admin", ("AppInstance",), "App is added"),
    "application.lifecycle.update": Story(1.5, "client", ("AppInstance",), "App is changed", legacy="app.generic.config.app_updated"),
    "application.policy.sign_on.deny_access": Story(2, "user", ("AppInstance", "PolicyRule"), "Policy keeps a user out of an app", "WARN", "DENY", reasons=("Sign-on policy denied access",), signs_in=True),
    "policy.rule.update": Story(2, "admin", ("PolicyRule", "PolicyEntity"), "Rule of a policy is changed"),
    "policy.rule.add": Story(0.7, "admin", ("PolicyRule", "PolicyEntity"), "Rule is added to a policy"),
    "policy.lifecycle.update": Story(1.2, "admin", ("PolicyEntity",), "Policy is changed"),
    "policy.auth_reevaluate.fail": Story(1, "user", ("User", "PolicyEntity", "PolicyRule"), "Session no longer meets a policy", "WARN", "FAILURE", reasons=("Risk of the session is too high",), signs_in=True),
    "security.breached_credential.detected": Story(0.5, "system", ("User",), "Password was found in a breach", "WARN"),
    "system.api_token.create": Story(0.8, "admin", ("Token",), "API token is created"),
    "system.api_token.revoke": Story(0.5, "admin", ("Token",), "API token is revoked"),
    "system.email.delivery": Story(4, "system", ("User",), "Mail is handed over", failed=0.1, reasons=("Mailbox is full",)),
    "system.import.start": Story(1.5, "system", ("AppInstance",), "Import starts"),
    "system.import.complete": Story(1.5, "system", ("AppInstance",), "Import ends"),
    "system.org.rate_limit.warning": Story(0.6, "system", (), "Limit of the org comes near", "WARN", debug={"threshold": ("60",), "bucketName": ("/api/v1/users", "/api/v1/logs")}),
    "device.enrollment.create": Story(2, "user", ("Device", "User"), "Device is enrolled"),
    "app.oauth2.as.consent.grant": Story(2, "user", ("OAuthClient", "AuthServer"), "User lets an app act for them", debug={"grantedScopes": ("openid,profile", "openid,email,offline_access")}),
    "app.oauth2.client.privilege.grant": Story(0.4, "admin", ("OAuthClient", "Role"), "Admin rights are granted to an app"),
}  # fmt: skip

_BY_PREFIX = {
    "": Story(targets=("Setting",)),
    "access.": Story(targets=("AccessRequest", "User")),
    "app.": Story(targets=("AppInstance",)),
    "app.ai_agent_provider.": Story(targets=("AppInstance", "Agent")),
    "app.oauth2.": Story(actor="client", targets=("OAuthClient", "AuthServer")),
    "app.user_management": Story(actor="system", targets=("AppUser", "AppInstance")),
    "application.": Story(targets=("AppInstance",)),
    "application.account.": Story(targets=("AppUser", "AppInstance")),
    "application.provision.": Story(actor="system", targets=("AppUser", "AppInstance", "User")),
    "certification.": Story(targets=("Campaign", "User")),
    "device.": Story(targets=("Device", "User")),
    "event_hook.": Story(),
    "event_hook.delivery": Story(actor="system"),
    "group.": Story(targets=("UserGroup",)),
    "group.application_assignment.": Story(targets=("UserGroup", "AppInstance")),
    "iam.": Story(targets=("PolicyEntity",)),
    "iam.resourceset.": Story(targets=("ResourceSet", "Role")),
    "iam.role.": Story(targets=("Role",)),
    "inline_hook.": Story(actor="system", targets=("InlineHook",), failed=0.2, reasons=("Hook timed out",)),
    "policy.": Story(targets=("PolicyEntity",)),
    "policy.rule.": Story(targets=("PolicyRule", "PolicyEntity")),
    "resource_servers.": Story(actor="client", targets=("ResourceServer", "AuthServer")),
    "security.authenticator.": Story(targets=("AuthenticatorConfig",)),
    "security.threat.": Story(actor="system", severity="WARN", result="UNKNOWN"),
    "security.trusted_origin.": Story(targets=("TrustedOrigin",)),
    "system.": Story(actor="system", targets=("Setting",)),
    "system.api_token.": Story(targets=("Token",)),
    "system.idp.": Story(targets=("IdentityProvider",)),
    "system.import.": Story(actor="system", targets=("AppInstance", "UserGroup")),
    "system.log_stream.": Story(targets=("LogStream",)),
    "system.oauth2.": Story(actor="client", targets=("OAuthClient",), severity="WARN", result="DENY", reasons=("Network is not allowed",)),
    "system.operation.rate_limit.": Story(actor="system", severity="WARN"),
    "system.org.rate_limit.": Story(actor="system", severity="WARN"),
    "system.sms.": Story(actor="user", targets=("User",), debug={"phoneNumber": ("+1 555-0100", "+1 555-0199")}),
    "system.voice.": Story(actor="user", targets=("User",), debug={"phoneNumber": ("+1 555-0100", "+1 555-0199")}),
    "user.": Story(targets=("User",)),
    "user.authentication.": Story(actor="user", targets=("User",), signs_in=True),
    "user.identity_verification": Story(actor="user", targets=("User",), failed=0.2, reasons=("Document is not readable",)),
    "user.session.": Story(actor="user", targets=("User",)),
    "workload_principal.": Story(targets=("Agent",)),
}  # fmt: skip


@cache
def story_of(event_type: str) -> Story:
    """The story of `event_type`, known or not."""
    if event_type in _COMMON:
        return _COMMON[event_type]
    return _BY_PREFIX[max((prefix for prefix in _BY_PREFIX if event_type.startswith(prefix)), key=len)]


@cache
def message_of(event_type: str) -> str:
    """What a human reads: the story's own words, or the type's name in words."""
    if story_of(event_type).message:
        return story_of(event_type).message
    *subject, verb = event_type.replace("_", " ").split(".")
    return f"{verb.capitalize()}: {' '.join(subject)}"


HOOKED = tuple(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags)
"""The types that Okta delivers by event hooks."""

UNHOOKED = tuple(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE not in tags)
"""The types that only the System Log has."""
