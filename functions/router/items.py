"""Items as they are stored now: one by its id, or all of them in the order of their ids.

Unlike a search, which may answer in part, these never leave an item out because its shard failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.router.answer import failure
from functions.router.expiry import as_of
from functions.router.fanout import Told, fan_out
from functions.router.service import Router
from functions.router.snapshots import Found
from functions.router.timing import deadline_of
from functions.router.versions import Version
from shardlake import limits
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.shard import LeafSearch
from shardlake.contracts.shard_wire import decode_vector
from shardlake.core.topk import merge_by_id
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, NotFound, ShardlakeError, Unavailable
from shardlake.observability import Line

TIMEOUT_MS = 10_000  # nobody types while these are fetched


def get_item(router: Router, name: str, item_id: str, line: Line, limit: Deadline) -> dict[str, Any]:
    """Returns an item with its vectors, which are as the space's metric has them: of unit length for cosine.

    Raises:
        NotFound: collection-not-found, item-not-found. Unavailable: no-shard-answered, where the item may lie in a
            shard that failed.
    """
    deadline = deadline_of([{"timeout_ms": TIMEOUT_MS}], limit, router.clock)
    found = router.snapshots.find(name)
    spaces = tuple(space.name for space in schema_of_body(found.row.body).stored_spaces)
    version = _version(router, found, deadline)
    line.add(version=version.name if version else None)
    told: Mapping[int, Told] = {}
    if version is not None and 0 < len(item_id.encode("utf-8", "replace")) <= limits.MAX_ID_BYTES:
        told = _asked(router, version, LeafSearch(ids=(item_id,), k=1, include_vectors=spaces), deadline)
    for answer in told.values():
        if not isinstance(answer, ShardlakeError) and answer["hits"]:
            _, _, payload, vectors, *_ = answer["hits"][0]
            return {**payload, "vectors": {space: decode_vector(v).tolist() for space, v in (vectors or {}).items()}}
    _refuse_failures(told)
    raise NotFound("there is no item of that id", kind=ErrorKind.ITEM_NOT_FOUND, collection=name)


def scan_items(router: Router, name: str, query: Mapping[str, str], line: Line, limit: Deadline) -> dict[str, Any]:
    """Returns {items, after}: a page of items in the order of ids, and the id to go on after; None behind the last.

    Args:
        query: `after`, an id, and `limit`, how many items.

    Raises:
        NotFound: collection-not-found. InvalidInput: a limit that is none. Unavailable: no-shard-answered.
    """
    after, count = query.get("after"), _limit(query.get("limit"))
    deadline = deadline_of([{"timeout_ms": TIMEOUT_MS}], limit, router.clock)
    version = _version(router, router.snapshots.find(name), deadline)
    if version is None:
        return {"items": [], "after": None}
    line.add(version=version.name)
    # One more than is shown tells whether there is more.
    leaf = LeafSearch(k=count + 1, after=(0.0, after) if after else None)
    told = _asked(router, version, leaf, deadline)
    _refuse_failures(told)
    answers = [answer for answer in told.values() if not isinstance(answer, ShardlakeError)]
    parts = [[(0.0, hit[0], hit[2]) for hit in answer["hits"]] for answer in answers]
    found = [payload for *_, payload in merge_by_id(parts, count + 1)]
    return {"items": found[:count], "after": found[count - 1]["id"] if len(found) > count else None}


def lookup(router: Router, event: Mapping[str, Any], line: Line, limit: Deadline) -> dict[str, Any]:
    """Returns items as they are, for whoever changes them: what ingest asks.

    Returns:
        {"items": [stored item with "vectors" {space: base64}], "position": of the log, "encoders": {space: digest}}.

    Raises:
        InvalidInput: the event asks nothing. NotFound: collection-not-found. Unavailable: no-shard-answered.
    """
    try:
        name, ids = str(event["collection"]), tuple(map(str, event["ids"]))
    except (KeyError, TypeError) as exc:
        raise InvalidInput("the event is not a look-up") from exc
    deadline = deadline_of([{"timeout_ms": TIMEOUT_MS}], limit, router.clock)
    line.add(collection=name, ids=len(ids))
    found = router.snapshots.find(name)
    version = _version(router, found, deadline)
    if version is None:
        return {"items": [], "position": 0, "encoders": {}}
    spaces = tuple(space.name for space in schema_of_body(found.row.body).stored_spaces)
    told = _asked(router, version, LeafSearch(ids=ids, k=len(ids), include_vectors=spaces), deadline)
    _refuse_failures(told)
    answers = [answer for answer in told.values() if not isinstance(answer, ShardlakeError)]
    items = [{**hit[2], "vectors": hit[3] or {}} for answer in answers for hit in answer["hits"]]
    digests = {space: next(iter(version.digests[space])) for space in spaces if len(version.digests[space]) == 1}
    return {"items": items, "position": found.current.sequence, "encoders": digests}


def _version(router: Router, found: Found, deadline: Deadline) -> Version | None:
    """Returns what is meant, as it is now; None where the collection has nothing yet. Raises NotFound:
    version-not-found.
    """
    if found.name is None:
        return None
    snapshot = router.snapshots.named(found.row.uid, found.name, found.current)
    if snapshot is None:
        raise NotFound("there is no such version, or it is gone", kind=ErrorKind.VERSION_NOT_FOUND)
    schema = schema_of_body(found.row.body)
    return as_of(router.versions.get(found.row.uid, snapshot, schema, deadline), schema, router.now())


def _asked(router: Router, version: Version, leaf: LeafSearch, deadline: Deadline) -> dict[int, Told]:
    call = router.invoker, router.settings.shard_search_function, deadline
    wanted = {0: {shard.shard_id: leaf for shard in version.searched}}
    return fan_out(wanted, version, call).told(0)


def _refuse_failures(told: Mapping[int, Told]) -> None:
    failed = {shard: answer for shard, answer in told.items() if isinstance(answer, ShardlakeError)}
    for error in failed.values():
        if error.kind is ErrorKind.ANSWER_TOO_LARGE:
            raise error
    if failed:
        said = [failure(shard, error) for shard, error in sorted(failed.items())]
        raise Unavailable("not every shard answered", kind=ErrorKind.NO_SHARD_ANSWERED, failed=said)


def _limit(text: str | None) -> int:
    if text is None:
        return limits.DEFAULT_SCAN_ITEMS
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(limits.MAX_SCAN_ITEMS)) else 0
    if not 1 <= count <= limits.MAX_SCAN_ITEMS:
        raise InvalidInput(f"limit is a number from 1 to {limits.MAX_SCAN_ITEMS}", at="limit")
    return count
