"""The proxies of docs/operations.md, run for real in front of a real forwarder."""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import Certificate
from tests.conftest import require
from tests.e2e.okta import envelope, happenings
from tests.stack.forwarder import SECRET, ForwarderProcess
from tests.stack.process import ROOT, ServerProcess, answers, free_port
from tests.test_docs import fenced

PAGE = ROOT / "docs" / "operations.md"


class Proxy(ServerProcess):
    """A proxy with the configuration of the page, on a free port."""

    def __init__(self, directory: Path, url: str, command: list[str]) -> None:
        super().__init__(command[0], directory / "proxy.log")
        self.url = url
        self._command = command

    def command(self) -> list[str]:
        return self._command

    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.log.parent), "XDG_DATA_HOME": str(self.log.parent)}

    def ready(self) -> bool:
        try:
            return httpx.get(self.url, verify=False, trust_env=False).status_code > 0
        except httpx.HTTPError:
            return False


def nginx(directory: Path, text: str, backend: int, certificate: Certificate) -> Proxy:
    port = free_port()
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace(
        "127.0.0.1:8080", f"127.0.0.1:{backend}"
    )
    text = re.sub(r"(ssl_certificate +).*;", rf"\g<1>{certificate.cert};", text)
    text = re.sub(r"(ssl_certificate_key ).*;", rf"\g<1>{certificate.key};", text)
    spools = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.geteuid() == 0 else ""  # its own user could not write below the test's directory
    config = directory / "nginx.conf"
    config.write_text(
        f"{user}daemon off; pid {directory}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; {spools}\n{text}}}"
    )
    return Proxy(
        directory, f"https://127.0.0.1:{port}", [_which("nginx") or "", "-p", str(directory), "-c", str(config)]
    )


def caddy(directory: Path, text: str, backend: int, _: Certificate) -> Proxy:
    port = free_port()
    text = text.replace("hooks.acme.com", f"http://127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{backend}")
    config = directory / "Caddyfile"
    config.write_text("{\n admin off\n}\n" + text)
    return Proxy(
        directory, f"http://127.0.0.1:{port}", ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    )


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


Make = Callable[[Path, str, int, Certificate], Proxy]


@pytest.fixture(params=[("nginx", "nginx", nginx), ("caddy", "caddyfile", caddy)], ids=lambda param: param[0])
def parts(
    request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate
) -> Iterator[tuple[Proxy, ForwarderProcess]]:
    """Give a proxy of the page and the forwarder behind it, both running."""
    program, language, make = request.param
    require(None if _which(program) else f"needs {program} (Debian: apt-get install {program})")
    (text,) = fenced(PAGE, language)
    sinks = {"archive": {"kind": "file", "path": str(tmp_path / "archive.ndjson")}}
    forwarder = ForwarderProcess(tmp_path / "forwarder", sinks)
    (tmp_path / "proxy").mkdir()
    proxy = make(tmp_path / "proxy", text, forwarder.port, certificate)
    try:
        forwarder.start()
        proxy.start()
        yield proxy, forwarder
    finally:
        proxy.kill()
        forwarder.kill()


async def test_a_proxy_of_the_page_passes_what_okta_sends_and_nothing_else(
    parts: tuple[Proxy, ForwarderProcess],
) -> None:
    proxy, forwarder = parts
    async with httpx.AsyncClient(verify=False, trust_env=False, base_url=proxy.url, timeout=20) as okta:
        secret = {"Authorization": SECRET}
        challenge = await okta.get("/okta/events", headers={**secret, "X-Okta-Verification-Challenge": "abc"})
        assert challenge.json() == {"verification": "abc"}
        body = envelope([element for _, element in happenings(3)])
        assert (await okta.post("/okta/events", content=body, headers=secret)).status_code == 200
        assert (await okta.post("/okta/events", content=body)).status_code == 401
        many = envelope([element for _, element in happenings(2_000, seed=2)])
        assert 2_000_000 < len(many) < 10_000_000
        assert (await okta.post("/okta/events", content=many, headers=secret)).status_code == 200
        for path in ("/", "/okta/events/more", "/metrics", "/api/status"):
            assert (await okta.get(path, headers=secret)).status_code == 404
        await asyncio.to_thread(forwarder.stop)
        gone = await okta.post("/okta/events", content=body, headers=secret)
        assert gone.status_code in {502, 503}  # which Okta repeats
        await asyncio.to_thread(forwarder.start)
        assert answers(forwarder.ops_port, "/readyz")
        assert (await asyncio.to_thread(forwarder.ledger))["stored"] == 2_003
