"""The settings that restrict reactions: what no action touches, and how many actions there may be."""

from pydantic import Field

from forwarder.config.types import Section
from forwarder.react.settings.types import Network, Rate, Text


class ProtectSettings(Section):
    """The users and addresses that no action ever touches. Users are looked up in Okta shortly before each call. If the
    look-up fails, the action is refused.

    Attributes:
        users: ids or logins of users.
        groups: names or ids of groups. No action touches their members.
        admins: whether users who have an admin role are protected too.
        ips: addresses and networks that `block_ip` never blocks, such as your own and those that your users come from.
    """

    users: tuple[Text, ...] = ()
    groups: tuple[Text, ...] = ()
    admins: bool = True
    ips: tuple[Network, ...] = ()


class LimitsSettings(Section):
    """How many actions there may be in a period, such as 20/1h. An action that exceeds a limit waits for a human. Each kind
    of action has its own limit, so that alerts that are easy to cause cannot use up the limit of revocations.

    Attributes:
        per_user: alerts about one user that lead to actions. An alert counts once, whatever the number of its actions.
        per_rule: alerts of one rule that lead to actions. An alert counts once, whatever the number of its actions.
        mending: actions of the kind mending.
        timed: actions of the kind timed.
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
    prompts_at_once: int = Field(default=5, ge=1, le=1000)
