"""Two writers, lost replies, one catalog: a state machine against a model that is a few dictionaries.

The contract suite runs the same machine on the real adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shardlake.catalog.base import Catalog, CollectionRow, Pointer, Receipt, ReceiptState, SegmentRow, ShardRow
from shardlake.errors import CommitUnknown, Conflict, NotFound
from shardlake.testing import MemoryCatalog, WrappedCatalog

WRITERS = st.sampled_from(["ada", "ben"])
LOSSES = st.sampled_from(["none", "none", "request", "reply"])
NAMES = st.sampled_from(["films", "songs"])


class LossyLine(WrappedCatalog):
    """Loses the request (nothing happens) or the reply (it happened) of the next commit."""

    loss = "none"

    def before(self, operation: str) -> None:
        if operation == "commit" and self.loss == "request":
            raise CommitUnknown("the request was lost")

    def after(self, operation: str) -> None:
        if operation == "commit" and self.loss == "reply":
            raise CommitUnknown("the reply was lost")


class CatalogMachine(RuleBasedStateMachine):
    """Over the memory catalog; a subclass with another `new_catalog` tests another adapter."""

    new_catalog: ClassVar[Callable[[], Catalog]] = MemoryCatalog

    def __init__(self) -> None:
        super().__init__()
        self.catalog = LossyLine(type(self).new_catalog())
        self.serial = 0
        # The model.
        self.uids: dict[str, str] = {}
        self.current: str | None = None
        self.landed: dict[str, tuple[Pointer, list[ShardRow]]] = {}
        self.segments: dict[str, SegmentRow] = {}
        self.receipts: dict[str, Receipt] = {}
        # What each writer knows: where it saw the pointer, and the commit whose outcome it does not know.
        self.seen: dict[str, str | None] = {"ada": None, "ben": None}
        self.pending: dict[str, tuple[str | None, Pointer, list[ShardRow]]] = {}

    @rule(writer=WRITERS)
    def refresh(self, writer: str) -> None:
        pointer = self.catalog.pointer("u")
        self.seen[writer] = pointer.version if pointer else None

    @rule(writer=WRITERS, loss=LOSSES)
    def commit(self, writer: str, loss: str) -> None:
        self.serial += 1
        version = f"{self.serial:06d}-{writer}"
        self._attempt(writer, loss, (self.seen[writer], _pointer(version), [_shard(self.serial)]))

    @precondition(lambda self: self.landed)
    @rule(writer=WRITERS, data=st.data())
    def roll_back(self, writer: str, data: st.DataObject) -> None:
        version, expected = data.draw(st.sampled_from(sorted(self.landed))), self.seen[writer]
        try:
            found = self.catalog.roll_back("u", expected=expected or "", version=version)
        except Conflict:
            assert self.current not in {expected, version}
            return
        assert self.current in {expected, version}, "a rollback from elsewhere moved the pointer"
        assert found == self.landed[version][0]
        self.current = self.seen[writer] = version

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), loss=LOSSES)
    def repeat(self, data: st.DataObject, loss: str) -> None:
        writer = data.draw(st.sampled_from(sorted(self.pending)))
        self._attempt(writer, loss, self.pending[writer])

    def _attempt(self, writer: str, loss: str, attempt: tuple[str | None, Pointer, list[ShardRow]]) -> None:
        expected, pointer, shards = attempt
        repeated = pointer.version in self.landed
        may_land = expected == self.current and not repeated
        self.catalog.loss = loss
        try:
            self.catalog.commit("u", expected=expected, pointer=pointer, shards=shards)
        except Conflict:
            assert not may_land, "a conflict is certain: nothing of ours landed"
            assert not repeated, "a commit that landed is not in conflict with itself"
            self.pending.pop(writer, None)
            return
        except CommitUnknown:
            self.pending[writer] = attempt
            if loss == "request":
                return
        else:
            assert may_land or repeated, "a commit from elsewhere landed"
            self.pending.pop(writer, None)
            self.seen[writer] = pointer.version
        if may_land:
            self.current = pointer.version
            self.landed[pointer.version] = (pointer, shards)

    @rule(name=NAMES, body=st.sampled_from(["{}", '{"a":1}']))
    def create(self, name: str, body: str) -> None:
        self.serial += 1
        row = CollectionRow(name=name, uid=f"uid-{self.serial}", body=body, created_at="t")
        try:
            standing, created = self.catalog.create_collection(row)
        except Conflict:
            assert name in self.uids
            return
        assert created == (name not in self.uids)
        assert standing.uid == self.uids.setdefault(name, row.uid)

    @rule(name=NAMES)
    def drop(self, name: str) -> None:
        try:
            dropped = self.catalog.drop_collection(name)
        except NotFound:
            assert name not in self.uids
            return
        assert dropped.uid == self.uids.pop(name)

    @rule(number=st.integers(0, 5), order=st.sampled_from("abc"))
    def add_segment(self, number: int, order: str) -> None:
        row = SegmentRow(segment_id=f"s{number}", order=order, key="k", rows=1, bytes=1, source="s", created_at="t")
        assert self.catalog.add_segment("u", row) == (row.segment_id not in self.segments)
        self.segments.setdefault(row.segment_id, row)

    @rule(source=st.sampled_from("xyz"), etag=st.sampled_from("12"), rejected=st.integers(0, 3))
    def take_in(self, source: str, etag: str, rejected: int) -> None:
        receipt = Receipt(
            source=source, etag=etag, state=ReceiptState.DONE, accepted=1, rejected=rejected, finished_at="t"
        )
        self.catalog.put_receipt("u", receipt)
        self.receipts[source] = receipt

    @invariant()
    def the_pointer_is_where_the_last_winner_put_it(self) -> None:
        pointer = self.catalog.pointer("u")
        assert (pointer.version if pointer else None) == self.current

    @invariant()
    def every_version_that_landed_stands_with_its_map(self) -> None:
        assert self.catalog.versions("u") == [pointer for _, (pointer, _) in sorted(self.landed.items())]
        for version, (_, shards) in self.landed.items():
            assert self.catalog.shard_rows("u", version) == shards

    @invariant()
    def what_was_ingested_stands(self) -> None:
        assert self.catalog.segments("u") == sorted(self.segments.values(), key=lambda row: (row.order, row.segment_id))
        assert self.catalog.receipts("u", list("xyz")) == self.receipts
        assert self.catalog.rejected_total("u") == sum(receipt.rejected for receipt in self.receipts.values())

    @invariant()
    def names_are_who_the_model_says(self) -> None:
        assert {row.name: row.uid for row in self.catalog.list_collections()} == self.uids


def _pointer(version: str) -> Pointer:
    return Pointer(
        version=version, manifest_key="m", rows=1, bytes=1, shards=1, committed_at="t", build_id=f"build-{version}"
    )


def _shard(serial: int) -> ShardRow:
    row = ShardRow(
        shard_id=0, key="", bytes=1, footer_offset=1, checksum="c", rows=1, lists={"v": (0, 1)}, zone_maps={}
    )
    return replace(row, key=f"shard-{serial}")
