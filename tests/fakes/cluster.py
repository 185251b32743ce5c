"""An Elasticsearch with everything in it, as setup sees it: a `AdminApi` without a network.

What the real server of the tests has is tested there; this one has what that one lacks (see `missing`): types,
geoip, ILM, the stack's component templates, and the lifecycle of a data stream.
"""

import json
from typing import Any

import msgspec

from forwarder.setup.elasticsearch.cluster import ClusterResponse

ALL_TYPES = {"constant_keyword", "match_only_text"}
ALL_PROCESSORS = {"set", "rename", "gsub", "remove", "pipeline", "user_agent", "geoip"}
STACK = {"logs@mappings", "logs@settings", "ecs@mappings"}


class FakeCluster:
    """One cluster; its attributes are its state.

    Attributes:
        written: what was PUT or POSTed and changes something, in order: method, path, body.
        missing: types, processors and settings that it lacks.
        nodes: the processors of each ingest node.
        components: component templates of the stack.
        templates: index templates by name.
        policies: of ILM.
        streams: data streams by name: their present index's `_meta` and `data_retention`.
        refused: paths that are answered 403, with the words.
        not_ready: how many of the next requests are answered 503.
    """

    def __init__(self) -> None:
        self.written: list[tuple[str, str, Any]] = []
        self.missing: set[str] = set()
        self.nodes = [set(ALL_PROCESSORS)]
        self.components = set(STACK)
        self.templates: dict[str, Any] = {}
        self.policies: set[str] = set()
        self.streams: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, str] = {}
        self.not_ready = 0
        self._stored: dict[str, Any] = {}

    async def call(self, method: str, path: str, body: Any = None) -> ClusterResponse:
        """As the port says."""
        path = path.partition("?")[0]
        if self.not_ready:
            self.not_ready -= 1
            words = "at least one search shard for the index [.security-7] is unavailable"
            return ClusterResponse(503, {"error": {"type": "unavailable_shards_exception", "reason": words}})
        if path in self.refused:
            return ClusterResponse(403, {"error": {"type": "security_exception", "reason": self.refused[path]}})
        if method == "PUT":
            self.written.append((method, path, body))
            self._stored[path] = msgspec.json.decode(json.dumps(body))
            return ClusterResponse(200, {"acknowledged": True})
        handler = {"GET": self._get, "POST": self._post}[method]
        return handler(path, body)

    def _get(self, path: str, _body: Any) -> ClusterResponse:
        kind, _, name = path.strip("/").rpartition("/")
        if path == "/":
            return ClusterResponse(200, {"version": {"number": "9.9.9"}})
        if path == "/_nodes/ingest":
            return ClusterResponse(200, {"nodes": {str(n): self._node(has) for n, has in enumerate(self.nodes)}})
        if path == "/_index_template":
            found = [{"name": name, "index_template": body} for name, body in self.templates.items()]
            return ClusterResponse(200, {"index_templates": found})
        if kind == "_ilm/policy" and name in self.policies:
            return ClusterResponse(200, {name: {}})
        if kind == "_component_template" and name in self.components:
            return ClusterResponse(200, {"component_templates": [{"name": name, "component_template": {}}]})
        if kind == "_resolve/index":
            found = [{"name": name, "backing_indices": [f".ds-{name}-1"]}] if name in self.streams else []
            return ClusterResponse(200, {"indices": [], "aliases": [], "data_streams": found})
        if path.endswith("/_mapping"):
            index = path.split("/")[1]
            meta = self.streams[index.removeprefix(".ds-").removesuffix("-1")]["meta"]
            return ClusterResponse(200, {index: {"mappings": {"_meta": meta}}} if meta else {})
        if path.endswith("/_lifecycle"):
            stream = path.split("/")[2]
            lifecycle = {"enabled": True, "data_retention": self.streams[stream]["retention"]}
            return ClusterResponse(200, {"data_streams": [{"name": stream, "lifecycle": lifecycle}]})
        return self._own(kind, name, path)

    def _own(self, kind: str, name: str, path: str) -> ClusterResponse:
        """What was PUT, in the envelope that its kind comes in, with the dates that a real one adds."""
        if path not in self._stored:
            return ClusterResponse(404, {} if kind.startswith("_ingest") else {"error": {"reason": "not found"}})
        body = {**self._stored[path], "created_date_millis": 1}
        if kind == "_ingest/pipeline":
            return ClusterResponse(200, {name: body})
        one = kind.removeprefix("_")
        return ClusterResponse(200, {f"{one}s": [{"name": name, one: body}]})

    def _node(self, has: set[str]) -> dict[str, Any]:
        processors = [{"type": kind} for kind in sorted(has - self.missing)]
        return {"roles": ["ingest"], "ingest": {"processors": processors}}

    def _post(self, path: str, body: Any) -> ClusterResponse:
        if path == "/_index_template/_simulate":
            lacks = any(f'"{name}"' in json.dumps(body) for name in self.missing)
            return (
                ClusterResponse(400, {"error": {"reason": "unknown"}})
                if lacks
                else ClusterResponse(200, {"template": {}})
            )
        if path == "/_security/user/_has_privileges":
            return ClusterResponse(200, {"has_all_requested": True})
        if path.endswith("/_rollover"):
            self.written.append(("POST", path, body))
            return ClusterResponse(200, {"new_index": "the-next"})
        return ClusterResponse(400, {"error": f"no handler found for uri [{path}] and method [POST]"})
