"""`export-faiss`: a shard's space as a file that any program with faiss opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import session_of
from shardlake.errors import ErrorKind, InvalidInput, NotFound

if TYPE_CHECKING:
    from shardlake.catalog.base import Catalog, CollectionRow, ShardRow
    from shardlake.cli.storage import Storage
    from shardlake.deadline import Deadline
    from shardlake.engine.export import Exported
    from shardlake.engine.shard import OpenShard
    from shardlake.types import SpaceSpec

Target = Annotated[
    Path, typer.Argument(metavar="OUT.faiss", help="The file to write; OUT.json beside it gets the ids.")
]
SpaceName = Annotated[str | None, typer.Option("--space", "-s", help="The space; else the collection's first.")]
ShardNumber = Annotated[int, typer.Option("--shard", help="Which shard, from 0; `shardlake versions` says how many.")]


def export_faiss(
    context: typer.Context,
    target: Target,
    *,
    collection: CollectionName = None,
    space: SpaceName = None,
    shard: ShardNumber = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write one shard's space as a plain faiss index, read from the bucket itself.

    The ids in the index are row numbers; OUT.json says which item each row is, and how queries are prepared. It reads
    the local cloud, or, where SHARDLAKE_BUCKET, SHARDLAKE_CATALOG_TABLE and SHARDLAKE_SHARD_TABLE name the outputs of
    a stack on AWS, that one, with the credentials of the environment.
    """
    storage = session_of(context).storage(data_dir)
    row = _collection(storage.catalog, collection)
    spec = _space(row, space)
    placed = _shard(storage.catalog, row, shard)
    from shardlake.engine.export import export

    exported = export(_open(storage, placed), spec.name)
    written = _write(target, exported, spec, placed.key)
    said = f"{written['index']}: {len(exported.ids):,} rows of {spec.name}; their ids are in {written['ids']}"
    Output(as_json=as_json).emit(written, lambda console: console.print(said, markup=False, soft_wrap=True))


def _collection(catalog: Catalog, name: str | None) -> CollectionRow:
    if name is not None:
        return catalog.get_collection(name)
    rows = catalog.list_collections()
    if not rows:
        raise NotFound("there is no collection yet", kind=ErrorKind.COLLECTION_NOT_FOUND)
    if len(rows) > 1:
        names = [row.name for row in rows]
        raise InvalidInput("there are several collections: name one with --collection", collections=names)
    return rows[0]


def _space(row: CollectionRow, name: str | None) -> SpaceSpec:
    from shardlake.contracts.collection import schema_of_body

    spaces = {spec.name: spec for spec in schema_of_body(row.body).spaces}
    if name is not None and name not in spaces:
        raise InvalidInput(f"there is no space {name}", kind=ErrorKind.UNKNOWN_SPACE, spaces=list(spaces))
    return spaces[name] if name is not None else next(iter(spaces.values()))


def _shard(catalog: Catalog, row: CollectionRow, number: int) -> ShardRow:
    pointer = catalog.pointer(row.uid)
    if pointer is None:
        raise NotFound("the collection was never built", kind=ErrorKind.VERSION_NOT_FOUND)
    shards = {one.shard_id: one for one in catalog.shard_rows(row.uid, pointer.version)}
    if number not in shards:
        raise InvalidInput(f"there is no shard {number}", kind=ErrorKind.INVALID_REQUEST, shards=len(shards))
    return shards[number]


def _open(storage: Storage, row: ShardRow) -> OpenShard:
    from shardlake.engine.shard import open_shard
    from shardlake.store.base import ByteRange

    def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        return storage.store.get_ranges(row.key, [ByteRange(a, b) for a, b in spans], deadline=deadline)

    return open_shard(read([(row.footer_offset, row.bytes)], None)[0], row.bytes, read)


def _write(target: Path, exported: Exported, spec: SpaceSpec, key: str) -> dict[str, Any]:
    """Writes both files; returns what they are. Raises InvalidInput when they cannot be written."""
    import faiss
    import orjson

    beside = target.with_suffix(".json")
    if beside == target:
        raise InvalidInput("OUT must not end in .json: the ids are written there", at=str(target))
    about = {
        "key": key,
        "space": spec.name,
        "metric": spec.metric,
        "dimension": spec.dimension,
        "rows": len(exported.ids),
    }
    try:
        faiss.write_index(exported.index, str(target))
        beside.write_bytes(orjson.dumps({**about, "ids": exported.ids}))
    except (OSError, RuntimeError) as exc:  # faiss tells a file that it cannot write by a RuntimeError
        raise InvalidInput(f"{target} cannot be written", kind=ErrorKind.INVALID_FILE) from exc
    return {**about, "index": str(target), "ids": str(beside)}
