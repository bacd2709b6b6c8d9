"""Two writers, lost replies, one catalog: a state machine against a model that is a few dictionaries.

The contract suite runs the same machine on the real adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shardlake.catalog.base import (
    Catalog,
    CollectionRow,
    LogHead,
    Pointer,
    Receipt,
    ReceiptState,
    SegmentRow,
    ShardRow,
    Snapshot,
)
from shardlake.errors import CommitUnknown, Conflict, NotFound, Unavailable
from shardlake.testing import MemoryCatalog, WrappedCatalog

WRITERS = st.sampled_from(["ada", "ben"])
LOSSES = st.sampled_from(["none", "none", "request", "reply"])
NAMES = st.sampled_from(["films", "songs"])


class LossyLine(WrappedCatalog):
    """Loses the request (nothing happens) or the reply (it happened) of the next commit or addition."""

    loss = "none"

    def before(self, operation: str) -> None:
        if self.loss == "request":
            self._lose(operation)

    def after(self, operation: str) -> None:
        if self.loss == "reply":
            self._lose(operation)

    def _lose(self, operation: str) -> None:
        if operation == "commit":
            raise CommitUnknown("the line was lost")
        if operation == "append":
            raise Unavailable("the line was lost")


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
        self.pointer: Pointer | None = None
        self.log: list[SegmentRow] = []
        self.heads: dict[str, LogHead] = {"ada": LogHead(), "ben": LogHead()}
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
        pointer = replace(
            _pointer(version), through=len(self.log), skipped=self.pointer.skipped if self.pointer else ()
        )
        self._attempt(writer, loss, (self.seen[writer], pointer, [_shard(self.serial)]))

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
        if self.current != version:
            target, _ = self.landed[version]
            behind = ((target.through + 1, len(self.log)),) if len(self.log) > target.through else ()
            self.pointer = replace(target, skipped=target.skipped + behind)
        assert found == self.pointer
        self.current = self.seen[writer] = version

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), loss=LOSSES)
    def repeat(self, data: st.DataObject, loss: str) -> None:
        writer = data.draw(st.sampled_from(sorted(self.pending)))
        self._attempt(writer, loss, self.pending[writer])

    def _attempt(self, writer: str, loss: str, attempt: tuple[str | None, Pointer, list[ShardRow]]) -> None:
        expected, pointer, shards = attempt
        repeated = pointer.version in self.landed
        skips_alike = self.pointer is None or self.pointer.skipped == pointer.skipped
        may_land = expected == self.current and skips_alike and not repeated
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
            self.current, self.pointer = pointer.version, pointer
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

    @rule(writer=WRITERS)
    def look_at_the_log(self, writer: str) -> None:
        self.heads[writer] = self.catalog.log_head("u")

    @rule(writer=WRITERS, number=st.integers(0, 9), order=st.sampled_from("abc"), loss=LOSSES)
    def append(self, writer: str, number: int, order: str, loss: str) -> None:
        row = SegmentRow(segment_id=f"s{number}", order=order, key="k", rows=1, bytes=1, source="s", created_at="t")
        standing = next((one for one in self.log if one.segment_id == row.segment_id), None)
        may_land = standing is None and self.heads[writer].sequence == len(self.log)
        self.catalog.loss = loss
        try:
            found = self.catalog.append("u", row, head=self.heads[writer])
            assert found == (standing or replace(row, sequence=len(self.log) + 1))
        except Conflict:
            assert standing is None, "a repetition is no conflict"
            assert not may_land, "a conflict is certain"
        except Unavailable:
            may_land = may_land and loss == "reply"
        if may_land:
            self.log.append(replace(row, sequence=len(self.log) + 1))

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
        assert self.catalog.segments("u") == self.log
        newest = max((row.order for row in self.log), default="")
        assert self.catalog.log_head("u") == LogHead(sequence=len(self.log), newest=newest)
        assert self.catalog.receipts("u", list("xyz")) == self.receipts
        assert self.catalog.rejected_total("u") == sum(receipt.rejected for receipt in self.receipts.values())

    @invariant()
    def a_snapshot_is_the_pointer_and_what_it_does_not_hold(self) -> None:
        through, skipped = (self.pointer.through, self.pointer.skipped) if self.pointer else (0, ())
        aside = {number for first, last in skipped for number in range(first, last + 1)}
        pending = tuple(row for row in self.log if row.sequence > through and row.sequence not in aside)
        assert self.catalog.snapshot("u") == Snapshot(pointer=self.pointer, pending=pending)

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
