"""What the router knows of a version: shard map, manifest, routing files. Read once a version and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from shardlake import limits
from shardlake.catalog.base import Catalog, DeltaRow, Pointer, SegmentRow, ShardRow, Snapshot
from shardlake.catalog.log import UNBUILT, name_of
from shardlake.contracts.shard import Expiry, Overwrites
from shardlake.deadline import Deadline
from shardlake.errors import FormatError
from shardlake.format import locations
from shardlake.format.manifest import Manifest, ManifestSpace, decode_manifest
from shardlake.format.routing import Routing, decode_routing
from shardlake.store.base import ObjectStore
from shardlake.store.parallel import in_time
from shardlake.types import CollectionSchema, IndexType, SpaceSpec

MAX_VERSIONS_KEPT = 16
PARALLEL = 2 + limits.MAX_SPACES  # manifest, shard map, and the routing files of all spaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of one collection, and what is pending behind it. Routing files come when a search first needs them.

    Attributes:
        pointer: None before the first build.
        shards: of the version.
        deltas: of the pending segments in which any item lives, with negative numbers: `is_delta`.
        overwrites: what hides rows of the shards, and of deltas that came before.
        digests: {space: of the encoders that made its vectors}.
        name: of the snapshot.
        expiry: when rows have expired; None where items never do. `expiry.as_of` says this and what follows.
        aged: the shards and deltas in which some rows may have expired. gone: those in which all have.
        is_worn: whether so much of a shard has expired that searches go as under a filter.
    """

    pointer: Pointer | None
    manifest: Manifest
    shards: tuple[ShardRow, ...]
    routings: dict[str, Routing] = field(default_factory=dict)
    deltas: tuple[ShardRow, ...] = ()
    overwrites: tuple[Overwrites, ...] = ()
    digests: Mapping[str, frozenset[str]] = field(default_factory=dict)
    name: str = ""
    expiry: Expiry | None = None
    aged: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    is_worn: bool = False

    @property
    def is_built(self) -> bool:
        """Whether there is a version at all."""
        return self.pointer is not None

    @property
    def searched(self) -> tuple[ShardRow, ...]:
        """What a search may ask: the shards, then the deltas, without those in which everything has expired."""
        rows = self.shards + self.deltas
        return rows if not self.gone else tuple(row for row in rows if row.shard_id not in self.gone)

    def expiry_of(self, rows: Sequence[ShardRow]) -> Expiry | None:
        """Returns what some shards are told of their expired rows; None where they have none."""
        aged = tuple(row.shard_id for row in rows if row.shard_id in self.aged)
        return None if self.expiry is None or not aged else replace(self.expiry, shards=aged)

    def sequence_of(self, row: ShardRow) -> int:
        """Returns the position of the log up to which a shard or delta holds it."""
        return -row.shard_id if is_delta(row) else self.pointer.through if self.pointer else 0

    def first_extent(self, space: str, shard_id: int) -> int:
        """Returns which of a space's extents is that of the first list of a shard."""
        counts = ((row.shard_id, row.lists[space]) for row in self.shards)
        return sum(stop - first for number, (first, stop) in counts if number < shard_id)


class Versions:
    """Versions by manifest key, least recently used out first."""

    def __init__(self, catalog: Catalog, store: ObjectStore) -> None:
        self._catalog = catalog
        self._store = store
        self._kept: OrderedDict[str, Version] = OrderedDict()
        self._seen: OrderedDict[str, tuple[object, Version]] = OrderedDict()  # the last snapshot of each collection
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="versions")

    def get(
        self,
        uid: str,
        snapshot: Snapshot,
        schema: CollectionSchema,
        deadline: Deadline,
        *,
        spaces: Collection[str] = (),
    ) -> Version:
        """Returns what a snapshot of a collection is of: its version, and the deltas behind it.

        Args:
            uid, schema: of the collection.
            snapshot: with a version, or anything pending.
            deadline: of the reads.
            spaces: whose routing files are read along.

        Cost: of the version, as `_base`; the pending are known.
        """
        pointer = snapshot.pointer
        base = unbuilt(uid, schema) if pointer is None else self._base(uid, pointer, deadline, spaces)
        seen = pointer, tuple(row.segment_id for row in snapshot.pending)
        kept = self._seen.get(uid)
        if kept is None or kept[0] != seen:
            kept = self._seen[uid] = seen, _beside(base, snapshot, schema)
            if len(self._seen) > MAX_VERSIONS_KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(uid)
        # Routing files come and go with the version, whatever is pending.
        return replace(kept[1], routings=base.routings)

    def _base(self, uid: str, pointer: Pointer, deadline: Deadline, spaces: Collection[str]) -> Version:
        """Returns the version that a pointer names, with the routing files of `spaces`.

        Cost: one round where anything of it is not kept. Keys of routing files follow from the pointer, so that
        manifest, shard map and routing files are read side by side.
        """
        version = self._kept.get(pointer.manifest_key)
        missing = sorted(set(spaces) - (version.routings.keys() if version else set()))
        if version is None or missing:
            version = self._read(uid, pointer, version, missing, deadline)
            self._kept[pointer.manifest_key] = version
            if len(self._kept) > MAX_VERSIONS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(pointer.manifest_key)
        return version

    def routing(self, version: Version, space: ManifestSpace, deadline: Deadline) -> Routing:
        """Returns what the routing file of a space says. Cost: one GET where it did not come with the version."""
        if space.name not in version.routings:
            assert space.routing_key is not None, "only shards know what to probe of it"
            routing = self._routing(space.routing_key, deadline)
            version.routings[space.name] = _checked(version, space, routing)
        return version.routings[space.name]

    def _read(
        self, uid: str, pointer: Pointer, kept: Version | None, spaces: Sequence[str], deadline: Deadline
    ) -> Version:
        manifests: list[Manifest] = [] if kept is None else [kept.manifest]
        rows: list[ShardRow] = [] if kept is None else list(kept.shards)
        keys = {space: locations.routing(uid, pointer.version, space) for space in spaces}
        files: dict[str, Routing] = {}
        calls: list[Callable[[], None]] = [partial(self._take_routing, files, key, deadline) for key in keys.values()]
        if kept is None:
            calls.append(lambda: manifests.append(self._manifest(pointer, deadline)))
            calls.append(lambda: rows.extend(self._catalog.shard_rows(uid, pointer.version)))
        in_time(self._pool, calls, doing="read a version", deadline=deadline)
        version = kept or Version(pointer=pointer, manifest=manifests[0], shards=tuple(rows))
        for name, key in keys.items():
            space = version.manifest.space(name)
            if space is not None and space.routing_key == key:
                version.routings[name] = _checked(version, space, files[key])
        return version

    def _take_routing(self, files: dict[str, Routing], key: str, deadline: Deadline) -> None:
        files[key] = self._routing(key, deadline)

    def _routing(self, key: str, deadline: Deadline) -> Routing:
        return decode_routing(self._store.get(key, max_bytes=limits.MAX_DIRECTORY_BYTES, deadline=deadline))

    def _manifest(self, pointer: Pointer, deadline: Deadline) -> Manifest:
        body = self._store.get(pointer.manifest_key, max_bytes=limits.MAX_MANIFEST_BYTES, deadline=deadline)
        return decode_manifest(body)


def is_delta(row: ShardRow) -> bool:
    """Returns whether a row is that of a pending segment's delta: its number is minus the segment's sequence."""
    return row.shard_id < 0


def shard_name(shard_id: int) -> str:
    """Returns what callers see of a shard: its number, or which place of the log its delta has."""
    return f"{shard_id:05d}" if shard_id >= 0 else f"delta-{-shard_id:06d}"


def unbuilt(uid: str, schema: CollectionSchema) -> Version:
    """Returns the version of a collection that has none: no shards, and every space searched exactly."""
    spaces = tuple(
        ManifestSpace(
            name=space.name,
            dimension=space.dimension,
            metric=space.metric,
            index=IndexType.FLAT,
            lists=0,
            rows=0,
            routing_key=None,
            curve=(),
        )
        for space in schema.spaces
    )
    manifest = Manifest(
        collection="",
        uid=uid,
        version=UNBUILT,
        parent=None,
        build_id="",
        created_at="",
        body="",
        rows=0,
        segments=(),
        shards=(),
        spaces=spaces,
    )
    return Version(pointer=None, manifest=manifest, shards=())


def _beside(base: Version, snapshot: Snapshot, schema: CollectionSchema) -> Version:
    """Returns the version with what is pending beside it."""
    return replace(
        base,
        pointer=snapshot.pointer,
        deltas=tuple(_delta(row, row.delta) for row in snapshot.pending if row.delta is not None),
        overwrites=tuple(
            Overwrites(key=locations.overwrites(row.key), bytes=row.ids_bytes, sequence=row.sequence)
            for row in snapshot.pending
            if row.ids_bytes
        ),
        digests={space.name: _digests(space, base, snapshot) for space in schema.spaces},
        name=name_of(snapshot) or "",
    )


def _digests(space: SpaceSpec, base: Version, snapshot: Snapshot) -> frozenset[str]:
    built = base.manifest.space(space.name)
    found = {row.encoders.get(space.source or space.name) for row in snapshot.pending}
    return frozenset(filter(None, found | {built.encoder_digest if built else None}))


def _delta(row: SegmentRow, delta: DeltaRow) -> ShardRow:
    return ShardRow(
        shard_id=-row.sequence,
        key=locations.delta(row.key),
        bytes=delta.bytes,
        footer_offset=delta.footer_offset,
        checksum=delta.checksum,
        rows=delta.rows,
        lists={},
        zone_maps=delta.zone_maps,
        summaries=delta.summaries,
    )


def _checked(version: Version, space: ManifestSpace, routing: Routing) -> Routing:
    """Returns the routing file's content, or raises FormatError where it contradicts manifest or shard map."""
    counts = [row.lists[space.name] for row in version.shards]
    lists = sum(stop - first for first, stop in counts)
    fits = routing.centroids.shape == (space.lists, space.dimension)
    if not fits or (routing.extents is not None and len(routing.extents.offsets) != lists):
        raise FormatError("a routing file contradicts the manifest", key=space.routing_key)
    return routing
