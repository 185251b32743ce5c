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
