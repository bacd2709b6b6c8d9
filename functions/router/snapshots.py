"""Which snapshot of which collection is meant: the current one, or the one that a reference or a cursor names.

films                      what is current
films@000042-3f9c1a2b      that version, as it was built
films@000042-3f9c1a2b+17   what an answer's `version` was
films@live                 the version that has this alias
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from shardlake.catalog.base import Catalog, CollectionRow, Snapshot
from shardlake.catalog.log import UNBUILT, name_of, snapshot_at, split_name
from shardlake.contracts.common import is_alias, is_name
from shardlake.deadline import Clock
from shardlake.errors import ErrorKind, NotFound
from shardlake.limits import EVENTUAL_MAX_AGE_S

MAX_KEPT = 256  # collections
AT = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A collection as it is seen.

    Attributes:
        current: its current snapshot. pinned: the name of the one that the reference names instead, or None.
    """

    row: CollectionRow
    current: Snapshot
    pinned: str | None

    @property
    def name(self) -> str | None:
        """Of the snapshot that is meant; None where the collection has nothing yet."""
        return self.pinned or name_of(self.current)


@dataclass(slots=True)
class Snapshots:
    """Reads collections and their snapshots. What was read is kept for searches that do not mind its age."""

    catalog: Catalog
    clock: Clock
    _kept: OrderedDict[str, tuple[float, CollectionRow, Snapshot]] = field(default_factory=OrderedDict)

    def find(self, reference: str, *, eventual: bool = False) -> Found:
        """Returns what a reference to a collection means.

        Args:
            reference: `name`, `name@snapshot` or `name@alias`.
            eventual: whether what was read at most EVENTUAL_MAX_AGE_S ago will do.

        Raises:
            NotFound: collection-not-found, alias-not-found.

        Cost: two consistent reads; none where what is kept will do. One more for an alias.
        """
        name, at, pinned = reference.partition(AT)
        if not is_name(name) or bool(at) != bool(pinned):
            raise NotFound("there is no such collection", kind=ErrorKind.COLLECTION_NOT_FOUND)
        kept = self._kept.get(name)
        if not eventual or kept is None or self.clock() - kept[0] > EVENTUAL_MAX_AGE_S:
            kept = self._read(name)
        _, row, current = kept
        if is_alias(pinned):
            pinned = self._version_of(row.uid, pinned)
        return Found(row=row, current=current, pinned=pinned or None)

    def named(self, uid: str, name: str, current: Snapshot) -> Snapshot | None:
        """Returns the snapshot of that name, or None where there is none any more.

        Cost: nothing where it is the current one; else the history, and the log behind the version.
        """
        if name == name_of(current):
            return current
        parts = split_name(name)
        if parts is None:
            return None
        version, aside, sequence = parts
        pointer = next((one for one in self.catalog.versions(uid) if one.version == version), None)
        if pointer is None and version != UNBUILT:
            return None
        rows = self.catalog.segments(uid, after=pointer.through if pointer else 0) if sequence else []
        return snapshot_at(pointer, aside, sequence, rows)

    def _version_of(self, uid: str, name: str) -> str:
        found = next((one.version for one in self.catalog.aliases(uid) if one.alias == name), None)
        if found is None:
            raise NotFound("there is no such alias", kind=ErrorKind.ALIAS_NOT_FOUND, alias=name)
        return found

    def _read(self, name: str) -> tuple[float, CollectionRow, Snapshot]:
        began_s = self.clock()  # before the reads: so old is what they may say at most
        row = self.catalog.get_collection(name)
        found = began_s, row, self.catalog.snapshot(row.uid)
        self._kept[name] = found
        self._kept.move_to_end(name)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found
