"""Every operation of the API, once: a path, a body, whether it may be repeated, and the type of its answer.

`base` is the path of what the operation is called on: /v1 for a client, /v1/collections/NAME for a collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast
from urllib.parse import quote, urlencode

from shardlake.client import answers
from shardlake.client.failures import decode
from shardlake.client.flows import Exchange, Flow, pause, persist, send
from shardlake.client.queries import SearchParameters, encode_input, search_body, search_timeout_s
from shardlake.errors import DeadlineExceeded, ShardlakeError

if TYPE_CHECKING:
    from shardlake.types import Json

HTTP_CREATED = 201
FIRST_POLL_S = 0.2
LONGEST_POLL_S = 2.0
DEFAULT_WAIT_S = 24 * 3600.0


def collection_path(name: str) -> str:
    """Returns the base path of a collection."""
    return f"/v1/collections/{quote(name, safe='')}"


def create_collection(base: str, name: str, schema: Mapping[str, Any]) -> Flow[answers.CollectionInfo]:
    """Creates a collection; the same schema again changes nothing.

    Raises:
        Conflict: name-taken, when a collection of that name has another schema.
    """
    url = collection_path(name)
    reply = yield from persist(Exchange(method="PUT", url=url, json=cast("Json", schema), safe=True))
    raw = {"name": name} | decode(reply.content, doing=f"PUT {url}")
    created = reply.status == HTTP_CREATED
    return answers.parsed(raw, lambda one: answers.to_collection(one, created=created), doing=f"PUT {url}")


def list_collections(base: str) -> Flow[list[answers.CollectionInfo]]:
    """Returns all collections."""
    raw = yield from _get(f"{base}/collections")
    return answers.parsed(
        raw,
        lambda answer: [answers.to_collection(one) for one in answer["collections"]],
        doing="list collections",
    )


def get_collection(base: str, name: str) -> Flow[answers.CollectionInfo]:
    """Returns what is known of a collection. Raises NotFound (collection-not-found)."""
    return (yield from describe(collection_path(name)))


def drop_collection(base: str, name: str) -> Flow[None]:
    """Drops a collection; its objects are collected later. Raises NotFound (collection-not-found)."""
    # Not repeated: when only the answer was lost, a second DELETE would say that there is nothing to drop.
    yield from persist(Exchange(method="DELETE", url=collection_path(name)))


def health(base: str) -> Flow[dict[str, Json]]:
    """Returns the API's health: versions of code and format."""
    return (yield from _get(f"{base}/health"))


def encode(
    base: str, space: str, inputs: Sequence[str | Path | bytes | Mapping[str, Any]]
) -> Flow[answers.EncodeAnswer]:
    """Turns texts (str) and pictures (a Path, or bytes) into vectors.

    Args:
        space: an encoder's name, or COLLECTION/SPACE.
        inputs: in the order of the vectors wanted.
    """
    body = {"space": space, "inputs": [encode_input(value) for value in inputs]}
    raw = yield from _ask(f"{base}/encode", body)
    return answers.parsed(raw, answers.to_encode, doing="encode")


def describe(base: str) -> Flow[answers.CollectionInfo]:
    """Returns what is known of the collection. Raises NotFound (collection-not-found)."""
    raw = yield from _get(base)
    return answers.parsed(raw, answers.to_collection, doing=f"GET {base}")


def search(base: str, **parameters: Unpack[SearchParameters]) -> Flow[answers.SearchAnswer]:
    """Searches the collection by words, a picture, vectors, a filter, or several of them together.

    The parameters are those of `SearchParameters`, which says what each means.

    Raises:
        InvalidInput: what is asked is wrong; `context` says where.
        NotFound: collection-not-found.
        Unavailable: no-shard-answered.
    """
    raw = yield from _ask(f"{base}/search", search_body(parameters), timeout_s=search_timeout_s(parameters))
    return answers.parsed(raw, answers.to_search, doing="search")


def search_batch(base: str, searches: Sequence[SearchParameters]) -> Flow[list[answers.SearchAnswer | ShardlakeError]]:
    """Makes up to 64 searches with one fan-out.

    Returns:
        One entry a search, in order: its answer, or its error (which is not raised, since the others may be good).
    """
    body = {"searches": [search_body(one) for one in searches]}
    longest_s = max((search_timeout_s(one) for one in searches), default=None)
    raw = yield from _ask(f"{base}/search:batch", body, timeout_s=longest_s)
    return answers.parsed(raw, answers.to_batch, doing="search a batch")


def upsert(base: str, items: Sequence[Mapping[str, Any]], *, wait: bool = False) -> Flow[answers.Accepted]:
    """Adds or replaces up to 1,000 items; all or none.

    Args:
        items: as the contract has them.
        wait: until every search that begins sees them; the answer says whether that came in time.

    Raises:
        InvalidInput: invalid-items; `context["items"]` has index, id, kind and message of each bad one.
    """
    raw = yield from _ask(f"{base}/items{_waiting(wait)}", {"items": list(items)})
    return answers.parsed(raw, answers.to_accepted, doing="upsert items")


def patch_items(base: str, patches: Sequence[Mapping[str, Any]], *, wait: bool = False) -> Flow[answers.Accepted]:
    """Changes attributes of up to 1,000 items; vectors stay. All patches are right, or none is accepted.

    Args:
        patches: {"id": …, "attributes": {name: value}}; None takes an attribute away.
        wait: until every search that begins sees the changes; the answer says whether that came in time.

    Raises:
        InvalidInput: invalid-items; `context["items"]` has index, id, kind and message of each bad one.
    """
    body: dict[str, Any] = {"items": list(patches)}
    raw = yield from send(Exchange(method="PATCH", url=f"{base}/items{_waiting(wait)}", json=body, safe=True))
    return answers.parsed(raw, answers.to_accepted, doing="patch items")


def delete_items(
    base: str, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None, wait: bool = False
) -> Flow[answers.Accepted]:
    """Deletes items by their ids, 10,000 at most, or all that pass a filter now.

    Args:
        ids: of items, whether there are any or not.
        filter: as in a search; instead of ids. An item that is written again meanwhile stays.
        wait: until no search that begins finds them; the answer says whether that came in time.

    Raises:
        InvalidInput: invalid-filter, or where there is not exactly one of both.
    """
    body = ({} if ids is None else {"ids": list(ids)}) | ({} if filter is None else {"filter": dict(filter)})
    raw = yield from _ask(f"{base}/items:delete{_waiting(wait)}", body)
    return answers.parsed(raw, answers.to_accepted, doing="delete items")


def trace_item(base: str, item_id: str) -> Flow[answers.Trace]:
    """Returns which objects still have something of an item, deleted or not, and what was done to remove it.

    Every object of the collection is looked into, some hundred a request.
    """
    pages: list[dict[str, Any]] = []
    after: Json = None
    while not pages or after is not None:
        raw = yield from _ask(f"{base}/items:trace", {"id": item_id, "after": after})
        pages.append(raw)
        after = raw.get("next")
    return answers.parsed({"pages": pages}, lambda told: answers.to_trace(told["pages"]), doing="trace an item")


def get_item(base: str, item_id: str) -> Flow[dict[str, Json]]:
    """Returns one item as stored: id, attributes, media where it has any, vectors by space.

    Raises:
        NotFound: item-not-found: the current version has none of that id.
    """
    return (yield from _get(f"{base}/items/{quote(item_id, safe='/')}"))


def scan_items(base: str, *, after: str | None = None, limit: int | None = None) -> Flow[answers.ItemPage]:
    """Returns items in the order of their ids, without their vectors.

    Args:
        after: the id behind which the page begins: `after` of the page before.
        limit: how many, 1,000 at most; 100 by default.
    """
    query = {name: value for name, value in (("after", after), ("limit", limit)) if value is not None}
    raw = yield from _get(f"{base}/items" + (f"?{urlencode(query)}" if query else ""))
    return answers.parsed(raw, answers.to_item_page, doing="scan items")


def start_build(base: str, *, distributed: bool | None = None, retry: str | None = None) -> Flow[answers.Build]:
    """Starts a build, which makes everything taken in so far searchable.

    Args:
        distributed: on many machines, or in one run; None: the deployment decides.
        retry: the id of a build that has failed: it goes on where it stopped.

    Raises:
        Conflict: nothing-to-build, when nothing has been taken in.
        InvalidInput: the build to retry has not failed.
    """
    asked = {name: value for name, value in (("distributed", distributed), ("retry", retry)) if value is not None}
    raw = yield from send(Exchange(method="POST", url=f"{base}/builds", json=dict(asked)))
    return answers.parsed(raw, answers.to_build, doing="start a build")


def get_build(base: str, build_id: str) -> Flow[answers.Build]:
    """Returns a build and how far it is. Raises NotFound (build-not-found)."""
    raw = yield from _get(f"{base}/builds/{quote(build_id, safe='')}")
    return answers.parsed(raw, answers.to_build, doing="follow a build")


def wait_for_build(
    base: str,
    build_id: str,
    *,
    on_progress: Callable[[answers.Build], None] | None = None,
    wait_s: float = DEFAULT_WAIT_S,
) -> Flow[answers.Build]:
    """Follows a build until it is done or has failed, and returns it; a failed build is an answer, not an error.

    Raises:
        DeadlineExceeded: it was not finished within `wait_s`; it goes on.
    """
    waited, step_s = 0.0, FIRST_POLL_S
    while True:
        build = yield from get_build(base, build_id)
        if on_progress is not None:
            on_progress(build)
        if build.finished:
            return build
        if waited >= wait_s:
            raise DeadlineExceeded("the build is not finished; it goes on", build_id=build_id, state=build.state)
        yield from pause(step_s)
        waited, step_s = waited + step_s, min(LONGEST_POLL_S, step_s * 1.3)


def versions(base: str) -> Flow[list[answers.Version]]:
    """Returns every committed version, newest first."""
    raw = yield from _get(f"{base}/versions")
    return answers.parsed(raw, answers.to_versions, doing="list versions")


def rollback(base: str, version: str) -> Flow[answers.Version]:
    """Makes an earlier version current and returns it; the versions after it stay, to be gone forward to.

    Raises:
        NotFound: there is no such version.
        Conflict: another writer moved the pointer meanwhile.
    """
    raw = yield from _ask(f"{base}/rollback", {"version": version})
    return answers.parsed(raw, answers.to_current_version, doing="roll back")


def aliases(base: str) -> Flow[list[answers.Alias]]:
    """Returns every alias, by name."""
    raw = yield from _get(f"{base}/aliases")
    return answers.parsed(raw, answers.to_aliases, doing="list aliases")


def set_alias(base: str, alias: str, version: str | None = None) -> Flow[answers.Alias]:
    """Gives an alias to a version, the current one by default, and takes it from the one that had it.

    Raises:
        NotFound: version-not-found.
        InvalidInput: what cannot be an alias; or there are 64.
    """
    step = Exchange(method="PUT", url=_alias(base, alias), json={"version": version}, safe=True)
    return answers.parsed((yield from send(step)), answers.to_alias, doing="set an alias")


def drop_alias(base: str, alias: str) -> Flow[None]:
    """Removes an alias; its version stays. Raises NotFound (alias-not-found)."""
    # Not repeated: when only the answer was lost, a second DELETE would say that there is nothing to drop.
    yield from persist(Exchange(method="DELETE", url=_alias(base, alias)))


def _alias(base: str, alias: str) -> str:
    return f"{base}/aliases/{quote(alias, safe='')}"


def _get(url: str) -> Flow[dict[str, Json]]:
    return (yield from send(Exchange(method="GET", url=url, safe=True)))


def _ask(url: str, body: dict[str, Any], *, timeout_s: float | None = None) -> Flow[dict[str, Json]]:
    # Everything posted here may be repeated: a question changes nothing, and a batch of items is known by its content.
    step = Exchange(method="POST", url=url, json=body, safe=True)
    if timeout_s is not None:
        step = Exchange(method="POST", url=url, json=body, safe=True, timeout_s=timeout_s)
    return (yield from send(step))


def _waiting(wait: bool) -> str:
    return "?wait=true" if wait else ""
