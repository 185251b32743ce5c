from typing import Any

import pytest

from forwarder.ops.settings import OpsSettings


@pytest.mark.parametrize("name", ["siem.example.com", "Forwarder_1.example.com", "a"])
def test_a_host_name_may_be_allowed(name: str) -> None:
    assert OpsSettings(allowed_hosts=[name]).allowed_hosts == (name,)


@pytest.mark.parametrize(
    "name", ["", "*", "*.example.com", "https://a.example.com", "a.example.com:9464", "a/b", "a b"]
)
def test_what_is_not_a_host_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="without scheme and port"):
        OpsSettings(allowed_hosts=[name])


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ({"header": "Authorization"}, "Authorization does not name the user"),
        ({"header": "Host"}, "Host does not name the user"),
        ({"header": "X-Forwarded-For"}, "X-Forwarded-For does not name the user"),
        ({"from": ["0.0.0.0/0"]}, "0.0.0.0/0 contains every address"),
        ({"from": ["10.0.0.7", "::/0"]}, "::/0 contains every address"),
    ],
)
def test_a_proxy_that_anybody_could_be_is_refused(proxy: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        OpsSettings.model_validate({"proxy": {"header": "X-Forwarded-User", "from": ["10.0.0.7"], **proxy}})


def test_the_page_may_be_requested_by_the_host_of_the_url_in_notifications() -> None:
    both = OpsSettings(allowed_hosts=["siem.example.com"], url="https://fw.example.com:8443/ops")
    assert both.host_names == ("siem.example.com", "fw.example.com")
    assert OpsSettings().host_names == ()
