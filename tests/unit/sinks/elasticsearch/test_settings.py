"""What an operator may write for an Elasticsearch sink."""

from typing import Any

import pytest
from pydantic import ValidationError

from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

KEY = "c2VjcmV0LWtleS1pZDpzZWNyZXQta2V5"
PASSWORD = "correct horse battery staple"


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hosts": []}, "at least 1"),
        ({"hosts": ["es.internal:9200"]}, "write one like https://host.example:8443"),
        ({"hosts": ["ftp://es:9200"]}, "is not a URL"),
        ({"hosts": ["https://"]}, "is not a URL"),
        ({"hosts": ["https://es:99999"]}, "is not a URL"),
        ({"hosts": ["https://es/?pretty"]}, "may have only a scheme"),
        ({"hosts": ["https://elastic:topsecret@es:9200"]}, "use `basic_auth` or `api_key`"),
        ({"hosts": ["ftp://elastic:topsecret@es:9200"]}, "use `basic_auth` or `api_key`"),
        ({"hosts": ["https://a", "http://b"]}, "all http or all https"),
        ({"namespace": "Default"}, "a namespace has no"),
        ({"namespace": "a-b"}, "a namespace has no"),
        ({"namespace": "a b"}, "a namespace has no"),
        ({"namespace": "a\n"}, "a namespace has no"),
        ({"namespace": ""}, "a namespace has no"),
        ({"namespace": ".."}, "cannot be"),
        ({"namespace": "ü" * 51}, "100 bytes"),
        ({"api_key": KEY, "basic_auth": {"username": "u", "password": PASSWORD}}, "not both"),
        ({"api_key": f"{KEY} {KEY}"}, "a space"),
        ({"api_key": "schlüssel"}, "no API key has"),
        ({"ca_file": __file__, "verify_certificate": False}, "`ca_file` has no effect"),
        ({"pipeline": ""}, "at least 1"),
        ({"document_format": "raw", "pipeline": "_none"}, "needs a pipeline"),
        ({"document_format": "other"}, "'ecs' or 'raw'"),
        ({"retention": "90d", "ilm_policy": "mine"}, "not both"),
        ({"retention": "1s"}, "greater than or equal to 60"),
        ({"ilm_policy": "a/b"}, "pattern"),
        ({"index": "logs-x"}, "not permitted"),
    ],
)
def test_wrong_settings_are_refused_with_a_hint_and_without_a_secret(wrong: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ElasticsearchSinkSettings(**{"hosts": ["https://es:9200"], **wrong})
    assert words in str(caught.value)
    for secret in (KEY, PASSWORD, "topsecret", "schlüssel"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://es.internal", "https://es.internal:443"),
        ("http://es.internal/", "http://es.internal:80"),
        ("https://es.internal:9200/proxy/", "https://es.internal:9200/proxy"),
        ("http://[::1]:9200", "http://[::1]:9200"),
    ],
)
def test_a_host_is_a_url_whose_port_may_be_left_out(written: str, read: str) -> None:
    settings = ElasticsearchSinkSettings(hosts=(written,))
    assert settings.hosts == (read,)


@pytest.mark.parametrize("namespace", ["default", "prod", "acme.eu", "team_1", "ü", "x" * 100])
def test_the_namespace_ends_the_name_of_the_data_stream(namespace: str) -> None:
    settings = ElasticsearchSinkSettings(hosts=("https://es:9200",), namespace=namespace)
    assert settings.data_stream == f"logs-okta.system-{namespace}"
