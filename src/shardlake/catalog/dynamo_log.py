"""The log of segments on DynamoDB. The layout of its rows: `dynamodb.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from shardlake.catalog.base import LogHead, LogPosition, Pointer, SegmentRow, Snapshot
from shardlake.catalog.dynamo_errors import ERRORS, Foreign, is_refused, settle
from shardlake.catalog.log import grown, in_place_of, is_pending
from shardlake.catalog.rows import bounded, from_item, to_item
from shardlake.catalog.tables import ROW_IS_NEW, Tables, key_of
from shardlake.errors import Conflict, ShardlakeError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

POINTER: Final = "pointer"
HEAD: Final = "head"
HEAD_IS_EXPECTED: Final = "#sequence = :expected"
LAST: Final = 10**12 - 1  # behind every place of a log
MAX_ZONE_MAPS_BYTES_OF_A_DELTA: Final = 8 * 1024  # every search reads those of all that is pending
MAX_COLLECTIONS_KNOWN: Final = 1_024


class SegmentLog:
    """Segments by their place, the end of the log, and by what each is known."""

    def __init__(self, client: DynamoDBClient, tables: Tables, table: str, *, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._tables = tables
        self._table = table
        self._sleep = sleep
        self._through: dict[str, LogPosition] = {}  # where the last snapshot of a collection began: a hint

    def head(self, uid: str) -> LogHead:
        """Returns the end of the log. Cost: one consistent read."""
        item = self._tables.get(self._table, key_of(uid, HEAD))
        return from_item(LogHead, item) if item else LogHead()

    def append(self, uid: str, row: SegmentRow, *, head: LogHead) -> SegmentRow:
        """Adds a segment behind `head`. Cost: one transaction of three rows."""
        added = replace(_bounded(row), sequence=head.sequence + 1)
        items = self._append_items(uid, added, head)
        standing: list[SegmentRow] = []  # where it was added before, by a repetition or by an attempt of the SDK
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict_of_append(uid, added, exc, standing),
            sleep=self._sleep,
        )
        return standing[0] if standing else added

    def compact(self, uid: str, rows: Sequence[SegmentRow], merged: SegmentRow) -> SegmentRow:
        """Replaces segments of the log by one. Cost: one transaction of as many rows."""
        added = in_place_of(rows, _bounded(merged))
        items = self._compact_items(uid, rows, added)
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict_of_compaction(uid, added, exc),
            sleep=self._sleep,
        )
        return added

    def segments(self, uid: str, *, after: LogPosition = 0) -> list[SegmentRow]:
        """Returns the segments of the log behind a position, by sequence; those of older releases first."""
        old: list[SegmentRow] = []
        if not after:
            old = [from_item(SegmentRow, item) for item in self._tables.query(self._table, uid, "segment#")]
            old.sort(key=lambda row: (row.order, row.segment_id))
        items = self._tables.between(self._table, uid, _log(after + 1), POINTER)
        return old + [from_item(SegmentRow, item) for item in items if item["sk"]["S"] != POINTER]

    def snapshot(self, uid: str) -> Snapshot:
        """Returns the pointer and what is pending.

        Cost: one consistent query; two where the pointer was moved back since the last one, or was never read.
        """
        known = self._through.get(uid)
        if known is None:
            item = self._tables.get(self._table, key_of(uid, POINTER))
            known = from_item(Pointer, item).through if item else 0
        found = self._snapshot(uid, known)
        through = found.pointer.through if found.pointer else 0
        if through < known:
            found = self._snapshot(uid, through)
        if len(self._through) >= MAX_COLLECTIONS_KNOWN:
            self._through.clear()
        self._through[uid] = through
        return found

    def _snapshot(self, uid: str, after: LogPosition) -> Snapshot:
        items = list(self._tables.between(self._table, uid, _log(after + 1), POINTER))
        pointer = next((from_item(Pointer, item) for item in items if item["sk"]["S"] == POINTER), None)
        rows = (from_item(SegmentRow, item) for item in items if item["sk"]["S"] != POINTER)
        return Snapshot(pointer=pointer, pending=tuple(row for row in rows if is_pending(pointer, row)))

    def _append_items(self, uid: str, row: SegmentRow, head: LogHead) -> list[Any]:
        moved: dict[str, Any] = {"TableName": self._table, "Item": {**key_of(uid, HEAD), **to_item(grown(head, row))}}
        if head.sequence:
            moved |= {
                "ConditionExpression": HEAD_IS_EXPECTED,
                "ExpressionAttributeNames": {"#sequence": "sequence"},
                "ExpressionAttributeValues": {":expected": {"N": str(head.sequence)}},
            }
        else:
            moved |= {"ConditionExpression": ROW_IS_NEW}
        known = {**_known_key(uid, row.known_as), "sequence": {"N": str(row.sequence)}}
        return [
            {"Put": moved},
            {"Put": {"TableName": self._table, "Item": {**key_of(uid, _log(row.sequence)), **to_item(row)}}},
            {"Put": {"TableName": self._table, "Item": known, "ConditionExpression": ROW_IS_NEW}},
        ]

    def _compact_items(self, uid: str, rows: Sequence[SegmentRow], merged: SegmentRow) -> list[Any]:
        def unchanged(row: SegmentRow) -> dict[str, Any]:
            return {
                "TableName": self._table,
                "ConditionExpression": "#id = :id",
                "ExpressionAttributeNames": {"#id": "segment_id"},
                "ExpressionAttributeValues": {":id": {"S": row.segment_id}},
            }

        gone: list[Any] = [{"Delete": {**unchanged(row), "Key": key_of(uid, _log(row.sequence))}} for row in rows[:-1]]
        put = {**unchanged(rows[-1]), "Item": {**key_of(uid, _log(merged.sequence)), **to_item(merged)}}
        return [*gone, {"Put": put}]

    def _known(self, uid: str, identity: str) -> SegmentRow | None:
        """Returns the segment of the log that is known as that."""
        item = self._tables.get(self._table, _known_key(uid, identity))
        if item is None:
            return None
        # It may have been merged since with what follows it.
        first = _log(int(item["sequence"]["N"]))
        found = next(self._tables.between(self._table, uid, first, _log(LAST)), None)
        return None if found is None else from_item(SegmentRow, found)

    def _verdict_of_append(
        self, uid: str, row: SegmentRow, exc: Foreign, standing: list[SegmentRow]
    ) -> ShardlakeError | None:
        """Returns what a failed addition means: None when the segment stands, Overloaded when to try again."""
        if (found := self._known(uid, row.known_as)) is not None:
            standing.append(found)
            return None
        if is_refused(exc):
            return Conflict("another segment was added to the log", sequence=row.sequence)
        return ERRORS.translate(exc)

    def _verdict_of_compaction(self, uid: str, merged: SegmentRow, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failed compaction means: None when it landed all the same, Overloaded when to try again."""
        item = self._tables.get(self._table, key_of(uid, _log(merged.sequence)))
        if item and from_item(SegmentRow, item).segment_id == merged.segment_id:
            return None
        if is_refused(exc):
            return Conflict("the log has been compacted by another", sequence=merged.sequence)
        return ERRORS.translate(exc)


def _log(sequence: LogPosition) -> str:
    return f"log#{sequence:012d}"


def known_partition(uid: str) -> str:
    """Returns where the rows are by which segments are known: there is one for each that was ever added, and no query
    of a collection's other rows shall pass them by."""
    return f"{uid}#known"


def _known_key(uid: str, identity: str) -> dict[str, Any]:
    return key_of(known_partition(uid), identity)


def _bounded(row: SegmentRow) -> SegmentRow:
    return row if row.delta is None else replace(row, delta=bounded(row.delta, MAX_ZONE_MAPS_BYTES_OF_A_DELTA))
