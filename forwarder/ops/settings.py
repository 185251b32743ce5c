"""What an operator sets about the ops listener."""

from forwarder.config_types import Listen, Section


class OpsSettings(Section):
    """The ops listener: health, metrics, status page.

    Attributes:
        listen: `host:port`. The listener is read-only and shows no events, but has no authentication: do not
            expose it to the internet.
        allowed_hosts: public names by which the page and the metrics may be requested, as in `siem.example.com`.
            Addresses, names without a dot and names of private networks always may; `/livez` and `/readyz` answer to
            every name. Against DNS rebinding.
    """

    listen: Listen = Listen("127.0.0.1:9464")
    allowed_hosts: tuple[str, ...] = ()
