"""Rows of DynamoDB tables by key, in pages and batches. Imports no SDK: the client and its error guard are given."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from shardlake.errors import Conflict, Overloaded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]
Guard = Callable[[], AbstractContextManager[None]]
"""A context in which foreign exceptions become ours."""

ROW_IS_NEW: Final = "attribute_not_exists(pk)"

BATCH_WRITE_ITEMS = 25  # of one BatchWriteItem (AWS quotas, 2026-11)
BATCH_GET_ITEMS = 100  # of one BatchGetItem
ATTEMPTS = 8  # of a batch with items left over, or of a transaction that met another one
BACKOFF_S = 0.02  # doubled each time, with full jitter: 2.5 s in all on the average


class Tables:
    """What the catalog asks of its tables. Every read is consistent."""

    def __init__(self, client: DynamoDBClient, *, guard: Guard, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._guard = guard
        self._sleep = sleep

    def get(self, table: str, key: Item) -> Item | None:
        """Returns one row."""
        with self._guard():
            answer = self._client.get_item(TableName=table, Key=key, ConsistentRead=True)
        return answer.get("Item") or None

    def put(self, table: str, item: Item) -> None:
        """Writes one row, replacing what was there."""
        with self._guard():
            self._client.put_item(TableName=table, Item=item)

    def put_new(self, table: str, item: Item) -> bool:
        """Writes one row where none is; returns whether it did."""
        try:
            with self._guard():
                self._client.put_item(TableName=table, Item=item, ConditionExpression=ROW_IS_NEW)
        except Conflict:
            return False
        return True

    def put_next(self, table: str, item: Item, revision: int) -> None:
        """Writes one row where the one that stands has the revision before; raises Conflict."""
        condition: dict[str, Any] = {"ConditionExpression": ROW_IS_NEW}
        if revision > 1:
            condition = {
                "ConditionExpression": "#revision = :before",
                "ExpressionAttributeNames": {"#revision": "revision"},
                "ExpressionAttributeValues": {":before": {"N": str(revision - 1)}},
            }
        with self._guard():
            self._client.put_item(TableName=table, Item=item, **condition)

    def put_if(
        self, table: str, item: Item, condition: str, *, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> bool:
        """Writes one row where the condition holds of what was there; returns whether it did."""
        try:
            with self._guard():
                self._client.put_item(
                    TableName=table,
                    Item=item,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                )
        except Conflict:
            return False
        return True

    def delete(self, table: str, key: Item) -> Item | None:
        """Removes one row and returns it."""
        with self._guard():
            answer = self._client.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")
        return answer.get("Attributes") or None

    def query(self, table: str, pk: str, prefix: str = "") -> Iterator[Item]:
        """Yields the rows of one partition in key order, all pages of them."""
        condition = "pk = :pk" + (" AND begins_with(sk, :prefix)" if prefix else "")
        values: dict[str, Any] = {":pk": {"S": pk}} | ({":prefix": {"S": prefix}} if prefix else {})
        pages = self._client.get_paginator("query").paginate(
            TableName=table, KeyConditionExpression=condition, ExpressionAttributeValues=values, ConsistentRead=True
        )
        with self._guard():
            for page in pages:
                yield from page["Items"]

    def between(self, table: str, pk: str, first: str, last: str) -> Iterator[Item]:
        """Yields the rows of one partition whose sort keys lie between two, both included, in key order."""
        pages = self._client.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={":pk": {"S": pk}, ":first": {"S": first}, ":last": {"S": last}},
            ConsistentRead=True,
        )
        with self._guard():
            for page in pages:
                yield from page["Items"]

    def write_all(self, table: str, items: Sequence[Item]) -> None:
        """Writes rows in batches; what a batch leaves over is written again, after a wait."""
        for start in range(0, len(items), BATCH_WRITE_ITEMS):
            batch = items[start : start + BATCH_WRITE_ITEMS]
            self._write_batch(table, [{"PutRequest": {"Item": item}} for item in batch])

    def delete_all(self, table: str, keys: Sequence[Item]) -> None:
        """Removes rows in batches, likewise."""
        for start in range(0, len(keys), BATCH_WRITE_ITEMS):
            batch = keys[start : start + BATCH_WRITE_ITEMS]
            self._write_batch(table, [{"DeleteRequest": {"Key": key}} for key in batch])

    def read_all(self, table: str, keys: Sequence[Item]) -> Iterator[Item]:
        """Yields the rows there are for the keys, in any order. Requires: no key twice."""
        for start in range(0, len(keys), BATCH_GET_ITEMS):
            yield from self._read_batch(table, keys[start : start + BATCH_GET_ITEMS])

    def _write_batch(self, table: str, requests: list[Any]) -> None:
        for wait_s in backoff():
            with self._guard():
                answer = self._client.batch_write_item(RequestItems={table: requests})
            requests = list(answer.get("UnprocessedItems", {}).get(table, []))
            if not requests:
                return
            self._sleep(wait_s)
        raise Overloaded("the catalog leaves rows over, again and again", left=len(requests))

    def _read_batch(self, table: str, keys: Sequence[Item]) -> Iterator[Item]:
        wanted: dict[str, Any] = {table: {"Keys": list(keys), "ConsistentRead": True}}
        for wait_s in backoff():
            with self._guard():
                answer = self._client.batch_get_item(RequestItems=wanted)
            yield from answer["Responses"].get(table, [])
            wanted = dict(answer.get("UnprocessedKeys", {}))
            if not wanted:
                return
            self._sleep(wait_s)
        raise Overloaded("the catalog leaves keys over, again and again")


def key_of(pk: str, sk: str) -> dict[str, Any]:
    """Returns the key of a row of the catalog table."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def backoff() -> Iterator[float]:
    """Yields the seconds to wait after each attempt."""
    return (random.uniform(0, BACKOFF_S * 2**attempt) for attempt in range(ATTEMPTS))  # noqa: S311 - jitter only
