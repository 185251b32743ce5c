"""What all tests share: a clean environment, Hypothesis profiles, and the real servers.

A test that needs a real server takes it as a fixture (`elasticsearch`, `elasticsearch_server`, `collector`) and is
marked `real` by that. Where the server cannot be had, the test is skipped with the way to get it; in CI it fails.
"""

import asyncio
import gc
import logging
import os
import shutil
import signal
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx._transports.default as httpx_transports
import hypothesis
import pytest
import structlog
from blockbuster import BlockBuster

from forwarder.core import redaction
from tests.certificates import Certificate, make_certificate
from tests.stack import collector as collector_part
from tests.stack import elasticsearch as elasticsearch_part
from tests.stack.collector import Collector
from tests.stack.elasticsearch import USERS, Elasticsearch
from tests.stack.shared import shared_elasticsearch, stop_shared_servers

# jsonschema would build a grammar of IRIs for a second, for a format that no schema here has.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

IN_CI = os.environ.get("CI", "").lower() == "true"
_REAL = {
    "elasticsearch",
    "elasticsearch_server",
    "prepared_elasticsearch",
    "secured_elasticsearch",
    "collector",
    "collector_server",
}
_SLOW = {"bench", "chaos", "e2e", "fuzz"}
_NEVER_BLOCK = {"http", "receive", "deliver", "ops"}
_REAL_TIMEOUT = 300
_SETTINGS_OF_THE_PRODUCT = ("FORWARDER__", "OTEL_")
_LOGGING = pytest.StashKey[tuple[list[logging.Handler], int, bool]]()
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"}

ElasticsearchFactory = Callable[..., Elasticsearch]
CollectorFactory = Callable[..., Collector]

# Machines differ in speed, so no example has a deadline. CI takes the same examples every time: a red run there
# is a fault of the change, and new examples are for the machines of people.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
# For `make unit` and `make quick`: a tenth of the examples, because a fifth takes 2 s of CPU more in
# `make unit`. `make test` takes them all.
hypothesis.settings.register_profile("inner", deadline=None, max_examples=10)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background with SIGINT ignored, and so would be every command that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: takes tens of seconds, or the whole machine; runs after all others")
    config.addinivalue_line(
        "markers", "long: takes 10 ms in tests/unit, or 0.1 s elsewhere; `make unit` and `make quick` leave it out"
    )
    config.addinivalue_line(
        "markers", "needs_data(path): needs public data beside the project; see tests/shared_data.py"
    )
    config.addinivalue_line(
        "markers", "one_process(name): all tests with this name run one after another, see tests/forks.py"
    )
    config.addinivalue_line("markers", "both_clients: runs with both majors of the Elasticsearch client")
    wanted = os.environ.get("FORWARDER_CLIENT_MAJOR")
    if wanted and not version("elasticsearch").startswith(f"{wanted}."):
        raise pytest.UsageError(f"this is elasticsearch {version('elasticsearch')}, not {wanted}: `make clients`")


def pytest_report_header() -> str:
    return f"elasticsearch client {version('elasticsearch')}, CI={IN_CI}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    stop_shared_servers(session.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the garbage collector from looking, again and again, at half a million objects that stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# Before pytest's own hook, which sorts out by `-m`.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _REAL.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
        if "secured_elasticsearch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.one_process("secured_elasticsearch"))
        if _SLOW.intersection(item.path.parts):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("real") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_REAL_TIMEOUT))
        if isinstance(item, pytest.Function) and _must_never_block(item):
            item.fixturenames.insert(0, "loop_guard")


def _must_never_block(item: pytest.Item) -> bool:
    """Tell the rooms that must never block. The others may block while they start, and open their files then.

    A test that measures time goes without the guard, which looks at every call.
    """
    folders = item.path.relative_to(item.config.rootpath).parts
    return (
        bool({"unit", "integration"}.intersection(folders) and _NEVER_BLOCK.intersection(folders))
        and item.get_closest_marker("slow") is None
    )


# Hooks and not autouse fixtures: pytest takes 0.1 ms to set up a fixture, for each of thousands of tests.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _clean_environment()
    for mark in item.iter_markers("needs_data"):
        path = mark.args[0]
        require(None if path.exists() else f"{path} does not exist; name the root of the data in FORWARDER_SHARED")
    item.stash[_LOGGING] = logging.root.handlers[:], logging.root.level, logging.raiseExceptions


# The innermost wrapper, because pytest's own adds its handlers and removes them.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Undo what a command or the forwarder sets up for its process: a later test may look at log lines."""
    try:
        yield
    finally:
        if before := item.stash.get(_LOGGING, None):
            logging.root.handlers[:], level, logging.raiseExceptions = before
            logging.root.setLevel(level)
        structlog.reset_defaults()
        redaction.clear()


def _clean_environment() -> None:
    """Keep what the person at the keyboard has set from changing what a test sees."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS_OF_THE_PRODUCT) or name.lower() in _PROXIES or name == "FORWARDER_CONFIG":
            del os.environ[name]


@pytest.fixture(scope="session")
def _guard() -> BlockBuster:
    guard = BlockBuster("forwarder")
    for function in guard.functions.values():  # SlipCover looks at the file of each module that is imported
        function.can_block_in("slipcover/importer.py", "matches")
    return guard


@pytest.fixture(autouse=True, scope="session")
def _one_trust_store() -> Iterator[None]:
    """Let all httpx clients of the tests share one trust store: to read it takes 70 ms, and most of them need none."""
    create = httpx_transports.create_ssl_context  # type: ignore[attr-defined]  # httpx has no public way
    shared = cache(create)

    def trust_store(**options: Any) -> ssl.SSLContext:
        return shared() if options["verify"] is True and options["cert"] is None else create(**options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx_transports, "create_ssl_context", trust_store)
        yield


@pytest.fixture
def loop_guard(_guard: BlockBuster) -> Iterator[BlockBuster]:
    """Fail the test when a call blocks the event loop (a file, a socket, a lock, `time.sleep`)."""
    _guard.activate()
    yield _guard
    _guard.deactivate()


def require(missing: str | None) -> None:
    """Skip the test where `missing` says what it lacks; in CI, fail it."""
    if missing is None:
        return
    if IN_CI:
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Give a self-signed certificate for 127.0.0.1."""
    require(None if shutil.which("openssl") else "needs the openssl command")
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Elasticsearch:
    """Give the Elasticsearch that all tests share, security off. Do not stop it, and use names of your own in it."""
    require(elasticsearch_part.missing())
    return shared_elasticsearch(tmp_path_factory.getbasetemp(), "plain")


@pytest.fixture(scope="session")
def prepared_elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Elasticsearch:
    """Give an Elasticsearch with security on, and with the templates of `forwarder setup elasticsearch`.

    All tests share it: use a namespace of your own in it. It is not the one without security: our template takes every
    `logs-okta.system-*`, and other tests need data streams of that name with templates of their own, or with none.
    """
    from tests.e2e.prepared import prepare  # noqa: PLC0415  # only who needs it waits for the client library

    require(elasticsearch_part.missing())

    def set_up(server: Elasticsearch) -> None:
        assert asyncio.run(prepare(server)).fine

    return shared_elasticsearch(tmp_path_factory.getbasetemp(), "prepared", set_up, users=USERS)


@pytest.fixture(scope="session")
def _secured(tmp_path_factory: pytest.TempPathFactory) -> Elasticsearch:
    require(elasticsearch_part.missing())
    settings = {"http.max_content_length": "1mb"}
    return shared_elasticsearch(tmp_path_factory.getbasetemp(), "secured", users=USERS, settings=settings)


@pytest.fixture
def secured_elasticsearch(_secured: Elasticsearch) -> Iterator[Elasticsearch]:
    """Give an Elasticsearch with security on, and with little room for a request, that no other test uses meanwhile.

    What `forwarder setup elasticsearch` makes is removed after the test; data streams stay, so use a namespace of your own.
    """
    from tests.e2e.prepared import remove  # noqa: PLC0415

    yield _secured
    remove(_secured)


@pytest.fixture
def elasticsearch_server(tmp_path: Path) -> Iterator[ElasticsearchFactory]:
    """Give a function that starts an Elasticsearch of the test's own: to crash it, to limit it, to lock it.

    The function takes `settings` and `users` of `Elasticsearch`, and `start=False` for one that does not run yet.
    """
    require(elasticsearch_part.missing())
    servers: list[Elasticsearch] = []

    def make(
        *, settings: Mapping[str, str] | None = None, users: Mapping[str, str] | None = None, start: bool = True
    ) -> Elasticsearch:
        server = Elasticsearch(tmp_path / f"elasticsearch{len(servers)}", settings=settings, users=users)
        servers.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in servers:
        server.kill()
        shutil.rmtree(server.data_dir, ignore_errors=True)


@pytest.fixture
def collector(collector_server: CollectorFactory) -> Collector:
    """Give a running Collector of the test's own."""
    return collector_server()


@pytest.fixture
def collector_server(tmp_path: Path) -> Iterator[CollectorFactory]:
    """Give a function that starts a Collector; it takes `config` and `variables` of `Collector`, and `start=False`."""
    require(collector_part.missing())
    servers: list[Collector] = []

    def make(
        *, config: Path = collector_part.CONFIG, variables: Mapping[str, str] | None = None, start: bool = True
    ) -> Collector:
        server = Collector(tmp_path / f"collector{len(servers)}", config=config, variables=variables)
        servers.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in servers:
        server.kill()
