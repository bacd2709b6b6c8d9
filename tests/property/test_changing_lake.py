"""Data that changes as time goes on: whatever is put, deleted, merged, built and gone back to, searches see what is so.

The model is a dictionary; the collection is the real one, from segments to answers, on memory adapters.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from builder.compact import compact
from builder.purge import purge
from shardlake.catalog.base import BuildState, SegmentRow
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema
from tests.lake import EPOCH, UID, Lake, item, space

IDS = [f"item-{number}" for number in range(8)]
COLOURS = ["red", "green", "blue"]
WORDS = ["boat", "hill", "lamp"]
SCHEMA = CollectionSchema(
    spaces=(space(3), space(2, "w")),
    attributes=(
        AttributeSpec(name="colour", type=AttributeType.KEYWORD),
        AttributeSpec(name="number", type=AttributeType.INT),
        AttributeSpec(name="title", type=AttributeType.TEXT),
        AttributeSpec(name="ends", type=AttributeType.DATETIME),
    ),
    target_rows=5,
    ttl="ends",
)
bodies = st.fixed_dictionaries(
    {
        "vector": st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any),
        "other": st.none() | st.lists(st.integers(-3, 3), min_size=2, max_size=2).filter(any),
        "colour": st.sampled_from(COLOURS),
        "number": st.integers(0, 9),
        "title": st.sampled_from(WORDS) | st.just("boat lamp"),
        "ends": st.none() | st.sampled_from([-300, -1, 0, 1, 60, 61, 200]),  # seconds from when it is put
    }
)
Model = dict[str, dict[str, Any]]


class ChangingLake(RuleBasedStateMachine):
    """One collection and what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.time = datetime.fromisoformat(EPOCH)
        self.lake = Lake(SCHEMA, Path(self.folder.name), now=lambda: self.time)
        self.written: Model = {}  # expired items, too
        self.versions: dict[str, Model] = {}
        self.builds = 0

    @property
    def model(self) -> Model:
        """What is there now."""
        return {name: body for name, body in self.written.items() if body["ends"] is None or body["ends"] > self.time}

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(
        items=st.lists(st.tuples(st.sampled_from(IDS), bodies), min_size=1, max_size=4),
        gone=st.sets(st.sampled_from(IDS), max_size=2),
    )
    def write(self, items: list[tuple[str, dict[str, Any]]], gone: set[str]) -> None:
        """One segment puts items, of which the last of an id counts, and deletes others."""
        items = [(name, body | {"ends": self._moment(body["ends"])}) for name, body in items]
        rows = [
            item(
                name,
                {"v": _unit(body["vector"])} | ({"w": _unit(body["other"])} if body["other"] else {}),
                colour=body["colour"],
                number=body["number"],
                title=body["title"],
                **({"ends": body["ends"].isoformat()} if body["ends"] else {}),
            )
            for name, body in items
        ]
        self.lake.add([*rows, *map(_tombstone, sorted(gone))])
        self.written |= dict(items)
        for name in gone:
            self.written.pop(name, None)

    def _moment(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self.time + timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([1, 20, 59, 60, 61, 200]))
    def wait(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        pending = self.lake.catalog.snapshot(UID).pending
        runs = [
            pending[a:b]
            for a in range(len(pending))
            for b in range(a + 2, len(pending) + 1)
            if all(x.sequence + 1 == y.begins for x, y in zip(pending[a:b], pending[a + 1 : b], strict=False))
        ]
        if not runs:
            return
        chosen: list[Any] = [data.draw(st.sampled_from(runs))]

        def choose(_: Any) -> tuple[SegmentRow, ...]:
            return chosen.pop() if chosen else ()

        assert compact(self.lake.store, self.lake.catalog, UID, SCHEMA, choose, now=self.time) >= 1

    @precondition(lambda self: self.lake.catalog.log_head(UID).sequence)
    @rule()
    def build(self) -> None:
        self.builds += 1
        row = self.lake.build(f"build-{self.builds}")
        assert row.state is BuildState.DONE
        assert row.version is not None
        self.versions[row.version] = dict(self.written)
        assert self.lake.catalog.snapshot(UID).pending == ()

    @precondition(lambda self: len(self.versions) > 1)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        pointer = self.lake.catalog.pointer(UID)
        assert pointer is not None
        version = data.draw(st.sampled_from(sorted(set(self.versions) - {pointer.version})))
        self.lake.catalog.forget_version(UID, version)
        del self.versions[version]

    @precondition(lambda self: self.versions)
    @rule(is_late=st.booleans())
    def purge(self, is_late: bool) -> None:
        if is_late:
            self.time += timedelta(days=100)
        purge(self.lake.store, self.lake.catalog, UID, SCHEMA, now=self.time, min_share=0)

    @precondition(lambda self: len(self.versions) > 1)
    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        pointer = self.lake.catalog.pointer(UID)
        assert pointer is not None
        version = data.draw(st.sampled_from(sorted(set(self.versions) - {pointer.version})))
        self.lake.catalog.roll_back(UID, expected=pointer.version, version=version)
        self.written = dict(self.versions[version])

    @invariant()
    def all_items_are_there_in_order(self) -> None:
        assert self.lake.ids(k=100) == sorted(self.model)

    @invariant()
    def filters_and_facets_count_what_is_there(self) -> None:
        answer = self.lake.search(k=100, filter={"number": {"$gte": 4}}, facets=["colour"])
        passing = sorted(name for name, body in self.model.items() if body["number"] >= 4)
        assert [hit["id"] for hit in answer["hits"]] == passing
        counts = {c: sum(self.model[name]["colour"] == c for name in passing) for c in COLOURS}
        assert answer["stats"]["rows_passing"] == len(passing)
        assert {c: n for c, n in answer["facets"].get("colour", {}).items() if n} == {
            c: n for c, n in counts.items() if n
        }

    @invariant()
    def what_has_no_end_passes_as_it_would_if_others_had_none_either(self) -> None:
        for node, has_end in (({"ends": {"$exists": True}}, True), ({"$not": {"ends": {"$gt": EPOCH}}}, False)):
            expected = sorted(name for name, body in self.model.items() if (body["ends"] is not None) == has_end)
            assert self.lake.ids(k=100, filter=node) == expected

    @invariant()
    def an_exact_search_finds_the_nearest(self) -> None:
        for space_name, field, query in (("v", "vector", [1, 2, 3]), ("w", "other", [1, -1])):
            found = {
                hit["id"]: hit["score"]
                for hit in self.lake.search(query={"vector": {space_name: query}}, k=5, recall=1)["hits"]
            }
            scores = {
                name: float(np.dot(_unit(query), _unit(body[field])))
                for name, body in self.model.items()
                if body[field]
            }
            best = sorted(scores.values(), reverse=True)[:5]
            assert np.allclose(sorted(found.values(), reverse=True), best, atol=1e-5)
            assert all(abs(found[name] - scores[name]) < 1e-5 for name in found)

    @invariant()
    def words_are_found_where_they_stand(self) -> None:
        for word in WORDS:
            found = set(self.lake.ids(match={"title": word}, k=100))
            assert found == {name for name, body in self.model.items() if word in body["title"].split()}

    @invariant()
    def groups_have_what_is_there(self) -> None:
        hits = self.lake.search(
            query={"vector": {"v": [1, 0, 0]}}, recall=1, k=3, group_by={"attribute": "colour", "size": 20}
        )["hits"]
        grouped: dict[str, set[str]] = {}
        for hit in hits:
            grouped.setdefault(hit["group"], set()).add(hit["id"])
        expected: dict[str, set[str]] = {}
        for name, body in self.model.items():
            expected.setdefault(body["colour"], set()).add(name)
        assert grouped == expected

    @invariant()
    def each_item_is_as_it_was_put(self) -> None:
        for name in IDS[:4]:
            answer = self.lake.get(f"items/{name}")
            body = self.model.get(name)
            assert answer.status == (200 if body else 404)
            if body:
                ends = {"ends": body["ends"].isoformat()} if body["ends"] else {}
                assert answer.json["attributes"] == {k: body[k] for k in ("colour", "number", "title")} | ends
                assert set(answer.json["vectors"]) == ({"v", "w"} if body["other"] else {"v"})


def _unit(vector: list[int]) -> np.ndarray[Any, Any]:
    return np.asarray(vector, np.float32) / np.linalg.norm(vector)


def _tombstone(name: str) -> Any:
    from shardlake.format.segment import SegmentItem

    return SegmentItem(id=name, payload=b"", vectors={})


TestChangingLake = ChangingLake.TestCase
TestChangingLake.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
