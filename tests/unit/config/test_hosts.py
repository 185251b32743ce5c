"""Every host name of a configuration is checked in one place, and no message shows what was written."""

from collections.abc import Callable

import pytest
from pydantic import TypeAdapter, ValidationError

from forwarder.config.hosts import Listen, check_host, is_loopback, split_http_url
from forwarder.okta.settings import HookSettings, org_origin
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings

listen = TypeAdapter(Listen).validate_python

IMPOSSIBLE = [
    *("*.example", "$HOST", "{{HOST}}", "<host>", '"es"', "es..internal", ".es", "es.", "-es", "es-", "a b"),
    *("a" * 64, "x." * 127 + "x", "999.1.1.1", "1.2.3", "1.2.3.4.5", "es;", "hooks,example", "b\u00fc..cher", "m" * 60 + "\u00fc.de"),
]  # fmt: skip
POSSIBLE = ["es", "es_1", "es-1.internal", "localhost", "192.0.2.7", "b\u00fccher.de", "a" * 63, "1password.com"]


def _org(host: str) -> object:
    return org_origin(f"https://{host}")


def _hook(host: str) -> object:
    return HookSettings(uri=f"https://{host}/okta/events")


def _elasticsearch(host: str) -> object:
    return ElasticsearchSinkSettings(hosts=[f"https://{host}:9200"])


def _otlp(host: str) -> object:
    return OtlpSinkSettings(endpoint=f"http://{host}:4318")


def _listener(host: str) -> object:
    return listen(f"{host}:8080")


@pytest.mark.parametrize("accept", [check_host, _org, _hook, _elasticsearch, _otlp, _listener])
def test_a_host_that_cannot_exist_is_refused_everywhere(accept: Callable[[str], object]) -> None:
    for host in IMPOSSIBLE:
        with pytest.raises(ValueError):  # each key has its own words
            accept(host)
    for host in POSSIBLE:
        accept(host)


@pytest.mark.parametrize("accept", [check_host, _hook, _elasticsearch, _otlp])
def test_a_dot_at_the_end_of_a_host_is_named(accept: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match="ends with a dot, which no certificate has; remove the dot"):
        accept("es.example.com.")


@pytest.mark.parametrize(
    "url",
    [
        "https:/elastic:hunter2@es:9200",
        "https://es:9200/?k=hunter2",
        "https://es:9200/#hunter2",
        "https://elastic:hunter2@es:9200",
        "https://elastic:hunter2",
        "https://$hunter2:9200",
        "hunter2",
        "https://https://hunter2:9200",
        "https://es\\:hunter2@9200",
        "https://es:",
        "https://es:0",
        "https://es:9200 ",
        "https://es\n:9200",
    ],
)
def test_no_error_about_a_url_shows_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*hunter2)"):
        split_http_url(url, "`api_key`")


@pytest.mark.parametrize(
    "url",
    ["https://acme-admin.okta.com.", "https://acme-admin.okta-gov.com", "https://acme-admin.okta.mil", "https://acme.okta.com:0", "https://acme.okta.com#", "https://acme.okta.com?", "https://acme.okta.com\n", "https://login.okta-gov.com"],
)  # fmt: skip
def test_no_spelling_of_a_wrong_org_is_accepted(url: str) -> None:
    with pytest.raises(ValueError):  # the words are tested elsewhere
        org_origin(url)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("127.0.0.1:1", "localhost:1", False),
        ("[::1]:1", "LOCALHOST:1", False),
        ("[::1]:1", "[0:0:0:0:0:0:0:1]:1", False),
        ("0.0.0.0:1", "127.0.0.2:1", False),
        ("Siem:1", "siem:1", False),
        ("127.0.0.1:1", "127.0.0.2:1", True),
        ("127.0.0.1:1", "[::1]:1", True),
        ("127.0.0.1:0", "127.0.0.1:0", True),
    ],
)
def test_two_listeners_never_share_an_address(one: str, other: str, together: bool) -> None:  # noqa: FBT001  # a parameter
    assert listen(one).overlaps(listen(other)) is not together
    assert listen(other).overlaps(listen(one)) is not together


def test_a_host_of_elasticsearch_names_no_api() -> None:
    with pytest.raises(ValidationError, match="must not name an API"):
        ElasticsearchSinkSettings(hosts=["https://es:9200/_bulk"])
    assert ElasticsearchSinkSettings(hosts=["https://proxy/es/"]).hosts == ("https://proxy:443/es",)


def test_an_address_has_a_host_and_a_port() -> None:
    assert (listen("127.0.0.1:8080").host, listen("[::1]:80").host, listen("[::1]:80").port) == ("127.0.0.1", "::1", 80)
    for wrong in ("8080", ":80", "host:", "host:99999", "host:http", "::1:80", "[es]:80", "[127.0.0.1]:80", "[::1:80"):
        with pytest.raises(ValidationError, match="host:port"):
            listen(wrong)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_address_is_known_in_every_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["local", "localhost.example", "::ffff:192.0.2.7", "192.0.2.7", "0.0.0.0", "::"])
def test_an_address_that_others_reach_is_no_loopback_address(host: str) -> None:
    assert not is_loopback(host)
