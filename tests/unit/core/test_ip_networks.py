"""A network that is written in the form of IPv6 holds the IPv4 addresses that it means."""

from ipaddress import IPv4Network, ip_network
from typing import Any

import pytest
from pydantic import TypeAdapter

from forwarder.core.ip_networks import unmapped
from forwarder.ops.settings import ProxySettings
from forwarder.react.settings.types import Network


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
    ],
)
def test_only_an_ipv4_network_in_the_form_of_ipv6_becomes_ipv4(written: str, meant: str) -> None:
    assert unmapped(ip_network(written, strict=False)) == ip_network(meant)


def test_an_address_is_protected_and_a_proxy_trusted_however_the_network_is_written() -> None:
    written: Any = Network
    assert TypeAdapter(written).validate_python("::ffff:192.0.2.0/120") == IPv4Network("192.0.2.0/24")
    proxy = ProxySettings.model_validate({"header": "X-User", "from": ["::ffff:192.0.2.0/120"]})
    assert proxy.trusts("192.0.2.7")
    with pytest.raises(ValueError, match="contains every address"):
        ProxySettings.model_validate({"header": "X-User", "from": ["::ffff:0:0/96"]})
