"""Aliases: names for versions that searches follow (`films@live`). One changes at once, whoever searches meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from functions.api.world import World
from shardlake.catalog.base import Alias, CollectionRow
from shardlake.contracts.alias import AliasModel
from shardlake.contracts.common import is_alias, parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.errors import Conflict, ErrorKind, InvalidInput, NotFound
from shardlake.limits import MAX_ALIASES, MAX_NAME_LENGTH

ATTEMPTS = 5  # where others change the same alias: the last one wins


def list_aliases(world: World, request: Request, *, name: str) -> Response:
    """Answers every alias, by name."""
    found = world.catalog.aliases(world.collection(name).uid)
    return json_response(200, {"aliases": [_body(alias) for alias in found]})


def put_alias(world: World, request: Request, *, name: str, alias: str) -> Response:
    """Gives an alias to a version, the current one where none is said: 200 with it."""
    row = world.collection(name)
    if not is_alias(alias):
        raise InvalidInput(
            "an alias begins with a letter; a-z, 0-9, - and _ follow, 64 at most", alias=alias[:MAX_NAME_LENGTH]
        )
    said = validated(AliasModel, parse_object(request.body) if request.body.strip() else {})
    wanted = Alias(alias=alias, version=said.version or _current(world, row), changed_at=world.timestamp())
    return json_response(200, _body(_settled(lambda: _set(world, row.uid, wanted))))


def drop_alias(world: World, request: Request, *, name: str, alias: str) -> Response:
    """Removes an alias: 200 with what it was; its version stays."""
    row = world.collection(name)
    return json_response(200, _body(_settled(lambda: _drop(world, row.uid, alias))))


def _set(world: World, uid: str, alias: Alias) -> Alias:
    standing = _standing(world, uid)
    if alias.alias not in standing and len(standing) >= MAX_ALIASES:
        raise InvalidInput(f"a collection has {MAX_ALIASES} aliases at most: drop one first")
    expected = standing[alias.alias].version if alias.alias in standing else None
    world.catalog.set_alias(uid, alias, expected=expected)
    return alias


def _drop(world: World, uid: str, name: str) -> Alias:
    standing = _standing(world, uid).get(name)
    if standing is None:
        raise NotFound("there is no such alias", kind=ErrorKind.ALIAS_NOT_FOUND, alias=name[:MAX_NAME_LENGTH])
    world.catalog.drop_alias(uid, name, expected=standing.version)
    return standing


def _settled(change: Callable[[], Alias]) -> Alias:
    """Returns what a change made of an alias; it is made again where another writer was faster."""
    for _ in range(ATTEMPTS - 1):
        with suppress(Conflict):
            return change()
    return change()


def _standing(world: World, uid: str) -> dict[str, Alias]:
    return {alias.alias: alias for alias in world.catalog.aliases(uid)}


def _current(world: World, row: CollectionRow) -> str:
    pointer = world.catalog.pointer(row.uid)
    if pointer is None:
        raise NotFound("the collection was never built", kind=ErrorKind.VERSION_NOT_FOUND, collection=row.name)
    return pointer.version


def _body(alias: Alias) -> dict[str, object]:
    return {"alias": alias.alias, "version": alias.version, "changed_at": alias.changed_at}
