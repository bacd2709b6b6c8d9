"""Requests that are wrong, each with the status and kind that it must be answered with: used in process and over HTTP.

Requires the collections of `GOOD`: `vectors` (space v, 4 dimensions) and `pictures` (space visual, encoder clip).
"""

# ruff: noqa: E501 - a table: one request a line

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import orjson

from shardlake import limits
from tests.small_world import PICTURES, VECTORS, picture

GOOD: dict[str, dict[str, Any]] = {"vectors": VECTORS, "pictures": PICTURES}

V = "/v1/collections/vectors"
P = "/v1/collections/pictures"
NEW = "/v1/collections/new"


@dataclass(frozen=True, slots=True)
class Bad:
    """One wrong request. `item_kind` is the kind of details.items[0] where items are refused one by one."""

    name: str
    method: str
    path: str
    body: object
    status: int
    kind: str
    item_kind: str | None = None
    query: tuple[tuple[str, str], ...] = ()

    def data(self) -> bytes | None:
        """Returns the body's bytes."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return orjson.dumps(self.body)


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _image(data: bytes) -> dict[str, Any]:
    return {"image": {"base64": b64encode(data).decode()}}


TRUNCATED = picture(kind="JPEG", size=(64, 64))[:-40]
TRUNCATED_PNG = picture(size=(64, 64))[:-20]
BOMB = _png(50_000, 50_000)
DEEP = b"[" * 500 + b"]" * 500
BELOW_DEEP = b'{"items":[{"id":"a","attributes":{"colour":' + b"[" * 40 + b"]" * 40 + b"}}]}"
VERY_DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HUGE = b'{"items":["' + b"x" * limits.MAX_REQUEST_BYTES + b'"]}'


def _nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"price": 1}
    for _ in range(depth):
        node = {"$not": node}
    return node


def _schema(**changes: object) -> dict[str, object]:
    return {"spaces": {"v": {"dimension": 4}}, **changes}


def _space(**fields: object) -> dict[str, object]:
    return {"spaces": {"v": {"dimension": 4, **fields}}}


def _derived(**fields: object) -> dict[str, object]:
    return {"spaces": {"a": {"dimension": 4}, "b": {"from": "a", "index": {"type": "binary_mih"}, **fields}}}


BAD_JSON = [
    ("an empty body", b"", "invalid-json"),
    ("blanks only", b"  \n", "invalid-json"),
    ("no JSON", b"<xml/>", "invalid-json"),
    ("half JSON", b'{"items": [', "invalid-json"),
    ("invalid UTF-8", b'{"items": ["\xff\xfe"]}', "invalid-json"),
    ("a lone surrogate", b'{"items": ["\\ud800"]}', "invalid-json"),
    ("NaN", b'{"items": [{"id": "a", "vectors": {"v": [NaN, 1, 2, 3]}}]}', "invalid-json"),
    ("Infinity", b'{"items": [{"id": "a", "vectors": {"v": [Infinity, 1, 2, 3]}}]}', "invalid-json"),
    ("a number beyond floats", b'{"items": [1e999]}', "invalid-json"),
    ("deep nesting", DEEP, "invalid-json"),
    ("very deep nesting", VERY_DEEP, "invalid-json"),
    ("a list where an object belongs", b"[]", "invalid-request"),
    ("a string where an object belongs", b'"items"', "invalid-request"),
    ("null", b"null", "invalid-request"),
    ("a huge body", HUGE, "payload-too-large"),
]
# fmt: off
BODIED = [("PUT", NEW), ("POST", f"{V}/items"), ("POST", f"{V}/uploads"), ("POST", f"{V}/uploads:status"), ("POST", "/v1/encode"), ("POST", f"{V}/search"), ("POST", f"{V}/search:batch")]

SYNTAX = [
    Bad(f"{method} {path.rsplit('/', 1)[1]}: {name}", method, path, body, 400, kind)
    for method, path in BODIED
    for name, body, kind in BAD_JSON
]

COLLECTION = [
    Bad(f"collection: {name}", "PUT", NEW, body, 400, "invalid-collection")
    for name, body in {
        "no spaces": {},
        "spaces is a list": {"spaces": []},
        "spaces is empty": {"spaces": {}},
        "too many spaces": {"spaces": {f"s{n}": {"dimension": 4} for n in range(limits.MAX_SPACES + 1)}},
        "no dimension": {"spaces": {"v": {}}},
        "dimension zero": _space(dimension=0),
        "dimension negative": _space(dimension=-4),
        "dimension huge": _space(dimension=limits.MAX_DIMENSION + 1),
        "dimension a text": _space(dimension="4"),
        "dimension a bool": _space(dimension=True),
        "dimension a fraction": _space(dimension=4.5),
        "unknown metric": _space(metric="hamming"),
        "metric a number": _space(metric=1),
        "unknown index type": _space(index={"type": "hnsw"}),
        "bits of another index": _space(index={"type": "flat", "bits": 256}),
        "bits of no whole word": _space(index={"type": "binary_mih", "bits": 100}),
        "bits beyond a dimension's": _space(index={"type": "ivf_rabitq", "bits": 9}),
        "bits zero": _space(index={"type": "ivf_rabitq", "bits": 0}),
        "a transform of another index": _space(index={"type": "ivf_flat", "transform": "pca"}),
        "an unknown transform": _space(index={"type": "ivf_pq", "transform": "umap"}),
        "a dimension without a pca": _space(index={"type": "ivf_pq", "dimension": 2}),
        "a pca that adds dimensions": _space(index={"type": "ivf_pq", "transform": "pca", "dimension": 5}),
        "a space from nowhere": _derived(**{"from": "w"}),
        "a space from itself": _derived(**{"from": "b"}),
        "a space from another, of another index": _derived(index={"type": "ivf_pq"}),
        "a space from another, of another dimension": _derived(dimension=5),
        "a space from another, of another metric": _derived(metric="dot"),
        "a space from another, of an encoder": _derived(encoder="clip"),
        "the first space from another": {
            "spaces": {"b": {"from": "a", "index": {"type": "binary_mih"}}, "a": {"dimension": 4}}
        },
        "unknown field of a space": _space(colour="red"),
        "unknown field": _schema(replicas=3),
        "space name in upper case": {"spaces": {"V": {"dimension": 4}}},
        "space name with a path": {"spaces": {"../v": {"dimension": 4}}},
        "space name with a newline": {"spaces": {"v\n": {"dimension": 4}}},
        "space name empty": {"spaces": {"": {"dimension": 4}}},
        "space name too long": {"spaces": {"v" * 65: {"dimension": 4}}},
        "space name reserved": {"spaces": {"match": {"dimension": 4}}},
        "attribute name with a dollar": _schema(attributes={"$and": {"type": "keyword"}}),
        "attribute name with a dot": _schema(attributes={"a.b": {"type": "keyword"}}),
        "attribute name with a control character": _schema(attributes={"a\u0000b": {"type": "keyword"}}),
        "attribute of unknown type": _schema(attributes={"a": {"type": "blob"}}),
        "attribute without type": _schema(attributes={"a": {}}),
        "attribute is a text": _schema(attributes={"a": "keyword"}),
        "multi of a float": _schema(attributes={"a": {"type": "float", "multi": True}}),
        "multi a text": _schema(attributes={"a": {"type": "keyword", "multi": "yes"}}),
        "too many attributes": _schema(
            attributes={f"a{n}": {"type": "int"} for n in range(limits.MAX_ATTRIBUTES + 1)}
        ),
        "target_rows zero": _schema(sharding={"by": "cluster", "target_rows": 0}),
        "sharding by moon": _schema(sharding={"by": "moon"}),
        "sharding by an undeclared attribute": _schema(sharding={"by": "attribute", "attribute": "a"}),
        "sharding by attribute without one": _schema(sharding={"by": "attribute"}),
        "sharding by hash with an attribute": _schema(
            attributes={"a": {"type": "keyword"}}, sharding={"by": "hash", "attribute": "a"}
        ),
        "sharding by an attribute of several values": _schema(
            attributes={"a": {"type": "keyword", "multi": True}}, sharding={"by": "attribute", "attribute": "a"}
        ),
        "sharding by a text": _schema(
            attributes={"a": {"type": "text"}}, sharding={"by": "attribute", "attribute": "a"}
        ),
        "access by an undeclared attribute": _schema(access={"attribute": "readers"}),
        "a key twice": b'{"spaces": {"v": {"dimension": 4}, "v": {"dimension": 8}}}',
        "dimension other than the encoder's": {"spaces": {"v": {"encoder": "clip", "dimension": 7}}},
    }.items()
] + [
    Bad("collection: unknown encoder", "PUT", NEW, _space(encoder="word2vec"), 400, "unknown-encoder"),
    Bad("collection: another body", "PUT", V, _space(), 409, "name-taken"),
    *[
        Bad(f"collection: the name {name!r}", "PUT", f"/v1/collections/{name}", _schema(), 400, "invalid-collection")
        for name in ("Upper", "-a", "a b", "ä", "a" * 65, "..", "a.b", "%2e%2e", "a%00b")
    ],
]

ITEMS = [
    Bad(f"items: {name}", "POST", f"{V}/items", {"items": [{"id": "good"}, body]}, 400, "invalid-items", kind)
    for name, body, kind in [
        ("a number", 7, "invalid-item"),
        ("null", None, "invalid-item"),
        ("a list", [], "invalid-item"),
        ("no id", {}, "invalid-item"),
        ("empty id", {"id": ""}, "invalid-item"),
        ("id a number", {"id": 7}, "invalid-item"),
        ("id too long", {"id": "x" * (limits.MAX_ID_BYTES + 1)}, "invalid-item"),
        ("id too long in bytes", {"id": "ä" * limits.MAX_ID_BYTES}, "invalid-item"),
        ("id with a control character", {"id": "a\u0000"}, "invalid-item"),
        ("id with a newline", {"id": "a\nb"}, "invalid-item"),
        ("unknown field", {"id": "a", "price": 3}, "invalid-item"),
        ("attributes a list", {"id": "a", "attributes": []}, "invalid-item"),
        ("undeclared attribute", {"id": "a", "attributes": {"size": 3}}, "invalid-item"),
        ("keyword a number", {"id": "a", "attributes": {"colour": 3}}, "invalid-item"),
        ("keyword a list", {"id": "a", "attributes": {"colour": ["red"]}}, "invalid-item"),
        ("keyword too long", {"id": "a", "attributes": {"colour": "x" * 2_000}}, "invalid-item"),
        ("float a text", {"id": "a", "attributes": {"price": "3"}}, "invalid-item"),
        ("float a bool", {"id": "a", "attributes": {"price": True}}, "invalid-item"),
        ("vectors a list", {"id": "a", "vectors": [1, 2, 3, 4]}, "invalid-item"),
        ("vector a text", {"id": "a", "vectors": {"v": "1234"}}, "invalid-item"),
        ("vector of texts", {"id": "a", "vectors": {"v": ["1", "2", "3", "4"]}}, "invalid-item"),
        ("vector of bools", {"id": "a", "vectors": {"v": [True, False, True, True]}}, "invalid-item"),
        ("vector with null", {"id": "a", "vectors": {"v": [1, None, 3, 4]}}, "invalid-item"),
        ("vector nested", {"id": "a", "vectors": {"v": [[1], [2], [3], [4]]}}, "invalid-item"),
        ("vector too short", {"id": "a", "vectors": {"v": [1, 2, 3]}}, "invalid-vector-dimension"),
        ("vector empty", {"id": "a", "vectors": {"v": []}}, "invalid-vector-dimension"),
        ("vector of zeros", {"id": "a", "vectors": {"v": [0, 0, 0, 0]}}, "invalid-vector"),
        ("vector beyond float32", {"id": "a", "vectors": {"v": [1e300, 0, 0, 0]}}, "invalid-vector"),
        ("unknown space", {"id": "a", "vectors": {"w": [1, 2, 3, 4]}}, "unknown-space"),
        ("media nobody reads", {"id": "a", "media": {"text": "red"}}, "unknown-modality"),
        ("unknown media", {"id": "a", "media": {"smell": "red"}}, "invalid-item"),
    ]
] + [
    Bad(f"pictures: {name}", "POST", f"{P}/items", {"items": [{"id": "a", "media": media}]}, 400, "invalid-items", kind)
    for name, media, kind in [
        ("blank text", {"text": "  "}, "invalid-media"),
        ("text too long", {"text": "x" * (limits.MAX_TEXT_CHARS + 1)}, "invalid-item"),
        ("no base64", {"image": {"base64": "§§§§"}}, "invalid-media"),
        ("half base64", {"image": {"base64": "abc"}}, "invalid-media"),
        ("no picture", _image(b"hello, I am no picture"), "invalid-media"),
        ("truncated JPEG", _image(TRUNCATED), "invalid-media"),
        ("truncated PNG", _image(TRUNCATED_PNG), "invalid-media"),
        ("decompression bomb", _image(BOMB), "media-too-large"),
        ("neither base64 nor s3", {"image": {}}, "invalid-item"),
        ("both base64 and s3", {"image": {"base64": "aaaa", "s3": "s3://lake/inbox/a"}}, "invalid-item"),
        ("another bucket", {"image": {"s3": "s3://other/inbox/a.png"}}, "forbidden-location"),
        ("outside the inbox", {"image": {"s3": "s3://lake/data/a.png"}}, "forbidden-location"),
        ("walks out of the inbox", {"image": {"s3": "s3://lake/inbox/../data/a.png"}}, "forbidden-location"),
        ("a URL", {"image": {"s3": "https://example.com/a.png"}}, "forbidden-location"),
        ("unknown field of an image", {"image": {"url": "https://example.com/a.png"}}, "invalid-item"),
    ]
] + [
    Bad("items: empty list", "POST", f"{V}/items", {"items": []}, 400, "invalid-request"),
    Bad("items: an object", "POST", f"{V}/items", {"items": {}}, 400, "invalid-request"),
    Bad("items: absent", "POST", f"{V}/items", {}, 400, "invalid-request"),
    Bad("items: a field beside them", "POST", f"{V}/items", {"items": [{"id": "a"}], "wait": True}, 400, "invalid-request"),
    Bad(
        "items: too many",
        "POST",
        f"{V}/items",
        {"items": [{"id": "a"}] * (limits.MAX_ITEMS_PER_REQUEST + 1)},
        400,
        "invalid-request",
    ),
    Bad("items: nested too deep", "POST", f"{V}/items", BELOW_DEEP, 400, "invalid-json"),
    Bad("items: wait maybe", "POST", f"{V}/items", {"items": [{"id": "a"}]}, 400, "invalid-request", None, (("wait", "maybe"),)),
    Bad("items: unknown parameter", "POST", f"{V}/items", {"items": [{"id": "a"}]}, 400, "invalid-request", None, (("wiat", "true"),)),
    Bad("items: no collection", "POST", "/v1/collections/none/items", {"items": [{"id": "a"}]}, 404, "collection-not-found"),
]

ENCODE = [
    Bad(f"encode: {name}", "POST", "/v1/encode", body, 400, kind)
    for name, body, kind in [
        ("no space", {"inputs": [{"text": "red"}]}, "invalid-request"),
        ("no inputs", {"space": "clip", "inputs": []}, "invalid-request"),
        ("input a text", {"space": "clip", "inputs": ["red"]}, "invalid-request"),
        ("input empty", {"space": "clip", "inputs": [{}]}, "invalid-request"),
        ("two kinds in one input", {"space": "clip", "inputs": [{"text": "a", "image": {"base64": "aaaa"}}]}, "invalid-request"),
        ("unknown field", {"space": "clip", "inputs": [{"text": "red"}], "model": "x"}, "invalid-request"),
        ("too many", {"space": "clip", "inputs": [{"text": "red"}] * (limits.MAX_INPUTS_PER_ENCODE + 1)}, "invalid-request"),
        ("unknown encoder", {"space": "word2vec", "inputs": [{"text": "red"}]}, "unknown-encoder"),
        ("unknown space of a collection", {"space": "pictures/w", "inputs": [{"text": "red"}]}, "unknown-space"),
        ("a space without encoder", {"space": "vectors/v", "inputs": [{"text": "red"}]}, "unknown-encoder"),
        ("two collections", {"space": "vectors/v", "collection": "pictures", "inputs": [{"text": "a"}]}, "invalid-request"),
        ("blank text", {"space": "clip", "inputs": [{"text": " "}]}, "invalid-media"),
        ("wrong base64", {"space": "clip", "inputs": [{"image": {"base64": "%%%"}}]}, "invalid-media"),
        ("truncated picture", {"space": "clip", "inputs": [_image(TRUNCATED)]}, "invalid-media"),
        ("decompression bomb", {"space": "clip", "inputs": [_image(BOMB)]}, "media-too-large"),
    ]
] + [
    Bad("encode: another bucket", "POST", "/v1/encode", {"space": "clip", "inputs": [{"image": {"s3": "s3://other/inbox/a"}}]}, 403, "forbidden-location"),
    Bad("encode: no collection", "POST", "/v1/encode", {"space": "none/v", "inputs": [{"text": "red"}]}, 404, "collection-not-found"),
]

UPLOADS = [
    Bad(f"uploads: {name!r}", "POST", f"{V}/uploads", {"files": [{"name": name, "bytes": 10}]}, 400, "invalid-file")
    for name in (
        "../a.jsonl", "/a.jsonl", "a//b.jsonl", "./a.jsonl", "a/../b.jsonl", ".api/a.jsonl", "a\\b.jsonl",
        "a\u0000.jsonl", "a\n.jsonl", "a.exe", "a", "notes.json", "a.jsonl.zip",
    )
] + [
    Bad("uploads: no files", "POST", f"{V}/uploads", {"files": []}, 400, "invalid-request"),
    Bad("uploads: bytes negative", "POST", f"{V}/uploads", {"files": [{"name": "a.jsonl", "bytes": -1}]}, 400, "invalid-request"),
    Bad("uploads: bytes huge", "POST", f"{V}/uploads", {"files": [{"name": "a.jsonl", "bytes": 2**60}]}, 400, "invalid-request"),
    Bad("uploads: bytes absent", "POST", f"{V}/uploads", {"files": [{"name": "a.jsonl"}]}, 400, "invalid-request"),
    Bad("uploads: name too long", "POST", f"{V}/uploads", {"files": [{"name": "a" * 2_000, "bytes": 1}]}, 400, "invalid-request"),
    Bad("uploads: too many", "POST", f"{V}/uploads", {"files": [{"name": "a.jsonl", "bytes": 1}] * 501}, 400, "invalid-request"),
    Bad("uploads: no collection", "POST", "/v1/collections/none/uploads", {"files": [{"name": "a.jsonl", "bytes": 1}]}, 404, "collection-not-found"),
    Bad("status: no keys", "POST", f"{V}/uploads:status", {"keys": []}, 400, "invalid-request"),
    Bad("status: keys of another collection", "POST", f"{V}/uploads:status", {"keys": ["inbox/pictures/a.jsonl"]}, 400, "invalid-request"),
    Bad("status: no collection", "POST", "/v1/collections/none/uploads:status", {"keys": ["inbox/none/a"]}, 404, "collection-not-found"),
]

SEARCH = [
    Bad(f"search: {name}", "POST", f"{V}/search", body, 400, kind)
    for name, body, kind in [
        ("unknown field", {"top": 3}, "invalid-request"),
        ("k zero", {"k": 0}, "k-out-of-range"),
        ("k negative", {"k": -1}, "k-out-of-range"),
        ("k huge", {"k": 10**9}, "k-out-of-range"),
        ("k beyond 64 bits", b'{"k": 123456789012345678901234567890}', "invalid-request"),
        ("k a text", {"k": "10"}, "invalid-request"),
        ("k a bool", {"k": True}, "invalid-request"),
        ("k a fraction", {"k": 1.5}, "invalid-request"),
        ("recall zero", {"recall": 0}, "invalid-request"),
        ("recall above one", {"recall": 1.1}, "invalid-request"),
        ("nprobe zero", {"nprobe": 0}, "invalid-request"),
        ("timeout zero", {"timeout_ms": 0}, "invalid-request"),
        ("timeout huge", {"timeout_ms": 10**9}, "invalid-request"),
        ("include unknown", {"include": ["everything"]}, "invalid-request"),
        ("query a text", {"query": "red"}, "invalid-request"),
        ("query empty", {"query": {}}, "invalid-request"),
        ("query unknown field", {"query": {"smell": "red"}}, "invalid-request"),
        ("vector a list", {"query": {"vector": [1, 2, 3, 4]}}, "invalid-request"),
        ("vector of texts", {"query": {"vector": {"v": ["1", "2", "3", "4"]}}}, "invalid-request"),
        ("vector of bools", {"query": {"vector": {"v": [True, True, True, True]}}}, "invalid-request"),
        ("vector too short", {"query": {"vector": {"v": [1, 2, 3]}}}, "invalid-vector-dimension"),
        ("vector too long", {"query": {"vector": {"v": [1.0] * 5_000}}}, "invalid-request"),
        ("vector beyond float32", {"query": {"vector": {"v": [1e300, 0, 0, 0]}}}, "invalid-vector"),
        ("unknown space", {"query": {"vector": {"w": [1, 2, 3, 4]}}}, "unknown-space"),
        ("text nobody reads", {"query": {"text": "red"}}, "unknown-modality"),
        ("unknown weight", {"query": {"vector": {"v": [1, 2, 3, 4]}, "weights": {"smell": 1}}}, "invalid-request"),
        ("weight of what is not there", {"query": {"vector": {"v": [1, 2, 3, 4]}, "weights": {"text": 1}}}, "invalid-request"),
        ("filter a list", {"filter": [1]}, "invalid-request"),
        ("filter of an unknown attribute", {"filter": {"size": 3}}, "invalid-filter"),
        ("filter with an unknown operator", {"filter": {"price": {"$near": 3}}}, "invalid-filter"),
        ("filter with a wrong type", {"filter": {"price": "cheap"}}, "invalid-filter"),
        ("filter with $and of no list", {"filter": {"$and": {}}}, "invalid-filter"),
        ("filter nested too deep", {"filter": _nested(25)}, "invalid-filter"),
        ("filter with too many values", {"filter": {"colour": {"$in": ["x"] * 20_000}}}, "invalid-filter"),
    ]
] + [
    Bad(f"search pictures: {name}", "POST", f"{P}/search", {"query": query}, status, kind)
    for name, query, status, kind in [
        ("blank text", {"text": " "}, 400, "invalid-media"),
        ("text too long", {"text": "x" * (limits.MAX_TEXT_CHARS + 1)}, 400, "invalid-request"),
        ("wrong base64", {"image": {"base64": "%%%"}}, 400, "invalid-media"),
        ("truncated picture", _image(TRUNCATED), 400, "invalid-media"),
        ("decompression bomb", _image(BOMB), 400, "media-too-large"),
        ("another bucket", {"image": {"s3": "s3://other/inbox/a.png"}}, 403, "forbidden-location"),
    ]
] + [
    Bad("search: no collection", "POST", "/v1/collections/none/search", {"k": 1}, 404, "collection-not-found"),
    Bad("search: a name that cannot be", "POST", "/v1/collections/NO/search", {"k": 1}, 404, "collection-not-found"),
    Bad("search: query parameter", "POST", f"{V}/search", {"k": 1}, 400, "invalid-request", None, (("k", "3"),)),
    Bad("search: GET", "GET", f"{V}/search", None, 405, "method-not-allowed"),
    Bad("batch: no searches", "POST", f"{V}/search:batch", {"searches": []}, 400, "invalid-request"),
    Bad("batch: too many", "POST", f"{V}/search:batch", {"searches": [{}] * 65}, 400, "invalid-request"),
    Bad("batch: a text", "POST", f"{V}/search:batch", {"searches": ["red"]}, 400, "invalid-request"),
    *[
        Bad(f"unserved search: {name}", "POST", f"{V}/search", body, 501, "not-implemented")
        for name, body in {
            "audio": {"query": {"audio": {"s3": "s3://lake/inbox/a.wav"}}},
            "video": {"query": {"video": {"s3": "s3://lake/inbox/a.mp4"}}},
        }.items()
    ],
    Bad("match of a keyword", "POST", f"{V}/search", {"match": {"colour": "red"}}, 400, "invalid-match"),
    Bad("match of nothing", "POST", f"{V}/search", {"match": {}}, 400, "invalid-match"),
    Bad("cursor of nobody", "POST", f"{V}/search", {"cursor": "x"}, 400, "invalid-cursor"),
    Bad("rank that ends early", "POST", f"{V}/search", {"rank": "score +"}, 400, "invalid-rank"),
    Bad("rank by code", "POST", f"{V}/search", {"rank": "__import__('os')"}, 400, "invalid-rank"),
    Bad("groups of nobody", "POST", f"{V}/search", {"group_by": {"attribute": "none", "size": 1}}, 400, "invalid-request"),
    Bad("facet of nothing", "POST", f"{V}/search", {"facets": ["none"]}, 400, "invalid-facet"),
]

REST = [
    Bad("builds: parameters", "POST", f"{V}/builds", {"full": True}, 400, "invalid-request"),
    Bad("builds: no JSON", "POST", f"{V}/builds", b"now", 400, "invalid-json"),
    Bad("builds: a list", "POST", f"{V}/builds", [], 400, "invalid-request"),
    Bad("builds: distributed, a text", "POST", f"{V}/builds", {"distributed": "yes"}, 400, "invalid-request"),
    Bad("builds: retry, a long id", "POST", f"{V}/builds", {"retry": "x" * 65}, 400, "invalid-request"),
    Bad("builds: retry, no such", "POST", f"{V}/builds", {"retry": "none"}, 404, "build-not-found"),
    Bad("builds: nothing taken in", "POST", f"{V}/builds", None, 409, "nothing-to-build"),
    Bad("builds: no collection", "POST", "/v1/collections/none/builds", None, 404, "collection-not-found"),
    Bad("build: no such", "GET", f"{V}/builds/none", None, 404, "build-not-found"),
    Bad("build: a long id", "GET", f"{V}/builds/{'x' * 1_000}", None, 404, "build-not-found"),
    Bad("versions: no collection", "GET", "/v1/collections/none/versions", None, 404, "collection-not-found"),
    Bad("collection: none", "GET", "/v1/collections/none", None, 404, "collection-not-found"),
    Bad("collection: drop none", "DELETE", "/v1/collections/none", None, 404, "collection-not-found"),
    Bad("collection: a name that cannot be", "GET", "/v1/collections/NO", None, 404, "collection-not-found"),
    Bad("collection: query parameter", "GET", V, None, 400, "invalid-request", None, (("verbose", "1"),)),
    Bad("route: none", "GET", "/v1/nothing", None, 404, "route-not-found"),
    Bad("route: below another", "GET", f"{V}/secrets", None, 404, "route-not-found"),
    Bad("route: a slash more", "GET", f"{V}/", None, 404, "route-not-found"),
    Bad("route: two slashes", "GET", "/v1//collections", None, 404, "route-not-found"),
    Bad("route: a path trick", "GET", "/v1/collections/vectors/../../etc", None, 404, "route-not-found"),
    Bad("item: none of that id", "GET", f"{V}/items/a/b.png", None, 404, "item-not-found"),
    Bad("item: no collection", "GET", "/v1/collections/none/items/a", None, 404, "collection-not-found"),
    Bad("item: no name", "GET", "/v1/collections/NO!/items/a", None, 404, "collection-not-found"),
    Bad("item: an id too long", "GET", f"{V}/items/{'a' * 2000}", None, 404, "item-not-found"),
    Bad("item: a parameter", "GET", f"{V}/items/a", None, 400, "invalid-request", None, (("limit", "1"),)),
    Bad("scan: no collection", "GET", "/v1/collections/none/items", None, 404, "collection-not-found"),
    Bad("scan: a limit of 0", "GET", f"{V}/items", None, 400, "invalid-request", None, (("limit", "0"),)),
    Bad("scan: a limit too large", "GET", f"{V}/items", None, 400, "invalid-request", None, (("limit", "1001"),)),
    Bad("scan: a limit that is none", "GET", f"{V}/items", None, 400, "invalid-request", None, (("limit", "ten"),)),
    Bad("scan: a misspelt parameter", "GET", f"{V}/items", None, 400, "invalid-request", None, (("from", "a"),)),
    Bad("rollback: no collection", "POST", "/v1/collections/none/rollback", {"version": "000001-a"}, 404, "collection-not-found"),
    Bad("rollback: no version said", "POST", f"{V}/rollback", {}, 400, "invalid-request"),
    Bad("rollback: a number", "POST", f"{V}/rollback", {"version": 1}, 400, "invalid-request"),
    Bad("rollback: more than a version", "POST", f"{V}/rollback", {"version": "000001-a", "force": True}, 400, "invalid-request"),
    Bad("rollback: too long", "POST", f"{V}/rollback", {"version": "0" * 65}, 400, "invalid-request"),
    Bad("rollback: a version that never was", "POST", f"{V}/rollback", {"version": "000009-a"}, 404, "version-not-found"),
    Bad("trace: no collection", "POST", "/v1/collections/none/items:trace", {"id": "a"}, 404, "collection-not-found"),
    Bad("trace: no id", "POST", f"{V}/items:trace", {}, 400, "invalid-request"),
    Bad("trace: an empty id", "POST", f"{V}/items:trace", {"id": ""}, 400, "invalid-request"),
    Bad("trace: an id too long", "POST", f"{V}/items:trace", {"id": "a" * 2000}, 400, "invalid-request"),
    Bad("trace: after what is no text", "POST", f"{V}/items:trace", {"id": "a", "after": 3}, 400, "invalid-request"),
    Bad("trace: more than an id", "POST", f"{V}/items:trace", {"id": "a", "all": True}, 400, "invalid-request"),
    Bad("method: GET items:trace", "GET", f"{V}/items:trace", None, 405, "method-not-allowed"),
    Bad("alias: no collection", "PUT", "/v1/collections/none/aliases/live", {}, 404, "collection-not-found"),
    Bad("alias: a version that never was", "PUT", f"{V}/aliases/live", {"version": "000009-a"}, 404, "version-not-found"),
    Bad("alias: no text", "PUT", f"{V}/aliases/live", {"version": 1}, 400, "invalid-request"),
    Bad("alias: more than a version", "PUT", f"{V}/aliases/live", {"force": True}, 400, "invalid-request"),
    Bad("alias: the name of a version", "PUT", f"{V}/aliases/000001-aaaaaaaa", {}, 400, "invalid-request"),
    Bad("alias: a space in it", "PUT", f"{V}/aliases/a%20b", {}, 400, "invalid-request"),
    Bad("alias: too long", "PUT", f"{V}/aliases/{'a' * 65}", {}, 400, "invalid-request"),
    Bad("alias: none to drop", "DELETE", f"{V}/aliases/live", None, 404, "alias-not-found"),
    Bad("alias: none to search", "POST", f"{V}@live/search", {}, 404, "alias-not-found"),
    Bad("method: POST aliases", "POST", f"{V}/aliases", {}, 405, "method-not-allowed"),
    Bad("method: POST collections", "POST", "/v1/collections", {}, 405, "method-not-allowed"),
    Bad("method: PATCH a collection", "PATCH", V, {}, 405, "method-not-allowed"),
    Bad("method: DELETE items", "DELETE", f"{V}/items", None, 405, "method-not-allowed"),
    Bad("method: GET encode", "GET", "/v1/encode", None, 405, "method-not-allowed"),
    Bad("method: PUT health", "PUT", "/v1/health", {}, 405, "method-not-allowed"),
    Bad("method: GET uploads", "GET", f"{V}/uploads", None, 405, "method-not-allowed"),
]

DELETES = [
    Bad("patch: nothing", "PATCH", f"{V}/items", {}, 400, "invalid-request"),
    Bad("patch: no items", "PATCH", f"{V}/items", {"items": []}, 400, "invalid-request"),
    Bad("patch: no attributes", "PATCH", f"{V}/items", {"items": [{"id": "a", "attributes": {}}]}, 400, "invalid-items"),
    Bad("patch: vectors", "PATCH", f"{V}/items", {"items": [{"id": "a", "attributes": {"colour": "x"}, "vectors": {}}]}, 400, "invalid-items"),
    Bad("patch: type", "PATCH", f"{V}/items", {"items": [{"id": "a", "attributes": {"colour": 1}}]}, 400, "invalid-items"),
    Bad("patch: unknown", "PATCH", f"{V}/items", {"items": [{"id": "a", "attributes": {"nothing": 1}}]}, 400, "invalid-items"),
    Bad("delete: neither", "POST", f"{V}/items:delete", {}, 400, "invalid-request"),
    Bad("delete: both", "POST", f"{V}/items:delete", {"ids": ["a"], "filter": {"colour": "red"}}, 400, "invalid-request"),
    Bad("delete: no ids", "POST", f"{V}/items:delete", {"ids": []}, 400, "invalid-request"),
    Bad("delete: a number", "POST", f"{V}/items:delete", {"ids": [1]}, 400, "invalid-request"),
    Bad("delete: too many", "POST", f"{V}/items:delete", {"ids": ["a"] * 10_001}, 400, "invalid-request"),
    Bad("delete: control character", "POST", f"{V}/items:delete", {"ids": ["a\n"]}, 400, "invalid-item"),
    Bad("delete: unknown field", "POST", f"{V}/items:delete", {"id": "a"}, 400, "invalid-request"),
    Bad("delete: wait", "POST", f"{V}/items:delete", {"ids": ["a"]}, 400, "invalid-request", None, (("wait", "perhaps"),)),
    Bad("delete: filter", "POST", f"{V}/items:delete", {"filter": {"nothing": 1}}, 400, "invalid-filter"),
    Bad("delete: collection", "POST", "/v1/collections/nothing/items:delete", {"ids": ["a"]}, 404, "collection-not-found"),
    Bad("deletes: kind of file", "POST", f"{V}/uploads", {"files": [{"name": "deletes/a.parquet", "bytes": 1}]}, 400, "invalid-file"),
]

UNSERVED = [
    Bad("unserved: access", "PUT", NEW, _schema(attributes={"r": {"type": "keyword"}}, access={"attribute": "r"}), 501, "not-implemented"),
    Bad("unserved: audio", "POST", f"{P}/items", {"items": [{"id": "a", "media": {"audio": {"base64": "aaaa"}}}]}, 501, "not-implemented"),
    Bad("unserved: video", "POST", "/v1/encode", {"space": "clip", "inputs": [{"video": {"s3": "s3://lake/a"}}]}, 501, "not-implemented"),
    Bad("unserved: sound files", "POST", f"{V}/uploads", {"files": [{"name": "a.wav", "bytes": 1}]}, 501, "not-implemented"),
]

ALL = [*SYNTAX, *COLLECTION, *ITEMS, *ENCODE, *UPLOADS, *SEARCH, *REST, *DELETES, *UNSERVED]
# fmt: on
