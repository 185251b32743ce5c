"""What an operator sets about the ops listener."""

from forwarder.config_types import Listen, Section


class OpsSettings(Section):
    """The ops listener: health, metrics, status page.

    Attributes:
        listen: the address. It only reads and shows no event; still, keep it from strangers.
    """

    listen: Listen = Listen("127.0.0.1:9464")
