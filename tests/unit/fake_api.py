"""A small Shardlake API in memory, behind httpx.MockTransport: enough of the contract to test clients against."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

BASE = "http://shardlake.test"
STORE = "http://store.test"
SCHEMA = {
    "spaces": {"visual": {"encoder": "clip", "dimension": 512, "metric": "cosine", "index": {"type": "ivf_pq"}}},
    "attributes": {"colour": {"type": "keyword"}},
}


@dataclass(slots=True)
class FakeApi:
    """Answers requests; `seen` has every one, in order; `before` may answer first, to play a fault."""

    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    builds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    hits: list[dict[str, Any]] = field(default_factory=list)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[httpx.Request] = field(default_factory=list)
    before: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
    version: str | None = "000001-aa"
    ingest: Callable[[str, bytes], dict[str, Any]] = lambda _key, _body: {"accepted": 1, "rejected": 0}
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Serves one request."""
        with self.lock:
            self.seen.append(request)
            refused = self.before(request)
            if refused is not None:
                return refused
            if request.url.host == "store.test":
                return self._store(request)
            path = request.url.path.removeprefix("/v1").strip("/").split("/")
            return self._api(request, path)

    def paths(self) -> list[str]:
        """Returns METHOD path of everything seen."""
        return [f"{one.method} {one.url.path}" for one in self.seen]

    def body(self, index: int = -1) -> Any:
        """Returns the JSON body of a request seen."""
        return orjson.loads(self.seen[index].content)

    def _store(self, request: httpx.Request) -> httpx.Response:
        key, body = request.url.path.lstrip("/"), request.read()
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self.objects[key] = body
        self.receipts[key] = {"etag": etag, "state": "done", "error": None} | self.ingest(key, body)
        return httpx.Response(200, headers={"ETag": f'"{etag}"'})

    def _api(self, request: httpx.Request, path: list[str]) -> httpx.Response:  # noqa: C901  # one case a route
        match request.method, path:
            case "GET", ["health"]:
                return answer(200, {"status": "ok", "code_version": "0.1.0", "format_version": 1})
            case "POST", ["encode"]:
                return answer(200, {"vectors": [[0.6, 0.8]], "dimension": 2, "model": {"encoder": "clip"}})
            case "GET", ["collections"]:
                return answer(200, {"collections": list(self.collections.values())})
            case "PUT", ["collections", name]:
                return self._create(name, orjson.loads(request.content))
            case _, ["collections", name, *_] if name not in self.collections:
                return error(404, "collection-not-found", f"there is no collection called {name}", collection=name)
            case "GET", ["collections", name]:
                return answer(200, self.collections[name])
            case "DELETE", ["collections", name]:
                del self.collections[name]
                return answer(202, {"name": name})
            case "POST", ["collections", name, "items"]:
                items = orjson.loads(request.content)["items"]
                return self._accepted(request, "b1", len(items))
            case "PATCH", ["collections", name, "items"]:
                return self._accepted(request, "p1", len(orjson.loads(request.content)["items"]))
            case "POST", ["collections", name, "items:delete"]:
                body = orjson.loads(request.content)
                if len(body) != 1:
                    return error(400, "invalid-request", "either ids or a filter says what shall be deleted")
                found = body.get("ids", self.hits)
                return self._accepted(request, "d1" if found else None, len(found))
            case "POST", ["collections", name, "uploads"]:
                return self._tickets(name, orjson.loads(request.content)["files"])
            case "POST", ["collections", name, "uploads:status"]:
                keys = orjson.loads(request.content)["keys"]
                return answer(200, {"receipts": {key: self.receipts[key] for key in keys if key in self.receipts}})
            case "POST", ["collections", name, "search"]:
                return answer(200, self._search())
            case "POST", ["collections", name, "search:batch"]:
                num = len(orjson.loads(request.content)["searches"])
                return answer(200, {"results": [self._search()] * num})
            case "POST", ["collections", name, "builds"]:
                return answer(202, {"build_id": "build-1", "state": "queued", "version": None})
            case "GET", ["collections", name, "builds", build_id]:
                states = self.builds[build_id]
                return answer(200, states.pop(0) if len(states) > 1 else states[0])
            case "GET", ["collections", name, "versions"]:
                return answer(200, {"current": "000001-aa", "versions": [{"version": "000001-aa", "rows": 3}]})
            case "GET", ["collections", name, "items"]:
                after = request.url.params.get("after", "")
                left = [one for one in ("a/b", "c", "d") if one > after]
                page = left[: min(2, int(request.url.params.get("limit", 2)))]
                items = [{"id": one, "attributes": {}} for one in page]
                return answer(200, {"items": items, "after": page[-1] if len(left) > len(page) else None})
            case "GET", ["collections", name, "items", *steps]:
                if "/".join(steps) != "a/b":
                    return error(404, "item-not-found", "no such item")
                return answer(200, {"id": "a/b", "attributes": {}, "vectors": {"v": [0.6, 0.8]}})
            case "POST", ["collections", name, "items:trace"]:
                return answer(200, trace_page(**orjson.loads(request.content)))
            case "POST", ["collections", name, "rollback"]:
                if orjson.loads(request.content) != {"version": "000001-aa"}:
                    return error(404, "version-not-found", "there is no such version")
                return answer(200, {"version": "000001-aa", "rows": 3})
            case method, ["collections", name, "aliases", *rest]:
                return self._aliases(method, rest, request)
        return error(404, "route-not-found", "no such route")

    def _aliases(self, method: str, rest: list[str], request: httpx.Request) -> httpx.Response:
        if method == "GET":
            return answer(200, {"aliases": [self.aliases[name] for name in sorted(self.aliases)]})
        if method == "PUT":
            version = orjson.loads(request.content)["version"] or "000001-aa"
            self.aliases[rest[0]] = {"alias": rest[0], "version": version, "changed_at": "t"}
            return answer(200, self.aliases[rest[0]])
        if rest[0] not in self.aliases:
            return error(404, "alias-not-found", "there is no such alias")
        return answer(200, self.aliases.pop(rest[0]))

    def _accepted(self, request: httpx.Request, batch_id: str | None, count: int) -> httpx.Response:
        waits = request.url.params.get("wait") == "true"
        body = {"batch_id": batch_id, "accepted": count, "searchable": "now" if waits else "soon", "message": "m"}
        return answer(200 if waits else 202, body)

    def _create(self, name: str, schema: dict[str, Any]) -> httpx.Response:
        standing = self.collections.get(name)
        if standing is not None and standing["schema"] != schema:
            return error(409, "name-taken", "the collection has another schema", collection=name)
        info = {"name": name, "schema": schema, "rows": 0, "version": None, "shards": 0, "bytes": 0, "rejected": 0}
        self.collections[name] = standing or info
        return answer(200 if standing else 201, self.collections[name])

    def _tickets(self, name: str, files: list[dict[str, Any]]) -> httpx.Response:
        keys = {one["name"]: f"inbox/{name}/{one['name']}" for one in files}
        return answer(
            200, {"uploads": [{"name": one, "key": key, "url": f"{STORE}/{key}?sig=s"} for one, key in keys.items()]}
        )

    def _search(self) -> dict[str, Any]:
        return {
            "hits": self.hits,
            "partial": False,
            "stale": False,
            "version": self.version,
            "cursor": None,
            "facets": {},
            "shards": {"requested": 2, "searched": 2, "failed": []},
            "stats": {"lists_probed": 4, "took_ms": {"total": 21, "encode": 6}},
            "plan": None,
        }


def trace_page(id: str, after: str | None) -> dict[str, Any]:
    """Returns one of two pages of a trace; of the item "gone" nothing is left."""
    holder = {"object": "data/u/segments/s.seg", "holds": "item", "kept_by": "grace", "until": "2026-12-09T00:00:00Z"}
    marker = {"object": "data/u/segments/t.seg", "holds": "id", "kept_by": "log", "until": None}
    step = {"what": "replaced", "at": "2026-11-24T00:00:00Z", "objects": ["data/u/segments/r.seg"]}
    step |= {"into": "data/u/segments/q.seg", "versions": [], "record": "data/u/erasures/1.erasure"}
    page = {"id": id, "looked_through": 2}
    if after is None:
        past = {"steps": [step], "since": "2026-11-20T00:00:00Z", "unreadable": 0}
        beside = {"batches": 3, "oldest": "2026-11-25T00:00:00Z", "dropped": 1}
        found = [] if id == "gone" else [holder]
        return {**page, "holders": found, "past": past, "beside": beside, "next": "data/u/segments/s.seg"}
    return {**page, "holders": [marker], "past": None, "beside": None, "next": None}


def answer(status: int, body: dict[str, Any]) -> httpx.Response:
    """Returns a JSON answer."""
    return httpx.Response(status, content=orjson.dumps(body), headers={"content-type": "application/json"})


def error(status: int, kind: str, message: str, **details: object) -> httpx.Response:
    """Returns the contract's error object."""
    return answer(status, {"error": {"kind": kind, "message": message, "details": details}})


def hit(identity: str, score: float, **attributes: object) -> dict[str, Any]:
    """Returns one hit of a search."""
    return {"id": identity, "score": score, "scores": {"visual": score}, "attributes": attributes}
