"""The DynamoDB adapter on a line that loses replies, leaves rows over, and meets other transactions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shardlake.catalog import dynamodb
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.errors import CommitUnknown, Conflict, Overloaded
from tests.contract.conftest import new_tables
from tests.contract.line import LOST, Call, Line, lose_reply, lose_request
from tests.contract.test_catalog_contract import pointer_to, receipt_of, shard_row
from tests.property.catalog_machine import CatalogMachine

BUSY = ClientError(
    {
        "Error": {"Code": "TransactionCanceledException", "Message": "busy"},
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
    },
    "TransactWriteItems",
)


def meet_another(call: Call, arguments: dict[str, Any]) -> Any:
    raise BUSY


def leave_the_second_half(call: Call, arguments: dict[str, Any]) -> Any:
    ((table, requests),) = arguments["RequestItems"].items()
    half = len(requests) // 2
    call(RequestItems={table: requests[:half]})
    return {"UnprocessedItems": {table: requests[half:]}}


def leave_the_second_key(call: Call, arguments: dict[str, Any]) -> Any:
    ((table, wanted),) = arguments["RequestItems"].items()
    first, second = ({**wanted, "Keys": wanted["Keys"][at : at + 1]} for at in (0, 1))
    return {**call(RequestItems={table: first}), "UnprocessedKeys": {table: second}}


def leave_everything(call: Call, arguments: dict[str, Any]) -> Any:
    return {"UnprocessedItems": arguments["RequestItems"]}


@pytest.fixture
def line(ministack: str) -> Iterator[Line]:
    client = dynamodb.connect(endpoint_url=ministack)
    yield Line(client)
    client.close()


@pytest.fixture
def catalog(line: Line, ministack: str) -> DynamoCatalog:
    return DynamoCatalog(*new_tables(ministack), client=line, sleep=lambda seconds: None)  # type: ignore[arg-type]  # a client by shape


def commit(catalog: DynamoCatalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(0)])


def test_a_commit_whose_reply_is_lost_is_read_back(line: Line, catalog: DynamoCatalog) -> None:
    line.faults = {"transact_write_items": [lose_reply]}

    commit(catalog)

    assert catalog.pointer("u") == pointer_to("000001-a")


def test_a_commit_whose_request_is_lost_is_unknown_and_can_be_repeated(line: Line, catalog: DynamoCatalog) -> None:
    line.faults = {"transact_write_items": [lose_request]}

    with pytest.raises(CommitUnknown) as caught:
        commit(catalog)
    assert caught.value.__cause__ is LOST
    assert catalog.pointer("u") is None
    commit(catalog)
    assert catalog.pointer("u") == pointer_to("000001-a")


def test_a_commit_is_unknown_when_reading_back_fails_too(line: Line, catalog: DynamoCatalog) -> None:
    def lose_then_cut(call: Call, arguments: dict[str, Any]) -> Any:
        line.faults["get_item"] = [lose_request]
        return lose_reply(call, arguments)

    line.faults = {"transact_write_items": [lose_then_cut]}

    with pytest.raises(CommitUnknown):
        commit(catalog)
    commit(catalog)
    assert catalog.versions("u") == [pointer_to("000001-a")]


def test_a_commit_that_meets_another_transaction_is_tried_again(line: Line, catalog: DynamoCatalog) -> None:
    line.faults = {"transact_write_items": [meet_another, meet_another]}

    commit(catalog)

    assert catalog.pointer("u") == pointer_to("000001-a")


def test_a_commit_that_always_meets_another_transaction_is_overloaded(line: Line, catalog: DynamoCatalog) -> None:
    line.faults = {"transact_write_items": [meet_another] * 100}

    with pytest.raises(Overloaded):
        commit(catalog)
    assert catalog.pointer("u") is None


def two_versions(catalog: DynamoCatalog) -> None:
    commit(catalog)
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[])


def test_a_rollback_whose_reply_is_lost_is_read_back(line: Line, catalog: DynamoCatalog) -> None:
    two_versions(catalog)
    line.faults = {"put_item": [lose_reply]}

    assert catalog.roll_back("u", expected="000002-b", version="000001-a") == pointer_to("000001-a")
    assert catalog.pointer("u") == pointer_to("000001-a")


def test_a_rollback_whose_request_is_lost_is_unknown_and_can_be_repeated(line: Line, catalog: DynamoCatalog) -> None:
    two_versions(catalog)
    line.faults = {"put_item": [lose_request]}

    with pytest.raises(CommitUnknown) as caught:
        catalog.roll_back("u", expected="000002-b", version="000001-a")
    assert caught.value.__cause__ is LOST
    assert catalog.pointer("u") == pointer_to("000002-b")
    assert catalog.roll_back("u", expected="000002-b", version="000001-a") == pointer_to("000001-a")


def test_a_rollback_is_unknown_when_reading_back_fails_too(line: Line, catalog: DynamoCatalog) -> None:
    def lose_then_cut(call: Call, arguments: dict[str, Any]) -> Any:
        line.faults["get_item"] = [lose_request]
        return lose_reply(call, arguments)

    two_versions(catalog)
    line.faults = {"put_item": [lose_then_cut]}

    with pytest.raises(CommitUnknown):
        catalog.roll_back("u", expected="000002-b", version="000001-a")
    assert catalog.pointer("u") == pointer_to("000001-a")


def test_a_rollback_that_meets_another_transaction_is_tried_again(line: Line, catalog: DynamoCatalog) -> None:
    def meet_a_commit(call: Call, arguments: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "TransactionConflictException", "Message": "busy"}}, "PutItem")

    two_versions(catalog)
    line.faults = {"put_item": [meet_a_commit, meet_a_commit]}

    assert catalog.roll_back("u", expected="000002-b", version="000001-a") == pointer_to("000001-a")


def test_a_pointer_that_moves_after_the_first_look_is_a_conflict(line: Line, catalog: DynamoCatalog) -> None:
    def move_first(call: Call, arguments: dict[str, Any]) -> Any:
        catalog.commit("u", expected=None, pointer=pointer_to("000001-b"), shards=[])
        return call(**arguments)

    line.faults = {"transact_write_items": [move_first]}

    with pytest.raises(Conflict):
        commit(catalog)
    assert catalog.versions("u") == [pointer_to("000001-b")]


def test_rows_that_a_batch_leaves_over_are_written_again(line: Line, catalog: DynamoCatalog) -> None:
    line.faults = {"batch_write_item": [leave_the_second_half, leave_the_second_half]}
    rows = [shard_row(number) for number in range(60)]

    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=rows)

    assert catalog.shard_rows("u", "000001-a") == rows


def test_rows_that_are_always_left_over_are_overloaded(line: Line, catalog: DynamoCatalog) -> None:
    line.faults = {"batch_write_item": [leave_everything] * 100}

    with pytest.raises(Overloaded):
        commit(catalog)
    assert catalog.pointer("u") is None


def test_keys_that_a_batch_leaves_over_are_asked_again(line: Line, catalog: DynamoCatalog) -> None:
    for source in "ab":
        catalog.put_receipt("u", receipt_of(source))
    line.faults = {"batch_get_item": [leave_the_second_key]}

    assert catalog.receipts("u", ["a", "b"]) == {source: receipt_of(source) for source in "ab"}


def test_the_real_catalog_follows_the_model_too(ministack: str) -> None:
    client = dynamodb.connect(endpoint_url=ministack)

    class OnTheRealOne(CatalogMachine):
        new_catalog = staticmethod(lambda: DynamoCatalog(*new_tables(ministack), client=client))

    few = settings(
        max_examples=8, stateful_step_count=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(OnTheRealOne, settings=few)
    client.close()
