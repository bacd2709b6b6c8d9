"""Terms in a build: killed anywhere, the same bytes; of all shards together, one file of frequencies."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import terms
from shardlake.catalog.base import BuildState
from shardlake.errors import Unavailable
from shardlake.format import locations
from shardlake.format.manifest import decode_manifest
from shardlake.testing import WrappedStore
from shardlake.types import AttributeType
from tests.lake import UID, Lake, item, schema, space
from tests.unit.builder.test_build_resumes import Fuse, FusedStore, Killed

TEXTS = {"plot": AttributeType.TEXT, "title": AttributeType.TEXT}
SCHEMA = schema(space(3), target_rows=8, attributes=TEXTS)
WORDS = ["red", "boots", "of", "the", "king", "and", "a", "queen", "who", "leaks"]
ITEMS = [
    item(f"i{i:03d}", {"v": [i, 1, 2]}, plot=" ".join(WORDS[: i % 9]), **({"title": WORDS[i % 7]} if i % 3 else {}))
    for i in range(24)
]


def _lake(scratch: Path) -> Lake:
    lake = Lake(SCHEMA, scratch)
    lake.add(ITEMS)
    return lake


def test_a_build_with_texts_that_is_killed_at_any_call_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    whole, counter = _lake(tmp_path), Fuse(None, Killed)
    store = FusedStore(whole.store, counter, Fuse(None, Killed))
    assert whole.build(store=store).state is BuildState.DONE
    assert any(key.endswith("texts.terms") for key in whole.store.objects)

    broken = []
    for at in range(0, counter.calls, 2):
        lake = _lake(tmp_path)
        with pytest.raises(Killed):
            lake.build(store=FusedStore(lake.store, Fuse(at, Killed), Fuse(None, Killed)))
        lake.build()
        broken += [at] if lake.store.objects != whole.store.objects else []

    assert broken == []


@pytest.mark.parametrize("artefact", ["terms-00001", "term-statistics"])
def test_two_runs_of_one_build_agree_on_the_terms_that_were_made_first(tmp_path: Path, artefact: str) -> None:
    lake, whole = _lake(tmp_path), _lake(tmp_path)
    whole.build()
    other = tmp_path / "other"
    other.mkdir()

    class Twice(WrappedStore):
        """Lets a second run go to its end within the first."""

        started = False

        def before(self, operation: str, key: str) -> None:
            if key.endswith(f"/{artefact}") and operation == "put_if_absent" and not self.started:
                self.started = True
                lake.scratch = other
                lake.build()
                lake.scratch = tmp_path

    store = Twice(lake.store)
    try:
        lake.build(store=store)
    except Unavailable:
        lake.build(store=store)

    assert store.started
    assert lake.store.objects == whole.store.objects


def test_chunks_of_terms_of_any_size_give_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _lake(tmp_path)
    whole.build()
    monkeypatch.setattr(terms, "CHUNK_TERMS", 3)
    lake = _lake(tmp_path)
    lake.build()

    assert lake.store.objects == whole.store.objects


def test_a_collection_without_texts_has_no_file_of_frequencies(tmp_path: Path) -> None:
    lake = Lake(schema(space(3), attributes={"n": AttributeType.INT}), tmp_path).built([item("a", {"v": [1, 2, 3]})])
    pointer = lake.catalog.pointer(UID)
    assert pointer is not None

    assert locations.term_statistics(UID, pointer.version) not in lake.store.objects
    assert decode_manifest(lake.store.objects[pointer.manifest_key]).terms is None


def test_texts_without_a_single_word_are_built(tmp_path: Path) -> None:
    lake = Lake(SCHEMA, tmp_path).built([item("a", {"v": [1, 2, 3]}, plot="?!"), item("b", {"v": [1, 2, 3]})])
    pointer = lake.catalog.pointer(UID)
    assert pointer is not None

    assert decode_manifest(lake.store.objects[pointer.manifest_key]).terms is not None
