"""Versions leaving the history on DynamoDB: condemned first, forgotten after a while, if nothing has spared them.

What spares a version, an alias that is set to it or a rollback, strikes out that it is condemned; from when it lets go
of it, the while begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from shardlake.catalog.base import Pointer
from shardlake.catalog.dynamo_aliases import IS_NOT_HELD
from shardlake.catalog.dynamo_errors import ERRORS, Foreign, is_refused, settle
from shardlake.catalog.dynamo_log import POINTER
from shardlake.catalog.log import is_current, is_gone, is_held, no_version
from shardlake.catalog.rows import from_item
from shardlake.catalog.tables import Tables, key_of
from shardlake.errors import ShardlakeError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EXISTS: Final = "attribute_exists(pk)"


class Forgetting:
    """Takes versions of collections, each by the uid, out of the history."""

    def __init__(  # one caller: the catalog
        self, client: DynamoDBClient, tables: Tables, table: str, shards: str, *, sleep: Callable[[float], None]
    ) -> None:
        self._client = client
        self._tables = tables
        self._table = table
        self._shards = shards
        self._sleep = sleep

    def condemn(self, uid: str, version: str, at: str) -> None:
        """Notes since when a version is to be forgotten. Cost: one transaction of two rows."""
        noted: dict[str, Any] = {
            **self._row(uid, version),
            "UpdateExpression": "SET condemned_at = if_not_exists(condemned_at, :at)",
            "ConditionExpression": f"{EXISTS} AND {IS_NOT_HELD}",
            "ExpressionAttributeValues": {":at": {"S": at}},
        }
        items: list[Any] = [{"Update": noted}, {"ConditionCheck": self._is_another(uid, version)}]
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict_of_condemning(uid, version, exc),
            sleep=self._sleep,
        )

    def spare(self, uid: str, version: str) -> None:
        """Strikes out that a version is to be forgotten, before it becomes current. Cost: one write."""
        struck: Any = {
            **self._row(uid, version),
            "UpdateExpression": "REMOVE condemned_at",
            "ConditionExpression": EXISTS,
        }
        settle(
            lambda: self._client.transact_write_items(TransactItems=[{"Update": struck}]),
            lambda exc: no_version(version) if is_refused(exc) else ERRORS.translate(exc),
            sleep=self._sleep,
        )

    def forget(self, uid: str, version: str) -> None:
        """Takes a version out of the history, then its shard map. Cost: a transaction, and the map's rows."""
        gone = {**self._row(uid, version), "ConditionExpression": IS_NOT_HELD}
        items: list[Any] = [{"Delete": gone}, {"ConditionCheck": self._is_another(uid, version)}]
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict_of_forgetting(uid, version, exc),
            sleep=self._sleep,
        )
        self.forget_shards(uid, version)

    def forget_shards(self, uid: str, version: str) -> None:
        """Removes the shard map of a version."""
        found = self._tables.query(self._shards, f"{uid}#{version}")
        self._tables.delete_all(self._shards, [{"pk": item["pk"], "sk": item["sk"]} for item in found])

    def _row(self, uid: str, version: str) -> dict[str, Any]:
        return {"TableName": self._table, "Key": key_of(uid, f"version#{version}")}

    def _is_another(self, uid: str, version: str) -> dict[str, Any]:
        """Returns the condition that a version is not the current one."""
        return {
            "TableName": self._table,
            "Key": key_of(uid, POINTER),
            "ConditionExpression": "attribute_not_exists(pk) OR #version <> :version",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":version": {"S": version}},
        }

    def _verdict_of_condemning(self, uid: str, version: str, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failure means: None when the version is condemned all the same."""
        standing = self._pointer(uid, f"version#{version}")
        if standing is None:
            return is_gone(version)
        return None if standing.condemned_at is not None else self._why_not(uid, version, exc)

    def _verdict_of_forgetting(self, uid: str, version: str, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failed removal means: None when the version is gone, Overloaded when to try again."""
        if self._pointer(uid, f"version#{version}") is None:
            return None
        return self._why_not(uid, version, exc)

    def _why_not(self, uid: str, version: str, exc: Foreign) -> ShardlakeError:
        pointer = self._pointer(uid, POINTER)
        if pointer and pointer.version == version:
            return is_current(version)
        return is_held(version) if is_refused(exc) else ERRORS.translate(exc)

    def _pointer(self, uid: str, sk: str) -> Pointer | None:
        item = self._tables.get(self._table, key_of(uid, sk))
        return from_item(Pointer, item) if item else None
