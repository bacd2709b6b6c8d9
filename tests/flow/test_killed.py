"""What is killed between any two of its effects and done again: no item lost, none doubled, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from builder.collect import Collector, Patience
from builder.compact import compact
from builder.tiers import run_to_merge
from functions.ingest import service as ingest_service
from shardlake import limits
from shardlake.deadline import Deadline
from shardlake.format import locations
from tests.fuses import Fuse, FusedCatalog, FusedStore, Killed
from tests.lake import UID, Lake, item, schema
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
INBOX = f"inbox/{NAME}/"
FAR = datetime.now(UTC) + timedelta(days=1000)
NO_PATIENCE = Patience(versions=1, grace=timedelta(0), segments=timedelta(0))
Build = Callable[[], SmallWorld]


def films() -> SmallWorld:
    """A collection with a few items, taken in."""
    world = SmallWorld()
    world.create(NAME, VECTORS)
    world.deliver(world.drop(f"{INBOX}first.jsonl", _lines(range(6), price=1)))
    return world


def _lines(numbers: range, price: float) -> bytes:
    items = [{"id": f"i{n:02d}", "attributes": {"price": price}, "vectors": {"v": [n + 1, 1, 0, 0]}} for n in numbers]
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in items)


def _items() -> tuple[str, bytes]:
    return f"{INBOX}second.jsonl", _lines(range(3, 20), price=2)


def _deletes() -> tuple[str, bytes]:
    return f"{INBOX}deletes/gone.jsonl", b"".join(b'{"id":"i%02d"}\n' % n for n in range(0, 6, 2))


def _patches() -> tuple[str, bytes]:
    lines = [orjson.dumps({"id": f"i{n:02d}", "attributes": {"price": 9}}) for n in (1, 3, 99)]
    return f"{INBOX}.api/000000000001-x.patches.jsonl", b"\n".join(lines)


SCENES: dict[str, tuple[tuple[str, bytes], dict[str, float]]] = {
    "items": (_items(), {f"i{n:02d}": 1 if n < 3 else 2 for n in range(20)}),
    "deletions": (_deletes(), {"i01": 1, "i03": 1, "i05": 1}),
    "patches": (_patches(), {f"i{n:02d}": 9 if n in (1, 3) else 1 for n in range(6)}),
}  # fmt: skip


def _killed_ingest(world: SmallWorld, event: dict[str, Any], before: Fuse, after: Fuse) -> bool:
    """Takes an event in with a process that may be killed; returns whether it was."""
    catalog = FusedCatalog(world.catalog, before, after)
    fused = replace(world.ingest, store=FusedStore(world.objects, before, after), catalog=catalog, _logs=[])
    try:
        ingest_service.take_batch(
            event,
            lambda: fused,
            observer=world.observer,
            request_id="r",
            deadline=Deadline.after(60_000, clock=world.clock),
        )
    except Killed:
        return True
    return False


def _state(world: SmallWorld) -> dict[str, float]:
    answer = world.call("POST", f"/v1/collections/{NAME}/search", {"k": 100})
    assert answer.status == 200, answer.text
    ids = [hit["id"] for hit in answer.json["hits"]]
    assert len(ids) == len(set(ids)), "an item is doubled"
    return {hit["id"]: hit["attributes"]["price"] for hit in answer.json["hits"]}


def _orphans(world: SmallWorld) -> set[str]:
    """Returns what nothing names after a collection of garbage, but for the records of what it removed."""
    uid = world.catalog.get_collection(NAME).uid
    Collector(world.objects, world.catalog, FAR, NO_PATIENCE).collect(uid, NAME)
    named = {row.key.removesuffix(".seg") for row in world.catalog.segments(uid)}
    keys = {key for key in world.keys(locations.collection_root(uid)) if key.rpartition(".")[0] not in named}
    return {key for key in keys if not _is_of_the_collector(uid, key)}


def _is_of_the_collector(uid: str, key: str) -> bool:
    """Returns whether an object is a record of what was removed, or the memory of what waits for it."""
    return key.startswith(locations.erasures_root(uid)) or key == locations.waiting(uid)


@pytest.mark.parametrize("scene", SCENES)
def test_ingest_killed_anywhere_and_delivered_again(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SEGMENT_ROWS", 5)
    (key, body), expected = SCENES[scene]

    def run(before: Fuse, after: Fuse) -> tuple[SmallWorld, bool]:
        world = films()
        event = world.drop(key, body)
        was_killed = _killed_ingest(world, event, before, after)
        assert world.deliver(event) == []
        return world, was_killed

    counter = Fuse(None, Killed)
    whole, _ = run(counter, Fuse(None, Killed))
    assert _state(whole) == expected
    assert counter.calls >= 10
    log = len(whole.catalog.segments(whole.catalog.get_collection(NAME).uid))
    for fuses in _fuses(counter.calls):
        world, was_killed = run(*fuses)
        assert was_killed
        assert _state(world) == expected
        uid = world.catalog.get_collection(NAME).uid
        assert [row.sequence for row in world.catalog.segments(uid)] == list(range(1, log + 1))
        assert _orphans(world) == set()
        assert _state(world) == expected
        receipts = world.catalog.receipts(uid, [key])
        assert receipts[key].state == "done"


def _fuses(calls: int) -> Iterator[tuple[Fuse, Fuse]]:
    for at in range(calls):
        yield Fuse(at, Killed), Fuse(None, Killed)
        yield Fuse(None, Killed), Fuse(at, Killed)


def test_compaction_killed_anywhere_and_run_again(tmp_path: Path) -> None:
    def made() -> Lake:
        lake = Lake(schema(), tmp_path)
        for number in range(9):
            lake.add([item(f"i{number % 5}", {"v": [1, number, 0, 0]}, number=number)])
        lake.delete("i3")
        return lake

    expected = ["i0", "i1", "i2", "i4"]
    counter = Fuse(None, Killed)
    whole = made()
    _compact(whole, counter, Fuse(None, Killed))
    merged = [(row.begins, row.sequence) for row in whole.catalog.segments(UID)]
    assert merged == [(1, 10)]
    assert counter.calls >= 25
    for before, after in _fuses(counter.calls):
        lake = made()
        with pytest.raises(Killed):
            _compact(lake, before, after)
        assert lake.ids(k=100) == expected

        compact(lake.store, lake.catalog, UID, lake.schema, now=FAR)

        assert [(row.begins, row.sequence) for row in lake.catalog.segments(UID)] == merged
        Collector(lake.store, lake.catalog, FAR, NO_PATIENCE).collect(UID, NAME)
        named = {row.key.removesuffix(".seg") for row in lake.catalog.segments(UID)}
        left = {key for key in lake.store.objects if not _is_of_the_collector(UID, key)}
        assert {key.rpartition(".")[0] for key in left} == named
        assert lake.ids(k=100) == expected
        hit = lake.search(query={"vector": {"v": [0, 1, 0, 0]}}, k=1, recall=1)["hits"][0]
        assert (hit["id"], hit["score"]) == ("i2", pytest.approx(7 / np.sqrt(50)))


def _compact(lake: Lake, before: Fuse, after: Fuse) -> None:
    catalog = FusedCatalog(lake.catalog, before, after)
    store = FusedStore(lake.store, before, after)
    compact(store, catalog, UID, lake.schema, run_to_merge, now=FAR)  # type: ignore[arg-type]  # a catalog by shape
