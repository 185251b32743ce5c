"""What an operator sets about the ops listener."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from forwarder.config_types import Duration, Listen, Secret, Section, split_http_url

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def _validate_host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name without scheme and port, as in siem.example.com")
    return value


def _validate_url(url: str) -> str:
    split_http_url(url, "`token`")
    return url


class OpsSettings(Section):
    """The ops listener: health, metrics, status page.

    Attributes:
        listen: `host:port`. Health and metrics need no secret; the page shows events only to this machine, and
            elsewhere to who has `token`. Do not expose it to the internet.
        token: a secret, for the page from other machines and for its changes, such as the replay of dead letters.
            Without one, neither is possible.
        allowed_hosts: public names by which the page and the metrics may be requested, as in `siem.example.com`.
            Addresses, names without a dot and names of private networks always may; `/livez` and `/readyz` answer to
            every name. Against DNS rebinding.
        url: the address by which people reach this listener, for the links in notifications: `https://fw.example.com`.
            Default: `listen`.
        heartbeat: how often to write a document about the forwarder's own health into each `elasticsearch` sink, to
            `metrics-okta_forwarder.health-<namespace>`: `60s`. Off by default, because it needs a right and an index
            template of its own.
    """

    listen: Listen = Listen("127.0.0.1:9464")
    token: Secret | None = None
    allowed_hosts: tuple[Annotated[str, AfterValidator(_validate_host_name)], ...] = ()
    url: Annotated[str, AfterValidator(_validate_url)] | None = None
    heartbeat: Duration | None = Field(default=None, ge=1)
