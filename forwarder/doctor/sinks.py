"""Checks of the sinks other than Elasticsearch: OTLP servers and files."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from forwarder.doctor.check import Check, CheckVerdict, Found, fail, from_line, ok, warn
from forwarder.doctor.context import Context
from forwarder.doctor.network import certificate_end, judge_expiry
from forwarder.health_verdict.current import is_nearly_full
from forwarder.settings import Settings
from forwarder.sinks import response_verdicts
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.threads import in_daemon_thread


def _otlp(settings: Settings) -> Iterable[str]:
    return [name for name, sink in settings.sinks.items() if isinstance(sink, OtlpSinkSettings)]


def _otlp_with_tls(settings: Settings) -> Iterable[str]:
    return [name for name in _otlp(settings) if _endpoint(settings, name).uses_tls]


def _files(settings: Settings) -> Iterable[str]:
    return [name for name, sink in settings.sinks.items() if isinstance(sink, FileSinkSettings)]


def _endpoint(settings: Settings, name: str) -> OtlpSinkSettings:
    sink = settings.sinks[name]
    assert isinstance(sink, OtlpSinkSettings)
    return sink


async def _export(context: Context, name: str) -> Found:
    """Check that the OTLP server accepts an export request without log records."""
    from forwarder.sinks.otlp.sink import exporter_factory  # noqa: PLC0415  # its libraries take a second

    settings = _endpoint(context.settings, name)
    exporter = exporter_factory(settings, context.clock)()
    try:
        result = await in_daemon_thread(lambda: exporter.export(b"", 0), "otlp")
    finally:
        exporter.close()
    if result.verdict == response_verdicts.DELIVERED:
        return ok(f"{settings.endpoint} accepts an empty request")
    detail = response_verdicts.kept(result.detail)
    return from_line(CheckVerdict.FAIL, detail, f"check `sinks.{name}.endpoint`, and the log of that server")


async def _certificate(context: Context, name: str) -> Found:
    parts = urlsplit(_endpoint(context.settings, name).endpoint)
    end = await certificate_end(parts.hostname or "", parts.port or 443)
    return judge_expiry(end, f"the certificate of {parts.netloc}", "renew it on that server")


async def _room(context: Context, name: str) -> Found:
    sink = context.settings.sinks[name]
    assert isinstance(sink, FileSinkSettings)
    total, free = await in_daemon_thread(lambda: _space(sink.real_path), "disk")
    seen = f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB are free for {sink.path}"
    fix = f"remove old files in its folder, or set `sinks.{name}.max_files`"
    if not free:
        return fail(seen, fix)
    return warn(seen, fix) if is_nearly_full(total, free) else ok(seen)


def _space(path: Path) -> tuple[int, int]:
    """Return the size and the free space of the file system that will hold `path`, in bytes."""
    folder = next(parent for parent in path.parents if parent.exists())
    total, _, free = shutil.disk_usage(folder)
    return total, free


CHECKS = (
    Check("otlp.export", "the server accepts an empty request", "OpenTelemetry", _export, _otlp),
    Check(
        "otlp.certificate",
        "the server's certificate",
        "ForwarderCertificateExpiring",
        _certificate,
        _otlp_with_tls,
        ("otlp.export",),
    ),
    Check(
        "file.disk",
        "free space for the files that sinks write",
        "ForwarderDiskFilling",
        _room,
        _files,
        ("file.path", "file.rights"),
    ),
)
