"""What an operator sets about the ops listener."""

from forwarder.config_types import Listen, Section


class OpsSettings(Section):
    """The ops listener: health, metrics, status page.

    Attributes:
        listen: `host:port`. The listener is read-only and shows no events, but has no authentication: do not
            expose it to the internet.
    """

    listen: Listen = Listen("127.0.0.1:9464")
