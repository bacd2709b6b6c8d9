"""The catalog on DynamoDB: two tables, every read consistent, every decision a condition on one row.

    catalog   pk            sk
              collections   {name}                      a collection as created; dropping removes this row alone
              dropped       {uid}                       a collection that was dropped, until all it had is removed
              {uid}         pointer                     what is current: the only row that ever moves
              {uid}         version#{version}           every version that was committed, with the aliases that name it
              {uid}         alias#{alias}               a name that users gave to a version
              {uid}         head                        the end of the log of segments
              {uid}         log#{sequence}              a segment, at its place in the log
              {uid}#known   {identity}                  the place of a segment, so that a repetition adds none
              {uid}         segment#{segment_id}        a segment that a release before 0.4 wrote
              {uid}         receipt#{hash of source}    hashed, for a source key may be longer than a sort key
              {uid}         rejected#{hash of source}   the number of refused items, where there are any
              {uid}         ledger#{hash of source}     how far a large file is that is taken in by parts
              {uid}         build#{build_id}
    shards    {uid}#{version}   {shard_id}              the shard map of one version

A commit first writes the shard map, which nobody looks for yet, then adds the version row and moves the pointer in one
transaction. The version row is what makes it repeatable: it stands exactly if the pointer once moved to that version.

A segment is added in one transaction too: its row, the row by which it is known, and the head, which must not have
moved. Keys of the log stand just before the pointer's, so that one query reads what is pending and what is current.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from shardlake.catalog.base import (
    Alias,
    BuildRow,
    BuildState,
    CollectionRow,
    LogHead,
    LogPosition,
    Pointer,
    Receipt,
    SegmentRow,
    ShardRow,
    Snapshot,
)
from shardlake.catalog.dynamo_aliases import Aliases
from shardlake.catalog.dynamo_errors import ERRORS, Foreign, ours, settle
from shardlake.catalog.dynamo_forgetting import Forgetting
from shardlake.catalog.dynamo_log import POINTER, SegmentLog, known_partition
from shardlake.catalog.ledger import Ledger
from shardlake.catalog.log import no_version, set_aside
from shardlake.catalog.rows import RowT, bounded, from_item, to_item
from shardlake.catalog.tables import ROW_IS_NEW, Tables, key_of
from shardlake.errors import CommitUnknown, Conflict, ErrorKind, Forbidden, NotFound, Overloaded, ShardlakeError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAMES: Final = "collections"
DROPPED: Final = "dropped"  # collections, by their uid, until they are forgotten
POINTER_IS_EXPECTED: Final = "#version = :expected"
# Older releases wrote none.
POINTER_SKIPS: Final = "(#skipped = :skipped OR attribute_not_exists(#skipped))"

BUILD_GOES_ON: Final = f"{ROW_IS_NEW} OR (NOT #state IN (:done, :failed) AND #progress <= :progress)"


class DynamoCatalog:
    """Collections, versions and what belongs to them.

    Args:
        catalog_table: name of the table with keys pk (S) and sk (S).
        shard_table: name of the table with keys pk (S) and sk (N).
        client: a DynamoDB client to use instead of one of our own.
        sleep: waits the seconds between attempts.
    """

    def __init__(
        self,
        catalog_table: str,
        shard_table: str,
        *,
        client: DynamoDBClient | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = catalog_table
        self._shards = shard_table
        self._client = client or connect()
        self._tables = Tables(self._client, guard=ours, sleep=sleep)
        self._log = SegmentLog(self._client, self._tables, catalog_table, sleep=sleep)
        self._aliases = Aliases(self._client, self._tables, catalog_table, sleep=sleep)
        self._forgetting = Forgetting(self._client, self._tables, catalog_table, shard_table, sleep=sleep)
        self._sleep = sleep

    def close(self) -> None:
        """Ends the connections; the catalog is of no use afterwards."""
        self._client.close()

    def create_collection(self, row: CollectionRow) -> tuple[CollectionRow, bool]:
        """Creates, or returns what stands. A repetition after a lost reply still says that it created."""
        if self._tables.put_new(self._table, {**key_of(NAMES, row.name), **to_item(row)}):
            return row, True
        standing = self.get_collection(row.name)
        if standing.body != row.body:
            raise Conflict(
                "a collection of this name has another schema", kind=ErrorKind.NAME_TAKEN, collection=row.name
            )
        return standing, standing.uid == row.uid

    def get_collection(self, name: str) -> CollectionRow:
        """Returns the collection of that name."""
        row = self._get(CollectionRow, NAMES, name)
        if row is None:
            raise _no_collection(name)
        return row

    def list_collections(self) -> list[CollectionRow]:
        """Returns all collections by name."""
        return [from_item(CollectionRow, item) for item in self._tables.query(self._table, NAMES)]

    def drop_collection(self, name: str) -> CollectionRow:
        """Takes the name away; rows under its uid stay."""
        # Written down first: killed in between it stands on both lists, which who collects what was dropped looks at.
        self._note_dropped(self.get_collection(name))
        item = self._tables.delete(self._table, key_of(NAMES, name))
        if item is None:
            raise _no_collection(name)
        row = from_item(CollectionRow, item)
        self._note_dropped(row)  # it may be another one of that name by now
        return row

    def dropped_collections(self) -> list[CollectionRow]:
        """Returns the collections that were dropped and not forgotten yet."""
        return [from_item(CollectionRow, item) for item in self._tables.query(self._table, DROPPED)]

    def _note_dropped(self, row: CollectionRow) -> None:
        self._tables.put(self._table, {**key_of(DROPPED, row.uid), **to_item(row)})

    def pointer(self, uid: str) -> Pointer | None:
        """Returns what is current. Cost: one consistent read."""
        return self._get(Pointer, uid, POINTER)

    def commit(self, uid: str, *, expected: str | None, pointer: Pointer, shards: Sequence[ShardRow]) -> None:
        """Writes the shard map, then adds the version and moves the pointer in one transaction."""
        if self._has_landed(uid, pointer):
            return
        current = self.pointer(uid)
        if (current.version if current else None) != expected:
            raise _moved(expected, pointer)  # before a shard map is written that nobody will look for
        pk = {"S": f"{uid}#{pointer.version}"}
        items = [{"pk": pk, "sk": {"N": str(row.shard_id)}, **to_item(bounded(row))} for row in shards]
        self._tables.write_all(self._shards, items)
        self._move_pointer(uid, expected, pointer)

    def roll_back(self, uid: str, *, expected: str, version: str) -> Pointer:
        """Makes a committed version current again if the pointer still is at `expected`. Cost: a read and a write."""
        target = self._get(Pointer, uid, f"version#{version}")
        if target is None:
            raise no_version(version)
        if (standing := self.pointer(uid)) is not None and standing.version == version:
            return standing
        self._forgetting.spare(uid, version)
        target = set_aside(replace(target, condemned_at=None), self.log_head(uid))
        moved = self._pointer_put(uid, expected, target)
        settle(
            lambda: self._client.put_item(**moved),
            lambda exc: self._verdict_of_rollback(uid, expected, target, exc),
            sleep=self._sleep,
        )
        return target

    def shard_rows(self, uid: str, version: str) -> list[ShardRow]:
        """Returns the shard map of one version, by shard_id."""
        return [from_item(ShardRow, item) for item in self._tables.query(self._shards, f"{uid}#{version}")]

    def versions(self, uid: str) -> list[Pointer]:
        """Returns every committed version, oldest first."""
        return [from_item(Pointer, item) for item in self._tables.query(self._table, uid, "version#")]

    def aliases(self, uid: str) -> list[Alias]:
        """Returns every alias, by name. Cost: one consistent query."""
        return self._aliases.all(uid)

    def set_alias(self, uid: str, alias: Alias, *, expected: str | None) -> None:
        """Gives an alias to a version. Cost: one transaction of two or three rows."""
        self._aliases.set(uid, alias, expected=expected)

    def drop_alias(self, uid: str, alias: str, *, expected: str) -> None:
        """Removes an alias. Cost: one transaction of two rows."""
        self._aliases.drop(uid, alias, expected=expected)

    def log_head(self, uid: str) -> LogHead:
        """Returns the end of the log. Cost: one consistent read."""
        return self._log.head(uid)

    def append(self, uid: str, row: SegmentRow, *, head: LogHead) -> SegmentRow:
        """Adds a segment behind `head`. Cost: one transaction of three rows."""
        return self._log.append(uid, row, head=head)

    def compact(self, uid: str, rows: Sequence[SegmentRow], merged: SegmentRow) -> SegmentRow:
        """Replaces segments of the log by one. Cost: one transaction of as many rows."""
        return self._log.compact(uid, rows, merged)

    def segments(self, uid: str, *, after: LogPosition = 0) -> list[SegmentRow]:
        """Returns the segments of the log behind a position, by sequence; those of older releases first."""
        return self._log.segments(uid, after=after)

    def snapshot(self, uid: str) -> Snapshot:
        """Returns the pointer and what is pending. Cost: one consistent query, now and then two."""
        return self._log.snapshot(uid)

    def condemn_version(self, uid: str, version: str, at: str) -> None:
        """Notes since when a version is to be forgotten. Cost: one transaction of two rows."""
        self._forgetting.condemn(uid, version, at)

    def forget_version(self, uid: str, version: str) -> None:
        """Takes a version out of the history, then its shard map. Cost: a transaction, and the map's rows."""
        self._forgetting.forget(uid, version)

    def forget_collection(self, uid: str) -> None:
        """Removes every row of a uid. Cost: a read and a write of each."""
        for version in self.versions(uid):
            self._forgetting.forget_shards(uid, version.version)
        found = chain(self._tables.query(self._table, known_partition(uid)), self._tables.query(self._table, uid))
        rows = [{"pk": item["pk"], "sk": item["sk"]} for item in found]
        self._tables.delete_all(self._table, [*rows, key_of(DROPPED, uid)])

    def put_receipt(self, uid: str, receipt: Receipt) -> None:
        """Records what became of one dropped file.

        Two writes, not a transaction: a file is taken in again until its receipt stands, so a half-done pair heals.
        """
        hashed = _hashed(receipt.source)
        counted = key_of(uid, f"rejected#{hashed}")
        if receipt.rejected:
            self._tables.put(self._table, {**counted, "rejected": {"N": str(receipt.rejected)}})
        else:
            self._tables.delete(self._table, counted)
        self._tables.put(self._table, {**key_of(uid, f"receipt#{hashed}"), **to_item(receipt)})

    def receipts(self, uid: str, sources: Sequence[str]) -> dict[str, Receipt]:
        """Returns the receipts there are for the given source keys. Cost: one BatchGetItem a hundred."""
        keys = [key_of(uid, f"receipt#{_hashed(source)}") for source in dict.fromkeys(sources)]
        rows = (from_item(Receipt, item) for item in self._tables.read_all(self._table, keys))
        found = {row.source: row for row in rows}
        return {source: found[source] for source in sources if source in found}

    def rejected_total(self, uid: str) -> int:
        """Returns how many items of all files have been rejected. Cost: grows with the files that had any."""
        return sum(int(item["rejected"]["N"]) for item in self._tables.query(self._table, uid, "rejected#"))

    def ledger(self, uid: str, source: str) -> Ledger | None:
        """Returns how far a file is. Cost: one consistent read."""
        return self._get(Ledger, uid, f"ledger#{_hashed(source)}")

    def put_ledger(self, uid: str, ledger: Ledger) -> None:
        """Writes a ledger. Cost: one conditional write, of some 20 bytes a part."""
        item = {**key_of(uid, f"ledger#{_hashed(ledger.source)}"), **to_item(ledger)}
        self._tables.put_next(self._table, item, ledger.revision)

    def put_build(self, uid: str, row: BuildRow) -> None:
        """Writes the state of a build."""
        self._tables.put(self._table, {**key_of(uid, f"build#{row.build_id}"), **to_item(row)})

    def report_build(self, uid: str, row: BuildRow) -> bool:
        """Writes how far a build is, by one conditional write; returns whether it did."""
        item = {**key_of(uid, f"build#{row.build_id}"), **to_item(row)}
        names = {"#state": "state", "#progress": "progress"}
        values = {":done": {"S": BuildState.DONE}, ":failed": {"S": BuildState.FAILED}, ":progress": item["progress"]}
        return self._tables.put_if(self._table, item, BUILD_GOES_ON, names=names, values=values)

    def get_build(self, uid: str, build_id: str) -> BuildRow:
        """Returns a build."""
        row = self._get(BuildRow, uid, f"build#{build_id}")
        if row is None:
            raise NotFound("there is no such build", kind=ErrorKind.BUILD_NOT_FOUND, build_id=build_id)
        return row

    def _get(self, cls: type[RowT], pk: str, sk: str) -> RowT | None:
        item = self._tables.get(self._table, key_of(pk, sk))
        return from_item(cls, item) if item else None

    def _has_landed(self, uid: str, pointer: Pointer) -> bool:
        """Returns whether this very commit was made; raises Conflict where another build took its version."""
        standing = self._get(Pointer, uid, f"version#{pointer.version}")
        if standing is not None and standing.build_id != pointer.build_id:
            raise _moved(standing.version, pointer)
        return standing is not None

    def _move_pointer(self, uid: str, expected: str | None, pointer: Pointer) -> None:
        items = self._commit_items(uid, expected, pointer)
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict(uid, expected, pointer, exc),
            sleep=self._sleep,
        )

    def _commit_items(self, uid: str, expected: str | None, pointer: Pointer) -> list[Any]:
        version = {**key_of(uid, f"version#{pointer.version}"), **to_item(pointer)}
        added = {"TableName": self._table, "Item": version, "ConditionExpression": ROW_IS_NEW}
        moved = self._pointer_put(uid, expected, pointer)
        if expected is not None:
            moved["ConditionExpression"] = f"{POINTER_IS_EXPECTED} AND {POINTER_SKIPS}"
            moved["ExpressionAttributeNames"]["#skipped"] = "skipped"
            moved["ExpressionAttributeValues"][":skipped"] = moved["Item"]["skipped"]
        return [{"Put": added}, {"Put": moved}]

    def _pointer_put(self, uid: str, expected: str | None, pointer: Pointer) -> dict[str, Any]:
        moved: dict[str, Any] = {"TableName": self._table, "Item": {**key_of(uid, POINTER), **to_item(pointer)}}
        if expected is None:
            return moved | {"ConditionExpression": ROW_IS_NEW}
        return moved | {
            "ConditionExpression": POINTER_IS_EXPECTED,
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":expected": {"S": expected}},
        }

    def _verdict(self, uid: str, expected: str | None, pointer: Pointer, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failed commit means: None when it landed all the same, Overloaded when to try again."""
        response: Mapping[str, Any] = getattr(exc, "response", None) or {}
        cancelled = response.get("Error", {}).get("Code") == "TransactionCanceledException"
        try:
            if self._has_landed(uid, pointer):  # an earlier attempt of the SDK did it, and its reply was lost
                return None
        except Conflict as conflict:
            return conflict
        except ShardlakeError:
            return _unknown(pointer)
        reasons = {reason.get("Code") for reason in response.get("CancellationReasons", ())}
        if cancelled and "ConditionalCheckFailed" in reasons:
            return _moved(expected, pointer)
        # Cancelled for another reason: it met another transaction, or a throttle, and certainly did not land.
        return ERRORS.translate(exc) if cancelled else _unknown(pointer)

    def _verdict_of_rollback(self, uid: str, expected: str, target: Pointer, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failed rollback means: None when it landed all the same, Overloaded when to try again."""
        try:
            current = self.pointer(uid)
        except ShardlakeError:
            return _unknown(target)
        if current is not None and current.version == target.version:
            return None
        if current is None or current.version != expected:
            return _moved(expected, target)
        # Still where it was: the write was refused, throttled, or lost on its way and may yet arrive.
        translated = ERRORS.translate(exc)
        return translated if isinstance(translated, Overloaded | Forbidden) else _unknown(target)


def connect(*, endpoint_url: str | None = None) -> DynamoDBClient:
    """Returns a client with our retries and timeouts, at the environment's endpoint unless another is given."""
    config = Config(
        max_pool_connections=16,
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=2,
        read_timeout=5,
        tcp_keepalive=True,
    )
    client: DynamoDBClient = boto3.client("dynamodb", config=config, endpoint_url=endpoint_url)
    return client


def _hashed(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _no_collection(name: str) -> NotFound:
    return NotFound("there is no such collection", kind=ErrorKind.COLLECTION_NOT_FOUND, collection=name)


def _moved(expected: str | None, pointer: Pointer) -> Conflict:
    return Conflict(
        "another writer moved the pointer",
        kind=ErrorKind.COMMIT_CONFLICT,
        expected=expected,
        version=pointer.version,
    )


def _unknown(pointer: Pointer) -> CommitUnknown:
    return CommitUnknown("the reply to the commit was lost; read the pointer back", version=pointer.version)
