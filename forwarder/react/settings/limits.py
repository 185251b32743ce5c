"""The settings that restrict reactions: what no action touches, and how many actions there may be."""

from pydantic import Field

from forwarder.config.types import Count, Section
from forwarder.react.settings.types import Network, Rate, Text


class ProtectSettings(Section):
    """The users and addresses that no action ever touches. Users are looked up in Okta shortly before each call. If the
    look-up fails, the action is refused.

    Attributes:
        users: ids or logins of users.
        groups: names or ids of groups. No action touches the members of these groups.
        admins: whether users who have an admin role are also protected.
        ips: addresses and networks that `block_ip` never blocks, such as your own, and the networks of your users.
    """

    users: tuple[Text, ...] = ()
    groups: tuple[Text, ...] = ()
    admins: bool = True
    ips: tuple[Network, ...] = ()


class LimitsSettings(Section):
    """The maximum numbers of actions in a period, such as 20/1h. An action that exceeds a limit waits for a human. Each
    kind of action has its own limit, so that an attacker who causes many actions of one kind cannot use up the limit of
    another kind.

    Attributes:
        per_user: alerts about one user that lead to actions. An alert counts once, even if several actions follow it.
        per_rule: alerts of one rule that lead to actions. An alert counts once, even if several actions follow it.
        mending: actions whose effect ends when the user signs in again or sets a new password: revoke_sessions,
            universal_logout and expire_password.
        timed: actions that are undone after a time: add_to_group, suspend and block_ip.
        prompt: prompts.
        prompt_per_user: prompts to one user.
        prompts_at_once: prompts of one org that have no answer yet.
    """

    per_user: Rate = Field(default="2/1h", validate_default=True)
    per_rule: Rate = Field(default="20/1h", validate_default=True)
    mending: Rate = Field(default="60/1h", validate_default=True)
    timed: Rate = Field(default="10/1h", validate_default=True)
    prompt: Rate = Field(default="20/1d", validate_default=True)
    prompt_per_user: Rate = Field(default="1/1d", validate_default=True)
    prompts_at_once: Count = Field(default=5, ge=1, le=1000)
