"""Chooses `event.category` and `event.type` for an Okta event type, by rules about the words in its name.

The categories come from the first pattern in `_CATEGORIES` that matches the name. The types come from the words in the
name; types that ECS does not allow for these categories are left out. For example, "create" becomes `creation` for the
categories configuration and iam, but `info` for authentication. `_MORE` and `_REPORT` correct cases in which the words
alone would give wrong types.

The rules also apply to event types that Okta adds later. If no pattern and no word matches, the category is
`configuration` and the type is `info`.
"""

import re
from functools import lru_cache

Classes = tuple[tuple[str, ...], tuple[str, ...]]
"""The values of `event.category` and of `event.type`. Both have at least one item."""

_CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Okta saw an attack, or blocks one.
    (r"^security\.request\.blocked$", ("network", "threat")),
    (r"^security\.(attack|device|events|trusted_origin|voice)\.|^security\.threat\.detected$", ("threat",)),
    # A rate limit of the whole org blocks its users; other limits are settings.
    (r"^system\.org\.rate_limit\.(warning|violation)$|^core\.concurrency\.", ("configuration", "network")),
    (r"^app\.radius\.agent\.|^pam\.(ad_|active_directory\.)connection\.", ("network",)),
    (r"^user\.session\.(start|end)$", ("authentication", "session")),
    (r"^user\.(device_)?session\.|^system\.import\.session\.|^security\.session\.", ("session",)),
    # Names that have a word of authentication, but are about something else.
    (r"^(oauth2|resource_servers)\.|^app\.ad\.password_migration", ("configuration",)),
    (r"^user\.account\.(unlock|use)_token$", ("iam",)),
    # Authentication, and what a user needs for it.
    (r"^app\.oauth2\.|auth|password|passwd|credential|token|mfa|factor|passkey", ("authentication",)),
    (r"log(in|out)\b|sign(in|out)\.|evaluate_sign_on|\.sso|_sso|\.slo$|ldapi\.(un)?bind", ("authentication",)),
    (r"identity_verification|phone_verification|device\.custom_push", ("authentication",)),
    # Who has an account, is in a group, or has a role or access.
    (r"^(access|group|user|workflows\.user|workload_principal|iam\.role)\.", ("iam",)),
    (r"^(device\.user|personal\.user|policy\.execute\.user|system\.identity_sources\.(user|group))\.", ("iam",)),
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

# Words in a name that say what happened to something configured, or to an identity.
_LIFECYCLE: tuple[tuple[str, str], ...] = (
    ("creation", "create created createEnrollment add generate enroll register provision bootstrap"),
    ("deletion", "delete deleted remove removed revoke cancel cancelled deprovision"),
    ("change", "update updated change rotate reset"),
)
# Words in a name that say what happened to a sign-in method, a session or a device.
_COURSE: tuple[tuple[str, str], ...] = (
    ("start", "start started initiate initiated enable activate login signin"),
    ("end", "end expire expired disable deactivate logout signout"),
)

# Types that the words do not show. Each pattern that is found in the name adds its type.
_MORE: tuple[tuple[str, str], ...] = (
    # Membership in a group or an application is a property of the user; adding one changes the user.
    ("change", r"^(group|application)\.user_membership\.(add|remove)$"),
    # A setting was switched on or off. Only names of settings have the past tense.
    ("change", r"\.((de)?activated|enabled|disabled|canceled)$"),
    # To activate or deactivate a policy or a user is a change; for anything else, it is only information.
    ("change", r"^policy\.(lifecycle|rule)\.(de)?activate$|^policy\.rule\.add$"),
    ("change", r"^system\.custom_email_server\.lifecycle\.(de)?activate$"),
    ("change", r"^user\.lifecycle\.((de)?activate|(un)?suspend)$"),
    ("change", r"^device\..*\.(update|reset)$"),
    # Elastic uses `end` if a device is suspended or unsuspended, and both `start` and `end` for a deactivation.
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
    # Events that Elastic also classifies as information. Events about permissions:
    ("info", r"^iam\.(policy|resourceset|role\.(create|update|delete|permissions))\b|\.privilege\.grant$"),
    ("info", r"^application\.user_membership\.(add|remove|change_username)$|deny_access$"),
    # Events about a user's account, factors and sessions:
    ("info", r"^user\.lifecycle\.(create|(de)?activate|(un)?suspend)$|^user\.session\.(start|end)$"),
    ("info", r"^user\.mfa\.factor\.|^user\.account\.(expire|report)_|^security\.authenticator\."),
    ("info", r"^directory\.user_profile\.update$|^system\.iwa_agentless\.user\.|del_auth\.login_"),
    # Events about the org's security, brands, domains, hook keys and logs:
    ("info", r"^security\.(behavior|threat\.configuration)\.|^policy\.(lifecycle|rule)\.(de)?activate$"),
    ("info", r"^system\.(brand|email_domain|custom_url_domain|hook\.key|log_stream|directory\.debugger)\."),
    ("info", r"^(support\.org|account\.org\.status|system\.agent\.register|analytics\.reports)\b"),
    # Events about all that people do in Workflows, except with flows themselves:
    ("info", r"^workflows\.user\.(connection|delegatedflow|folder|role|table|flow\.move)\b"),
)

# Reports of something that a job did or saw. The words in these names do not say what happened to the named thing.
_REPORT = re.compile(r"\bauto_|_auto_|bulk_|_detected$|preference_|cancel\.start$|^master_application\.")

# The types that ECS allows in each category.
_ALLOWED: dict[str, frozenset[str]] = {
    "authentication": frozenset({"start", "end", "info"}),
    "session": frozenset({"start", "end", "info"}),
    "host": frozenset({"access", "change", "end", "info", "start"}),
    "iam": frozenset({"admin", "change", "creation", "deletion", "group", "info", "user"}),
    "configuration": frozenset({"access", "change", "creation", "deletion", "info"}),
    "network": frozenset({"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"}),
    "threat": frozenset({"indicator"}),
}

_LONGEST = 256  # characters of a name that the rules read; Okta's longest name has 100


def classes(event_type: str) -> Classes:
    """Return (categories, types) of an Okta event type. The event type need not be in Okta's catalogue."""
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
