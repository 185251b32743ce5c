"""A real Prometheus and a real Alertmanager on 127.0.0.1."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.stack.process import ROOT, ServerProcess, answers, free_port

RULES = ROOT / "config" / "prometheus" / "forwarder.rules.yml"
ALERTMANAGER = ROOT / "config" / "prometheus" / "alertmanager.yaml"
_HOW = "(Debian: apt-get install prometheus prometheus-alertmanager)"


def missing() -> str | None:
    """Say what keeps them from starting and how to get it, or None."""
    names = ("prometheus", "prometheus-alertmanager")
    absent = [name for name in names if shutil.which(name) is None]
    return f"needs {' and '.join(absent)} {_HOW}" if absent else None


def hasty_rules() -> str:
    """The rules of the project, thirty times as fast, so that an outage alerts within a test."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule["expr"] = _hasty(rule["expr"]).replace("* 3600", "* 120")
        for key in {"for", "keep_firing_for"} & rule.keys():
            rule[key] = _hasty(rule[key])
    return yaml.safe_dump(rules, width=1000)


def _hasty(text: str) -> str:
    """`5m` becomes `10s`, `1h` becomes `2m`, `1d` becomes `48m`."""
    units = {"m": (2, "s"), "h": (2, "m"), "d": (48, "m")}

    def hasty(found: re.Match[str]) -> str:
        factor, unit = units[found[2]]
        return f"{int(found[1]) * factor}{unit}"

    return re.sub(r"\b(\d+)([mhd])\b", hasty, text)


class Prometheus(ServerProcess):
    """One Prometheus that scrapes a forwarder each second.

    Args:
        directory: all that it writes lies below.
        target: host and port of the ops listener.
        rules: the content of a file of rules.
        alertmanager: its port, if alerts are sent anywhere.
    """

    def __init__(self, directory: Path, target: str, rules: str = "", alertmanager: int | None = None) -> None:
        super().__init__("Prometheus", directory / "prometheus.log")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [{"job_name": "forwarder", "static_configs": [{"targets": [target]}]}],
        }
        if rules:
            (directory / "rules.yml").write_text(rules, encoding="utf-8")
            config["rule_files"] = [str(directory / "rules.yml")]
        if alertmanager is not None:
            targets = [{"targets": [f"127.0.0.1:{alertmanager}"]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        return [
            "prometheus",
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=2s",
        ]

    def ready(self) -> bool:
        """As `ServerProcess`."""
        return answers(self.port, "/-/ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give the series that the expression has now, each with `metric` and `value`.

        Raises:
            httpx.HTTPStatusError: Prometheus refuses the expression.
        """
        parameters: Mapping[str, str] = {"query": expression}
        answer = httpx.get(f"{self.url}/api/v1/query", params=parameters, timeout=10, trust_env=False)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


class Alertmanager(ServerProcess):
    """One Alertmanager with the project's example of a configuration.

    Args:
        directory: all that it writes lies below.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__("Alertmanager", directory / "alertmanager.log")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        return [
            "prometheus-alertmanager",
            f"--config.file={ALERTMANAGER}",
            f"--storage.path={self.directory / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]

    def ready(self) -> bool:
        """As `ServerProcess`."""
        return answers(self.port, "/-/ready")

    def active(self) -> set[tuple[str, str]]:
        """Give name and severity of each alert that would be sent: it fires, and no other one inhibits it."""
        parameters = {"active": "true", "inhibited": "false", "silenced": "false"}
        url = f"http://127.0.0.1:{self.port}/api/v2/alerts"
        answer = httpx.get(url, params=parameters, timeout=10, trust_env=False)
        answer.raise_for_status()
        return {(alert["labels"]["alertname"], alert["labels"]["severity"]) for alert in answer.json()}
