"""`event.category` and `event.type` for an Okta event type, by rules on the words of its name.

First the categories: those of the first pattern in `_CATEGORIES` that is found in the name. Then the types: from the
words of the name, as far as ECS allows them for the categories, so a "create" is a creation for configuration and iam,
but only info for authentication. `_MORE` and `_REPORT` correct what the words alone get wrong, with the reason. The
rules also apply to event types that Okta adds later; by default they are configuration and info.
"""

import re
from functools import lru_cache

Classes = tuple[tuple[str, ...], tuple[str, ...]]
"""(`event.category`, `event.type`); neither is empty."""

_CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Okta saw an attack, or guards the door against one.
    (r"^security\.request\.blocked$", ("network", "threat")),
    (r"^security\.(attack|device|events|trusted_origin|voice)\.|^security\.threat\.detected$", ("threat",)),
    # Limits of the whole org cut off its users; other limits are settings.
    (r"^system\.org\.rate_limit\.(warning|violation)$|^core\.concurrency\.", ("configuration", "network")),
    (r"^app\.radius\.agent\.|^pam\.(ad_|active_directory\.)connection\.", ("network",)),
    (r"^user\.session\.(start|end)$", ("authentication", "session")),
    (r"^user\.(device_)?session\.|^system\.import\.session\.|^security\.session\.", ("session",)),
    # Words of authentication in names that are about something else.
    (r"^(oauth2|resource_servers)\.|^app\.ad\.password_migration", ("configuration",)),
    (r"^user\.account\.(unlock|use)_token$", ("iam",)),
    # Proving who one is, and what that takes.
    (r"^app\.oauth2\.|auth|password|passwd|credential|token|mfa|factor|passkey", ("authentication",)),
    (
        r"log(in|out)\b|sign(in|out)\.|evaluate_sign_on|\.sso|_sso|\.slo$|ldapi\.(un)?bind",
        ("authentication",),
    ),
    (r"identity_verification|phone_verification|device\.custom_push", ("authentication",)),
    # Who has an account, a group, a role, access.
    (r"^(access|group|user|workflows\.user|workload_principal|iam\.role)\.", ("iam",)),
    (
        r"^(device\.user|personal\.user|policy\.execute\.user|system\.identity_sources\.(user|group))\.",
        ("iam",),
    ),
    (r"^app\.(access_request|ad\.api|app_instance\.provision_sync_job|radius\.info_access)\b", ("iam",)),
    (r"^app\.office365\.(api|dirsync|error|user)\.", ("iam",)),
    (r"^application\.(appuser|user_membership|provision\.(user|group|group_membership))\.", ("iam",)),
    (r"^directory\.(external\.group|\w*user_profile)\.", ("iam",)),
    (r"^pam\.(user|group|offline_group|resource_group|permission)\.", ("iam",)),
    (r"^system\.import\.(user|group|group_membership|membership_processing)\.", ("iam",)),
    (r"group_membership_(delete|upsert)$|iwa_agentless\.user\.", ("iam",)),
    (r"^application\.provision\.group_push\.(push_memberships|mapping\..*(renamed|upsertGroup))", ("iam",)),
    (r"^device\.(?!assurance|integration)", ("host",)),
    (r"", ("configuration",)),
)

# What happened to a thing that is configured, or to an identity: words of the name.
_LIFECYCLE: tuple[tuple[str, str], ...] = (
    ("creation", "create created createEnrollment add generate enroll register provision bootstrap"),
    ("deletion", "delete deleted remove removed revoke cancel cancelled deprovision"),
    ("change", "update updated change rotate reset"),
)
# What happened to a way of signing in, to a session, to a device: words of the name.
_COURSE: tuple[tuple[str, str], ...] = (
    ("start", "start started initiate initiated enable activate login signin"),
    ("end", "end expire expired disable deactivate logout signout"),
)

# Types that the words do not tell. Each pattern that is found adds its type.
_MORE: tuple[tuple[str, str], ...] = (
    # Membership in a group or an application is a property of the user; adding one changes the user.
    ("change", r"^(group|application)\.user_membership\.(add|remove)$"),
    # A switch that was set, in the past tense that only settings use.
    ("change", r"\.((de)?activated|enabled|disabled|canceled)$"),
    # Switching a policy or a user on or off changes what applies; elsewhere that is only information.
    ("change", r"^policy\.(lifecycle|rule)\.(de)?activate$|^policy\.rule\.add$"),
    ("change", r"^system\.custom_email_server\.lifecycle\.(de)?activate$"),
    ("change", r"^user\.lifecycle\.((de)?activate|(un)?suspend)$"),
    ("change", r"^device\..*\.(update|reset)$"),
    # Elastic counts a suspended device as ended, the lifting of it too, and a deactivation as both ends.
    ("end", r"^device\.lifecycle\.(un)?suspend$"),
    ("start", r"\.lifecycle\.deactivate$"),
    # An admin acted.
    ("admin", r"^app\.access_request\.(approver\.|delete$)|\.admin\.creds$|^pam\.resource_group\."),
    ("admin", r"^group\.profile\.|^user\.behavior\.profile\.|\.attestation\."),
    # Access was granted or denied.
    ("access", r"continuous_access\.|deny_access$|^app\.radius\.agent\.port_"),
    ("denied", r"^app\.radius\.agent\.listener\.failed$"),
    ("protocol", r"^app\.radius\.agent\."),
    ("connection", r"^pam\..*connection\."),
    ("indicator", r"^security\."),
    # Events that Elastic counts as information too: who may do what,
    ("info", r"^iam\.(policy|resourceset|role\.(create|update|delete|permissions))\b|\.privilege\.grant$"),
    ("info", r"^application\.user_membership\.(add|remove|change_username)$|deny_access$"),
    # the course of a user's account, factor, session,
    ("info", r"^user\.lifecycle\.(create|(de)?activate|(un)?suspend)$|^user\.session\.(start|end)$"),
    ("info", r"^user\.mfa\.factor\.|^user\.account\.(expire|report)_|^security\.authenticator\."),
    ("info", r"^directory\.user_profile\.update$|^system\.iwa_agentless\.user\.|del_auth\.login_"),
    # the org's security, its look and its addresses, its hooks' keys and its logs,
    ("info", r"^security\.(behavior|threat\.configuration)\.|^policy\.(lifecycle|rule)\.(de)?activate$"),
    ("info", r"^system\.(brand|email_domain|custom_url_domain|hook\.key|log_stream|directory\.debugger)\."),
    ("info", r"^(support\.org|account\.org\.status|system\.agent\.register|analytics\.reports)\b"),
    # and whatever people do in Workflows, flows themselves left out.
    ("info", r"^workflows\.user\.(connection|delegatedflow|folder|role|table|flow\.move)\b"),
)

# Reports of something that a job did or saw: their words are not about the thing that they name.
_REPORT = re.compile(r"\bauto_|_auto_|bulk_|_detected$|preference_|cancel\.start$|^master_application\.")

# What ECS allows in each category.
_ALLOWED: dict[str, frozenset[str]] = {
    "authentication": frozenset({"start", "end", "info"}),
    "session": frozenset({"start", "end", "info"}),
    "host": frozenset({"access", "change", "end", "info", "start"}),
    "iam": frozenset({"admin", "change", "creation", "deletion", "group", "info", "user"}),
    "configuration": frozenset({"access", "change", "creation", "deletion", "info"}),
    "network": frozenset({"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"}),
    "threat": frozenset({"indicator"}),
}

_LONGEST = 256  # characters of a name that are looked at; Okta's longest has 100


def classes(event_type: str) -> Classes:
    """Return (categories, types) of an Okta event type, also if it is not in the catalogue."""
    return _classify(event_type[:_LONGEST])


@lru_cache(maxsize=2048)
def _classify(event_type: str) -> Classes:
    categories = next(found for pattern, found in _CATEGORIES if re.search(pattern, event_type))
    allowed = frozenset().union(*(_ALLOWED[category] for category in categories))
    types = sorted(_types(event_type) & allowed)
    return categories, tuple(types) or ("info",)


def _types(event_type: str) -> set[str]:
    words = set(re.split(r"[._]", event_type))
    tables = (_COURSE,) if _REPORT.search(event_type) else (_COURSE, _LIFECYCLE)
    found = {kind for table in tables for kind, wanted in table if not words.isdisjoint(wanted.split())}
    found |= {kind for kind, pattern in _MORE if re.search(pattern, event_type)}
    return found | {kind for kind in ("user", "group") if kind in event_type}
