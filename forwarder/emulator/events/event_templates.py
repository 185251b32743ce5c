"""What the events of each type contain: who acts on what, how often, and how the action may fail.

Common types have a template of their own. Every other type uses the template of the longest prefix of its name that is
in the table. So a type that Okta adds later has a template too.
"""

from functools import cache
from typing import Literal

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE

Actor = Literal["user", "admin", "client", "system"]


class EventTemplate(msgspec.Struct, frozen=True):
    """The contents of the events of one type.

    Attributes:
        weight: how often the type occurs, relative to other types.
        actor: kind of actor. `system` means a background job, which has no client.
        targets: kinds of the targets.
        message: `displayMessage`; if empty, it is derived from the type's name.
        result: `outcome.result` of a success.
        failed: share of events with a failure, from 0 to 1.
        failure: `outcome.result` of a failure.
        reasons: possible values of `outcome.reason` if the result is not SUCCESS.
        debug: additional debug data: keys with their possible values.
        signs_in: whether the event is about a sign-in. Okta adds risk, behaviour and device to such an event.
        legacy: `legacyEventType`.
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
    "OKTA_VERIFY_PUSH", "FIDO_WEBAUTHN", "SIGNED_NONCE", "OKTA_SOFT_TOKEN", "SMS_FACTOR",
    "PASSWORD_AS_FACTOR",
)  # fmt: skip
_ROLES = (
    "Super administrator", "Application administrator", "Help desk administrator", "Read-only administrator",
)  # fmt: skip

_COMMON = {
    "user.session.start": EventTemplate(60, "user", ("AuthenticatorEnrollment", "AppInstance"), "User signs in to Okta", failed=0.15, reasons=("INVALID_CREDENTIALS", "VERIFICATION_ERROR", "LOCKED_OUT"), signs_in=True, legacy="core.user_auth.login_success"),
    "user.session.end": EventTemplate(15, "user", (), "User signs out of Okta", legacy="core.user_auth.logout_success"),
    "user.authentication.auth_via_mfa": EventTemplate(50, "user", ("User", "AuthenticatorEnrollment"), "Second factor is checked", failed=0.08, reasons=("INVALID_CREDENTIALS", "User rejected the push", "Factor timed out", "FastPass declined phishing attempt"), debug={"factor": _FACTORS}, signs_in=True),
    "user.authentication.sso": EventTemplate(80, "user", ("AppInstance", "AppUser"), "User opens an app by single sign-on", failed=0.02, reasons=("User is not assigned to this app",), debug={"signOnMode": ("SAML 2.0", "OpenID Connect", "Secure Web Authentication"), "initiationType": ("SP_INITIATED", "IDP_INITIATED")}, signs_in=True, legacy="app.auth.sso"),
    "user.authentication.auth_via_IDP": EventTemplate(5, "user", ("IdentityProvider",), "User signs in at another identity provider", failed=0.1, reasons=("Signature of the assertion is not valid",), signs_in=True),
    "user.authentication.auth_via_social": EventTemplate(2, "user", ("IdentityProvider",), signs_in=True),
    "user.account.lock": EventTemplate(2, "user", ("User",), "Account is locked after too many tries", "WARN", "FAILURE", reasons=("LOCKED_OUT",)),
    "user.account.unlock": EventTemplate(1.5, "user", ("User",)),
    "user.account.update_password": EventTemplate(4, "user", ("User",), "User changes their password", failed=0.05, reasons=("PASSWORD_REQUIREMENTS_NOT_MET",)),
    "user.account.reset_password": EventTemplate(4, "admin", ("User",), "Password is reset"),
    "user.account.update_profile": EventTemplate(8, "admin", ("User",), "Profile is changed", debug={"changedAttributes": ("title", "department,manager", "mobilePhone")}),
    "user.account.privilege.grant": EventTemplate(2, "admin", ("User",), "Admin rights are granted", debug={"privilegeGranted": _ROLES}),
    "user.account.privilege.revoke": EventTemplate(1, "admin", ("User",), "Admin rights are taken away", debug={"privilegeRevoked": _ROLES}),
    "user.account.report_suspicious_activity_by_enduser": EventTemplate(0.5, "user", ("User",), "User reports activity that was not theirs", "WARN", debug={"suspiciousActivityEventType": ("user.mfa.factor.activate", "user.session.start")}),
    "user.lifecycle.create": EventTemplate(5, "admin", ("User",), "User is created"),
    "user.lifecycle.activate": EventTemplate(5, "admin", ("User",), "User is activated"),
    "user.lifecycle.deactivate": EventTemplate(2, "admin", ("User",), "User is deactivated"),
    "user.lifecycle.suspend": EventTemplate(0.6, "admin", ("User",), "User is suspended"),
    "user.mfa.factor.activate": EventTemplate(5, "user", ("User",), "Factor is enrolled", debug={"factor": _FACTORS}),
    "user.mfa.factor.deactivate": EventTemplate(2, "user", ("User",), "Factor is removed", debug={"factor": _FACTORS}),
    "user.mfa.factor.reset_all": EventTemplate(1, "admin", ("User",), "All factors of a user are reset", "WARN"),
    "user.risk.change": EventTemplate(1.5, "system", ("User",), "Risk of a user changes", "WARN", debug={"risk": ("{level=HIGH, previousLevel=LOW}", "{level=MEDIUM, previousLevel=HIGH}")}),
    "user.risk.detect": EventTemplate(1.5, "user", ("User",), "Risk of a user is found", "WARN", debug={"detectionName": ("Suspicious app access", "Session hijacking")}, signs_in=True),
    "user.session.context.change": EventTemplate(1.5, "user", ("User",), "Session goes on from another context", "WARN", signs_in=True),
    "user.session.clear": EventTemplate(1, "admin", ("User",), "Sessions of a user are ended"),
    "group.user_membership.add": EventTemplate(18, "system", ("User", "UserGroup"), "User joins a group", legacy="core.user_group_member.user_add"),
    "group.user_membership.remove": EventTemplate(9, "admin", ("User", "UserGroup"), "User leaves a group", legacy="core.user_group_member.user_remove"),
    "group.privilege.grant": EventTemplate(0.6, "admin", ("UserGroup",), "Admin rights are granted to a group", debug={"privilegeGranted": _ROLES}),
    "application.user_membership.add": EventTemplate(10, "admin", ("AppUser", "AppInstance", "User"), "App is assigned to a user"),
    "application.user_membership.remove": EventTemplate(5, "admin", ("AppUser", "AppInstance", "User"), "App is taken from a user"),
    "application.lifecycle.create": EventTemplate(0.6, "admin", ("AppInstance",), "App is added"),
    "application.lifecycle.update": EventTemplate(1.5, "client", ("AppInstance",), "App is changed", legacy="app.generic.config.app_updated"),
    "application.policy.sign_on.deny_access": EventTemplate(2, "user", ("AppInstance", "PolicyRule"), "Policy keeps a user out of an app", "WARN", "DENY", reasons=("Sign-on policy denied access",), signs_in=True),
    "policy.rule.update": EventTemplate(2, "admin", ("PolicyRule", "PolicyEntity"), "Rule of a policy is changed"),
    "policy.rule.add": EventTemplate(0.7, "admin", ("PolicyRule", "PolicyEntity"), "Rule is added to a policy"),
    "policy.lifecycle.update": EventTemplate(1.2, "admin", ("PolicyEntity",), "Policy is changed"),
    "policy.auth_reevaluate.fail": EventTemplate(1, "user", ("User", "PolicyEntity", "PolicyRule"), "Session no longer meets a policy", "WARN", "FAILURE", reasons=("Risk of the session is too high",), signs_in=True),
    "security.breached_credential.detected": EventTemplate(0.5, "system", ("User",), "Password was found in a breach", "WARN"),
    "system.api_token.create": EventTemplate(0.8, "admin", ("Token",), "API token is created"),
    "system.api_token.revoke": EventTemplate(0.5, "admin", ("Token",), "API token is revoked"),
    "system.email.delivery": EventTemplate(4, "system", ("User",), "Mail is handed over", failed=0.1, reasons=("Mailbox is full",)),
    "system.import.start": EventTemplate(1.5, "system", ("AppInstance",), "Import starts"),
    "system.import.complete": EventTemplate(1.5, "system", ("AppInstance",), "Import ends"),
    "system.org.rate_limit.warning": EventTemplate(0.6, "system", (), "Limit of the org comes near", "WARN", debug={"threshold": ("60",), "bucketName": ("/api/v1/users", "/api/v1/logs")}),
    "device.enrollment.create": EventTemplate(2, "user", ("Device", "User"), "Device is enrolled"),
    "app.oauth2.as.consent.grant": EventTemplate(2, "user", ("OAuthClient", "AuthServer"), "User lets an app act for them", debug={"grantedScopes": ("openid,profile", "openid,email,offline_access")}),
    "app.oauth2.client.privilege.grant": EventTemplate(0.4, "admin", ("OAuthClient", "Role"), "Admin rights are granted to an app"),
}  # fmt: skip

_BY_PREFIX = {
    "": EventTemplate(targets=("Setting",)),
    "app.": EventTemplate(targets=("AppInstance",)),
    "app.oauth2.": EventTemplate(actor="client", targets=("OAuthClient", "AuthServer")),
    "app.user_management": EventTemplate(actor="system", targets=("AppUser", "AppInstance")),
    "application.": EventTemplate(targets=("AppInstance",)),
    "application.account.": EventTemplate(targets=("AppUser", "AppInstance")),
    "application.provision.": EventTemplate(actor="system", targets=("AppUser", "AppInstance", "User")),
    "device.": EventTemplate(targets=("Device", "User")),
    "event_hook.": EventTemplate(),
    "event_hook.delivery": EventTemplate(actor="system"),
    "group.": EventTemplate(targets=("UserGroup",)),
    "group.application_assignment.": EventTemplate(targets=("UserGroup", "AppInstance")),
    "iam.": EventTemplate(targets=("PolicyEntity",)),
    "iam.role.": EventTemplate(targets=("Role",)),
    "policy.": EventTemplate(targets=("PolicyEntity",)),
    "policy.rule.": EventTemplate(targets=("PolicyRule", "PolicyEntity")),
    "security.authenticator.": EventTemplate(targets=("AuthenticatorConfig",)),
    "security.threat.": EventTemplate(actor="system", severity="WARN", result="UNKNOWN"),
    "system.": EventTemplate(actor="system", targets=("Setting",)),
    "system.api_token.": EventTemplate(targets=("Token",)),
    "system.idp.": EventTemplate(targets=("IdentityProvider",)),
    "system.import.": EventTemplate(actor="system", targets=("AppInstance", "UserGroup")),
    "system.oauth2.": EventTemplate(actor="client", targets=("OAuthClient",), severity="WARN", result="DENY", reasons=("Network is not allowed",)),
    "system.operation.rate_limit.": EventTemplate(actor="system", severity="WARN"),
    "system.org.rate_limit.": EventTemplate(actor="system", severity="WARN"),
    "system.sms.": EventTemplate(actor="user", targets=("User",), debug={"phoneNumber": ("+1 555-0100", "+1 555-0199")}),
    "system.voice.": EventTemplate(actor="user", targets=("User",), debug={"phoneNumber": ("+1 555-0100", "+1 555-0199")}),
    "user.": EventTemplate(targets=("User",)),
    "user.authentication.": EventTemplate(actor="user", targets=("User",), signs_in=True),
    "user.identity_verification": EventTemplate(actor="user", targets=("User",), failed=0.2, reasons=("Document is not readable",)),
    "user.session.": EventTemplate(actor="user", targets=("User",)),
}  # fmt: skip


@cache
def template_of(event_type: str) -> EventTemplate:
    """Return the template of an event type: its own, or else the template of its longest known prefix."""
    if event_type in _COMMON:
        return _COMMON[event_type]
    return _BY_PREFIX[max((prefix for prefix in _BY_PREFIX if event_type.startswith(prefix)), key=len)]


@cache
def display_message(event_type: str) -> str:
    """Return the `displayMessage` of an event type: the message in the template or, without one, a message derived from
    the type's name."""
    if message := template_of(event_type).message:
        return message
    *subject, verb = event_type.replace("_", " ").split(".")
    return f"{verb.capitalize()}: {' '.join(subject)}"


HOOK_TYPES = tuple(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags)
"""The types that hooks can carry."""

LOG_ONLY_TYPES = tuple(name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE not in tags)
"""The types that only the System Log has."""
