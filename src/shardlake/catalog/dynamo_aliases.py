"""Aliases on DynamoDB: a row each, and in the row of the version that it names the set of all that do.

Both change in one transaction. So a version that an alias names cannot be forgotten at the same moment: forgetting it
asks for a row without that set, and DynamoDB removes a set with its last element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from shardlake.catalog.base import Alias
from shardlake.catalog.dynamo_errors import ERRORS, Foreign, is_refused, settle
from shardlake.catalog.log import alias_has_moved, no_version
from shardlake.catalog.rows import from_item, to_item
from shardlake.catalog.tables import ROW_IS_NEW, Tables, key_of
from shardlake.errors import ShardlakeError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PREFIX: Final = "alias#"
HELD_BY: Final = "held_by"  # of a version's row: the aliases that name it
IS_NOT_HELD: Final = "attribute_not_exists(held_by)"
NAMES_EXPECTED: Final = "#version = :expected"


class Aliases:
    """Aliases of collections, each by the uid."""

    def __init__(self, client: DynamoDBClient, tables: Tables, table: str, *, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._tables = tables
        self._table = table
        self._sleep = sleep

    def all(self, uid: str) -> list[Alias]:
        """Returns every alias, by name. Cost: one consistent query."""
        return [from_item(Alias, item) for item in self._tables.query(self._table, uid, PREFIX)]

    def set(self, uid: str, alias: Alias, *, expected: str | None) -> None:
        """Gives an alias to a version. Cost: one transaction of two or three rows."""
        put = {"TableName": self._table, "Item": {**_key(uid, alias.alias), **to_item(alias)}, **_still(expected)}
        items: list[Any] = [{"Put": put}, {"Update": self._held(uid, alias.version, "ADD", alias.alias)}]
        if expected not in {None, alias.version}:
            items.append({"Update": self._held(uid, str(expected), "DELETE", alias.alias)})
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict_of_setting(uid, alias, exc),
            sleep=self._sleep,
        )

    def drop(self, uid: str, alias: str, *, expected: str) -> None:
        """Removes an alias. Cost: one transaction of two rows."""
        gone = {"TableName": self._table, "Key": _key(uid, alias), **_still(expected)}
        items: list[Any] = [{"Delete": gone}, {"Update": self._held(uid, expected, "DELETE", alias)}]
        settle(
            lambda: self._client.transact_write_items(TransactItems=items),
            lambda exc: self._verdict_of_dropping(uid, alias, exc),
            sleep=self._sleep,
        )

    def _held(self, uid: str, version: str, action: str, alias: str) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": key_of(uid, f"version#{version}"),
            # What an alias names is not to be forgotten, and from when it no longer does, it is condemned anew.
            "UpdateExpression": f"{action} {HELD_BY} :alias{' REMOVE condemned_at' if action == 'ADD' else ''}",
            "ConditionExpression": "attribute_exists(pk)",  # or the update would make a row
            "ExpressionAttributeValues": {":alias": {"SS": [alias]}},
        }

    def _verdict_of_setting(self, uid: str, alias: Alias, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failure means: None when the alias is set all the same, Overloaded when to try again."""
        if self._standing(uid, alias.alias) == alias:
            return None
        if not is_refused(exc):
            return ERRORS.translate(exc)
        stands = self._tables.get(self._table, key_of(uid, f"version#{alias.version}")) is not None
        return alias_has_moved(alias.alias) if stands else no_version(alias.version)

    def _verdict_of_dropping(self, uid: str, alias: str, exc: Foreign) -> ShardlakeError | None:
        """Returns what a failure means: None when the alias is gone all the same, Overloaded when to try again."""
        if self._standing(uid, alias) is None:
            return None
        return alias_has_moved(alias) if is_refused(exc) else ERRORS.translate(exc)

    def _standing(self, uid: str, alias: str) -> Alias | None:
        item = self._tables.get(self._table, _key(uid, alias))
        return from_item(Alias, item) if item else None


def _key(uid: str, alias: str) -> dict[str, Any]:
    return key_of(uid, f"{PREFIX}{alias}")


def _still(expected: str | None) -> dict[str, Any]:
    if expected is None:
        return {"ConditionExpression": ROW_IS_NEW}
    return {
        "ConditionExpression": NAMES_EXPECTED,
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":expected": {"S": expected}},
    }
