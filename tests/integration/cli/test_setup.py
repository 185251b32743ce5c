"""`forwarder setup elasticsearch` on a cluster that does not respond."""

from pathlib import Path

from click.testing import CliRunner

from forwarder.cli.main import main


def test_a_cluster_that_does_not_respond_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "forwarder.yaml"
    config.write_text(
        f"orgs: {{acme: {{secrets: [a-secret-of-the-tests]}}}}\nstore: {{path: {tmp_path}/s.db}}\n"
        "sinks: {a: {kind: elasticsearch, hosts: ['http://127.0.0.1:9']}}\n"
    )
    done = CliRunner().invoke(main, ["setup", "elasticsearch", "-c", str(config), "--retention", "90d"])
    assert done.exit_code == 1
    assert "no response from http://127.0.0.1:9" in done.output


def test_a_machine_that_has_only_the_secrets_of_the_sink_can_prepare_the_cluster(tmp_path: Path) -> None:
    (config := tmp_path / "forwarder.yaml").write_text(
        "orgs: {acme: {secrets: [{file: /nowhere/hook-secret}]}}\n"
        "sinks: {siem: {kind: elasticsearch, hosts: ['https://127.0.0.1:1'], api_key: an-id:a-key, ca_file: CA}}\n"
    )
    ran = CliRunner().invoke(main, ["setup", "elasticsearch", "--config", str(config)])
    assert ran.exit_code == 2
    assert "hook-secret" not in ran.output
    assert "sinks.siem.ca_file: there is no file CA" in ran.output
