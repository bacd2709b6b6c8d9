"""Parts as they are laid out, read back by whoever needs some of them."""

from __future__ import annotations

from dataclasses import replace
from io import FileIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from builder.context import ARTEFACT_KIND, BuildContext
from builder.gather import gather
from builder.parts import DRAWN_ROWS, open_part
from builder.ranged import RangedFile
from builder.strings import offsets_of
from shardlake.catalog.base import BuildState
from shardlake.errors import ErrorKind, FormatError, NotFound
from shardlake.format.container import ContainerWriter
from shardlake.testing import CountingStore, MemoryStore, WrappedStore
from tests.lake import EPOCH, NAME, UID, Lake, item, schema, space, unit_rows

ROWS, PARTS, SHARDS = 2_000, 5, 3
SPACES = (space(6), space(4, "w"))
BUILD = "build-1"
ARRAYS = {spec.name: unit_rows(ROWS, spec.dimension, seed) for seed, spec in enumerate(SPACES)}


class KeepsParts(WrappedStore):
    """A store whose parts outlive their build."""

    def delete(self, key: str) -> None:
        """Leaves them."""
        if "rows-" not in key:
            super().delete(key)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(schema(*SPACES, target_rows=700), tmp_path_factory.mktemp("parts"))
    for start in range(0, ROWS, ROWS // PARTS):
        rows = range(start, start + ROWS // PARTS)
        # A third has no vector in the second space, a few none in the first.
        made.add(
            [
                item(
                    f"{row:05d}",
                    {n: a[row] for n, a in ARRAYS.items() if (row % 3 if n == "w" else row % 50)},
                    number=row,
                )
                for row in rows
            ]
        )
    row = made.build(BUILD, part_rows=ROWS // PARTS, store=KeepsParts(made.store))
    assert row.state is BuildState.DONE, row.error
    assert len(made.shards) == SHARDS
    return made


def context_of(lake: Lake, scratch: Path) -> BuildContext:
    return BuildContext(
        store=lake.store,
        catalog=lake.catalog,
        collection=NAME,
        uid=UID,
        body="",
        schema=lake.schema,
        build_id=BUILD,
        part_rows=ROWS // PARTS,
        scratch=scratch,
        report=lambda stage, progress: None,
        clock=lambda: EPOCH,
    )


def ids_of(part: RangedFile) -> list[str]:
    text, ends = part.array("id").tobytes(), part.array("id_offsets").tolist()
    return [text[a:b].decode() for a, b in pairwise(ends)]


def test_vectors_lie_by_shard_and_list_and_name_the_rows_that_they_are_of(lake: Lake, tmp_path: Path) -> None:
    context, seen = context_of(lake, tmp_path), {spec.name: 0 for spec in SPACES}
    for number in range(PARTS):
        part = open_part(context, number)
        ids, shard_starts = ids_of(part), part.array("shard_starts")
        for spec in SPACES:
            starts, rows, lists, vectors = part.arrays(
                *(f"{b}/{spec.name}" for b in ("starts", "rows", "lists", "vectors"))
            )
            assert np.allclose(vectors, ARRAYS[spec.name][[int(ids[row]) for row in rows]], atol=1e-6)
            assert len(set(rows.tolist())) == len(rows)
            for shard in range(SHARDS):
                there = slice(int(starts[shard]), int(starts[shard + 1]))
                assert ((rows[there] >= shard_starts[shard]) & (rows[there] < shard_starts[shard + 1])).all()
                assert (np.diff(lists[there]) >= 0).all()
            seen[spec.name] += len(rows)
    assert seen == {"v": ROWS - ROWS // 50, "w": ROWS - -(-ROWS // 3)}


def test_what_calibration_draws_is_a_copy_of_vectors_and_about_as_many_as_were_asked_for(
    lake: Lake, tmp_path: Path
) -> None:
    context = context_of(lake, tmp_path)
    for number in range(PARTS):
        part = open_part(context, number)
        drawn, numbers, of_drawn, vectors = part.arrays("drawn/v", "numbers/v", "drawn_vectors/v", "vectors/v")
        assert np.array_equal(of_drawn, vectors[drawn])
        assert len(drawn) == len(vectors)  # fewer rows than DRAWN_ROWS: all of them
        assert DRAWN_ROWS > ROWS
        assert ((numbers >= 0) & (numbers < 1)).all()


@pytest.mark.parametrize("name", ["v", "w"])
def test_a_shard_reads_any_of_its_vectors_and_rows_of_the_shard_are_those_placed(
    lake: Lake, tmp_path: Path, name: str
) -> None:
    context = context_of(lake, tmp_path)
    for shard in range(SHARDS):
        rows = gather(context, shard, PARTS, [spec.name for spec in SPACES])
        vectors = rows.spaces[name]
        wanted = np.random.default_rng(shard).permutation(len(vectors.rows))
        numbers = [int(rows.ids[row]) for row in vectors.rows[wanted].tolist()]
        assert np.allclose(vectors.read(wanted), ARRAYS[name][numbers], atol=1e-6)
        assert vectors.read(wanted[:0]).shape == (0, vectors.dimension)
        order = np.random.default_rng(9).permutation(rows.rows)
        assert order[rows.placed(order)[name].rows].tolist() == vectors.rows.tolist()


@pytest.mark.parametrize("name", ["v", "w"])
def test_some_lists_of_a_shard_are_one_read_of_every_part(lake: Lake, tmp_path: Path, name: str) -> None:
    counting = CountingStore(lake.store)
    context = replace(context_of(lake, tmp_path), store=counting)
    vectors = gather(context, 0, PARTS, [name]).spaces[name]
    lists = np.unique(vectors.lists)
    some = np.flatnonzero((vectors.lists >= lists[1]) & (vectors.lists <= lists[-2]))
    before = counting.object_reads

    vectors.read(some)

    assert counting.object_reads - before == PARTS


def container(blocks: dict[str, np.ndarray]) -> bytes:  # type: ignore[type-arg]
    pieces: list[bytes] = []

    class Sink:
        def write(self, data: bytes | memoryview, /) -> int:
            pieces.append(bytes(data))
            return len(data)

    writer = ContainerWriter(Sink(), ARTEFACT_KIND)
    for name, block in blocks.items():
        writer.add_array(name, block)
    writer.finish({"said": 1})
    return b"".join(pieces)


def test_blocks_are_read_together_and_checked_and_rows_alone(tmp_path: Path) -> None:
    store = MemoryStore()
    blocks = {"a": np.arange(12, dtype=np.float32).reshape(4, 3), "b": np.arange(5), "none": np.empty((0, 3))}
    body = container(blocks)
    store.put("k", body)
    file = RangedFile(store, "k", ARTEFACT_KIND)

    assert file.meta == {"said": 1}
    assert all(
        np.array_equal(x, y)
        for x, y in zip(file.arrays("b", "none", "a"), [blocks[n] for n in ("b", "none", "a")], strict=True)
    )
    assert np.array_equal(file.rows("a", 1, 3), blocks["a"][1:3])
    assert file.rows("a", 2, 2).shape == (0, 3)
    with FileIO(tmp_path / "copy", "wb") as into:
        file.copy("a", 1, 4, into)
    assert (tmp_path / "copy").read_bytes() == blocks["a"][1:].tobytes()

    at = body.index(blocks["b"].tobytes())
    store.put("k", body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
    with pytest.raises(FormatError) as caught:
        file.array("b")
    assert caught.value.kind is ErrorKind.CHECKSUM_MISMATCH
    with pytest.raises(FormatError):
        file.array("c")
    with pytest.raises(NotFound):
        RangedFile(store, "elsewhere", ARTEFACT_KIND)


def test_a_directory_longer_than_the_first_read_is_read_whole() -> None:
    store = MemoryStore()
    store.put("k", container({f"block-{number:05d}": np.arange(number % 3) for number in range(3_000)}))

    assert RangedFile(store, "k", ARTEFACT_KIND).array("block-02999").tolist() == [0, 1]
    assert offsets_of(np.array([2, 3])).tolist() == [0, 2, 5]
