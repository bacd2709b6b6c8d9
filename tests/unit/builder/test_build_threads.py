"""A build with several threads: the bytes of a build with one, and nothing left behind where it breaks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from shardlake.catalog.base import BuildState
from shardlake.errors import Unavailable
from shardlake.testing import MemoryStore, WrappedStore
from shardlake.types import AttributeType
from tests.lake import UID, Lake, item, schema, space, unit_rows

ROWS = 1_500
ATTRIBUTES = {
    "number": AttributeType.INT,
    "flag": AttributeType.BOOL,
    "word": AttributeType.KEYWORD,
    "text": AttributeType.TEXT,
}
SPACES = (space(6), space(4, "w"))


def _lake(scratch: Path) -> Lake:
    lake = Lake(schema(*SPACES, target_rows=800, attributes=ATTRIBUTES), scratch)
    arrays = {spec.name: unit_rows(ROWS, spec.dimension, seed) for seed, spec in enumerate(SPACES)}
    items = []
    for row in range(ROWS):
        # Some items lack a vector, of which the lists are found together with a copy of those that have one.
        vectors = {name: array[row] for name, array in arrays.items() if row % 7 or name == "v"}
        values = {"number": row % 91, "flag": True, "word": f"w{row % 40}", "text": f"some {row % 13} words"}
        items.append(item(f"{row:05d}", vectors, **{name: value for name, value in values.items() if row % 3}))
    for start in range(0, ROWS, 250):
        lake.add(items[start : start + 250])
    return lake


class BreaksAt(WrappedStore):
    """A store of which one write fails, once."""

    def __init__(self, inner: MemoryStore, at: int) -> None:
        super().__init__(inner)
        self.left = at

    def before(self, operation: str, key: str) -> None:
        """Counts the writes."""
        if operation in {"put", "put_if_absent", "upload_file"}:
            self.left -= 1
            if self.left == -1:
                raise Unavailable("for now")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of a build with one thread."""
    lake = _lake(tmp_path_factory.mktemp("one"))
    assert lake.build(part_rows=400).state is BuildState.DONE
    assert len(lake.shards) == 2
    return dict(lake.store.objects)


@pytest.mark.parametrize("threads", [2, 5])
def test_what_is_written_does_not_depend_on_how_many_threads_there_are(
    threads: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    lake = _lake(tmp_path)

    assert lake.build(part_rows=400, threads=threads).state is BuildState.DONE
    assert {key for key, body in lake.store.objects.items() if whole.get(key) != body} == set()
    assert lake.store.objects.keys() == whole.keys()


@pytest.mark.parametrize("at", np.arange(1, 18, 3).tolist())
def test_a_build_with_threads_that_breaks_at_a_write_ends_them_and_goes_on_to_the_same_bytes(
    at: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    lake = _lake(tmp_path)
    before = threading.active_count()

    with pytest.raises(Unavailable):
        lake.build(part_rows=400, threads=2, store=BreaksAt(lake.store, at))

    assert threading.active_count() == before
    assert lake.build(part_rows=400, threads=2).state is BuildState.DONE
    assert lake.store.objects == whole
    assert len(lake.catalog.versions(UID)) == 1
