"""A real OpenTelemetry Collector on 127.0.0.1 that writes what it takes to a file."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.stack.process import CACHE, ROOT, ServerProcess, answers, free_port

_FLUSH = 0.2
"""Seconds between two flushes, as in collector.yaml."""
CONFIG = ROOT / "tests" / "stack" / "collector.yaml"


def missing() -> str | None:
    """Say what keeps a real Collector from starting and how to get it, or None."""
    if (CACHE / "otelcol-test.complete").exists():
        return None
    return "needs a real OpenTelemetry Collector: run `make stack`, which needs Go 1.25 or newer"


class Collector(ServerProcess):
    """One Collector. It keeps its ports and its file over a restart.

    `stop` writes out what it has taken; `kill` may lose the last 200 ms of it.

    Args:
        directory: all that it writes lies below.
        config: its configuration; HTTP_PORT, GRPC_PORT, HEALTH_PORT and OUT are in its environment.
        variables: what else the configuration asks for by `${env:NAME}`.
    """

    def __init__(self, directory: Path, *, config: Path = CONFIG, variables: Mapping[str, str] | None = None) -> None:
        super().__init__("the Collector", directory / "collector.out")
        self.directory = directory
        self.config = config
        self.variables = dict(variables or {})
        self.http_port = free_port()
        self.grpc_port = free_port()
        self.health_port = free_port()
        self.out = directory / "received.ndjson"

    @property
    def http_endpoint(self) -> str:
        """Where it takes OTLP/HTTP, without `/v1/logs`."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_endpoint(self) -> str:
        """Where it takes OTLP/gRPC, without TLS."""
        return f"http://127.0.0.1:{self.grpc_port}"

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return [str(CACHE / "otelcol-test"), f"--config={self.config}"]

    def environment(self) -> dict[str, str]:
        """As `ServerProcess`."""
        return {
            "HTTP_PORT": str(self.http_port),
            "GRPC_PORT": str(self.grpc_port),
            "HEALTH_PORT": str(self.health_port),
            "OUT": str(self.out),
            **self.variables,
        }

    def ready(self) -> bool:
        """As `ServerProcess`."""
        return answers(self.health_port, "/")

    def stop(self, timeout: float = 30) -> None:
        """As `ServerProcess.stop`."""
        # It says that it is ready before it listens for SIGTERM. A signal in between ends it with what it has not
        # flushed, so what it took has to be in the file by then.
        if self.running:
            time.sleep(2 * _FLUSH)
        super().stop(timeout)

    def records(self) -> Iterator[dict[str, Any]]:
        """Give every log record that it has written so far, in OTLP's JSON form.

        A last line that is still being written is left out.
        """
        if not self.out.exists():
            return
        for line in self.out.read_bytes().split(b"\n")[:-1]:
            for resource in json.loads(line)["resourceLogs"]:
                for scope in resource["scopeLogs"]:
                    yield from scope["logRecords"]

    def uids(self) -> list[str]:
        """Give the `log.record.uid` of every record, in the order written."""
        return [str(attributes(record).get("log.record.uid")) for record in self.records()]


def attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give the attributes of a record in OTLP's JSON form; of each value, what its one key holds."""
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in record.get("attributes", [])}
