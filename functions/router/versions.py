"""What the router knows of a version: shard map, manifest, centroids. Read once a version and kept: nothing changes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from shardlake import limits
from shardlake.catalog.base import Catalog, Pointer, ShardRow
from shardlake.deadline import Deadline
from shardlake.errors import FormatError
from shardlake.format.manifest import Manifest, ManifestSpace, decode_manifest, decode_routing
from shardlake.store.base import ObjectStore
from shardlake.types import Float32Array

MAX_VERSIONS_KEPT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of one collection. Centroids come when a search first needs them."""

    pointer: Pointer
    manifest: Manifest
    shards: tuple[ShardRow, ...]
    centroids: dict[str, Float32Array] = field(default_factory=dict)


class Versions:
    """Versions by manifest key, least recently used out first."""

    def __init__(self, catalog: Catalog, store: ObjectStore) -> None:
        self._catalog = catalog
        self._store = store
        self._kept: OrderedDict[str, Version] = OrderedDict()

    def get(self, uid: str, pointer: Pointer, deadline: Deadline) -> Version:
        """Returns the version that a pointer names.

        Cost: one shard map query and one GET where it is not kept.
        """
        version = self._kept.get(pointer.manifest_key)
        if version is None:
            body = self._store.get(pointer.manifest_key, max_bytes=limits.MAX_MANIFEST_BYTES, deadline=deadline)
            version = Version(
                pointer=pointer,
                manifest=decode_manifest(body),
                shards=tuple(self._catalog.shard_rows(uid, pointer.version)),
            )
            self._kept[pointer.manifest_key] = version
            if len(self._kept) > MAX_VERSIONS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(pointer.manifest_key)
        return version

    def centroids(self, version: Version, space: ManifestSpace, deadline: Deadline) -> Float32Array:
        """Returns (lists, d) float32 of a space. Cost: one GET where they are not kept."""
        if space.name not in version.centroids:
            assert space.routing_key is not None, "only shards know what to probe of it"
            data = self._store.get(space.routing_key, max_bytes=limits.MAX_DIRECTORY_BYTES, deadline=deadline)
            centroids = decode_routing(data)
            if centroids.shape != (space.lists, space.dimension):
                raise FormatError("a routing file contradicts the manifest", key=space.routing_key)
            version.centroids[space.name] = centroids
        return version.centroids[space.name]
