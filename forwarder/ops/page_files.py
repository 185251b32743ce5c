"""Serves the files of the status page from the folder `page/`. The files need no build step. In the HTML files, only
the base of the links is replaced."""

import re
from importlib.resources import files
from typing import Any

from litestar import MediaType, Response, get
from litestar.params import FromPath

from forwarder.ops.api import AnyRequest, Handlers

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+){0,16}/?")


def _read() -> dict[str, str]:
    folder = files("forwarder.ops").joinpath("page")
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith((".html", *_TYPES))
    }


_CONTENTS = _read()  # when this module is imported, because reading files later would block the event loop


def base_path(prefix: str) -> str:
    """Return `prefix` with a final slash, or `/` if `prefix` is invalid.

    `prefix` is the path under which a proxy serves the page.
    """
    return prefix.rstrip("/") + "/" if _PREFIX.fullmatch(prefix) else "/"


def page_response(request: AnyRequest, name: str) -> Response[str]:
    """Return a response with the HTML file `name`. The links in the file begin with the path in the header
    `X-Forwarded-Prefix`."""
    base = base_path(request.headers.get("x-forwarded-prefix", ""))
    return Response(_CONTENTS[name].replace("{base}", base), headers=_HEADERS)


def page_routes() -> Handlers:
    """Return the routes for the status page and its files. The page and the files contain no data of the store."""
    contents = {name: text.encode() for name, text in _CONTENTS.items() if not name.endswith(".html")}

    @get("/", media_type=MediaType.HTML)
    async def page(request: AnyRequest) -> Response[str]:
        return page_response(request, "index.html")

    @get("/page/{name:str}")
    async def file(name: FromPath[str]) -> Response[Any]:
        if name not in contents:
            return Response("there is no such file\n", status_code=404, media_type=MediaType.TEXT)
        content_type = next(kind for suffix, kind in _TYPES.items() if name.endswith(suffix))
        return Response(contents[name], media_type=content_type, headers=_HEADERS)

    return [page, file]
