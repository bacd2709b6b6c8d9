"""What calibration measures is true: nearest rows, filters of every kind, and texts where people can ask by text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import truth
from builder.depths import FILTERED_DEPTHS
from builder.held_out import Block, HeldOut, Sampled
from builder.train import TrainedSpace
from builder.truth import Kind, scores_of
from functions.build.service import Builds
from functions.build.texts import TextEncoder
from shardlake.catalog.base import BuildState
from shardlake.core.calibration import BANDS, Queries
from shardlake.core.covering import MISSED_GRID, covering
from shardlake.core.vectors import coarse_scores
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError, Unavailable
from shardlake.format.manifest import ManifestSpace, decode_manifest
from shardlake.limits import MAX_INPUTS_PER_ENCODE
from shardlake.types import AttributeType, Float32Array, IndexType, Metric
from tests.lake import EPOCH, NAME, UID, Lake, item, queued, schema, space, unit_rows

ROWS, DIMENSION, LISTS, K = 3_000, 6, 12, 20


def _world(metric: Metric) -> tuple[list[Block], HeldOut, TrainedSpace, Sampled]:
    rows = unit_rows(ROWS, DIMENSION, seed=3) * np.float32(1 if metric is Metric.COSINE else 3)
    centroids = rows[:LISTS]
    lists = np.argmax(scores_of(rows, centroids, metric), axis=1)
    half = ROWS // 2
    cuts = [slice(0, half), slice(half, ROWS)]
    blocks = [Block(number=n, rows=np.arange(half), vectors=rows[cut], lists=lists[cut]) for n, cut in enumerate(cuts)]
    own = np.concatenate([block.labels for block in blocks])
    queries = HeldOut(kind=Queries.ITEMS, labels=own[5:2900:100], vectors=rows[5:2900:100])
    trained = TrainedSpace(
        spec=space(DIMENSION, metric=metric),
        index=IndexType.IVF_PQ,
        centroids=centroids,
        codewords=None,
        transform=None,
        hash=None,
        list_starts=None,
        rows=ROWS,
    )
    sampled = Sampled(held_out=queries, rows=rows[::3], list_rows=np.bincount(lists, minlength=LISTS), texts=[])
    return blocks, queries, trained, sampled


@pytest.mark.parametrize("metric", list(Metric))
def test_the_truth_under_every_filter_is_that_of_brute_force(metric: Metric) -> None:
    blocks, queries, trained, sampled = _world(metric)
    made = truth.make_filters(sampled, queries, trained, np.random.default_rng(1))

    found = truth.find(blocks, [ROWS // 2] * 2, queries, made, trained, k=K, rng=np.random.default_rng(2))

    labels = np.concatenate([block.labels for block in blocks])
    vectors = np.concatenate([block.vectors for block in blocks])
    lists = np.concatenate([block.lists for block in blocks])
    bits = np.concatenate(found.bits)
    scores = scores_of(vectors, queries.vectors, metric).T
    coarse = np.stack([coarse_scores(query, trained.centroids, metric) for query in queries.vectors])
    for of in found.truths:
        passing = np.ones(ROWS, bool) if of.bit is None else bits & np.uint32(1 << of.bit) > 0
        assert of.rows == passing.sum()
        for i, own in enumerate(queries.labels):
            allowed = passing & (labels != own)
            ranked = np.argsort(np.where(allowed, -scores[i], np.inf), kind="stable")[: min(K, allowed.sum())]
            assert np.array_equal(np.sort(of.labels[i][of.labels[i] >= 0]), np.sort(labels[ranked]))
            list_rows = np.bincount(lists[passing], minlength=LISTS)
            by_label = dict(zip(labels.tolist(), lists.tolist(), strict=True))
            of_nearest = [by_label[label] for label in of.labels[i].tolist() if label >= 0]
            assert of.ranks[i][of.labels[i] >= 0].tolist() == of.list_ranks[i][of_nearest].tolist()
            assert np.array_equal(of.has_rows, list_rows > 0)
            if of.bit is None:
                order = np.argsort(-coarse[i], kind="stable").tolist()
                assert of.ranks[i].tolist() == [order.index(number) for number in of_nearest]
                continue
            for depth, missed in enumerate(MISSED_GRID, start=1):
                probed = covering(coarse[i], list_rows, of.softness, missed)
                assert np.array_equal(np.flatnonzero(of.list_ranks[i] < depth), np.sort(probed))


def test_each_band_has_a_filter_of_every_kind_that_passes_about_as_much_as_it_says() -> None:
    blocks, queries, trained, sampled = _world(Metric.COSINE)
    made = truth.make_filters(sampled, queries, trained, np.random.default_rng(1))

    found = truth.find(blocks, [ROWS // 2] * 2, queries, made, trained, k=K, rng=np.random.default_rng(2))

    measured = [band for band in BANDS if band * ROWS >= truth.MIN_BAND_ROWS]
    kinds = [kind for kind in Kind if kind is not Kind.NONE]
    wanted = {(band, kind) for band in measured for kind in kinds}
    assert {(of.filter.selectivity, of.filter.kind) for of in found.truths[1:]} == wanted
    largest_list = sampled.list_rows.max() / ROWS
    for of in found.truths[1:]:
        above = largest_list if of.filter.kind in {Kind.SCATTERED, Kind.MIXED} else 0.04
        assert of.filter.selectivity - 0.1 * of.filter.selectivity - 0.03 <= of.rows / ROWS
        assert of.rows / ROWS <= of.filter.selectivity + above + 0.03


def test_more_lists_never_lose_what_fewer_found() -> None:
    blocks, queries, trained, sampled = _world(Metric.COSINE)
    made = truth.make_filters(sampled, queries, trained, np.random.default_rng(1))

    found = truth.find(blocks, [ROWS // 2] * 2, queries, made, trained, k=K, rng=np.random.default_rng(2))

    for of in found.truths:
        depths = range(1, LISTS + 1) if of.bit is None else FILTERED_DEPTHS
        means = [of.list_recall(10, depth).mean() for depth in depths]
        lists = [of.lists_at(depth) for depth in depths]
        assert means == sorted(means)
        assert lists == sorted(lists)
        assert means[-1] == 1
        assert lists[-1] == of.has_rows.sum()


# Texts --------------------------------------------------------------------------------------------


def _texts_encoded(encoder: str, texts: list[str]) -> Float32Array:
    assert encoder == "clip"
    return np.stack([unit_rows(1, DIMENSION, seed=len(text))[0] for text in texts])


def _built(tmp_path: Path, encode: Any, *, encoder: str | None = "clip", titles: int = 900) -> Lake:
    lake = Lake(schema(space(DIMENSION, encoder=encoder), attributes={"title": AttributeType.KEYWORD}), tmp_path)
    rows = unit_rows(900, DIMENSION, seed=2)
    lake.add([item(f"{i:04d}", {"v": row}, title="t" * (1 + i % titles)) for i, row in enumerate(rows)])
    lake.catalog.put_build(UID, queued("build-1"))
    builds = Builds(
        store=lake.store, catalog=lake.catalog, part_rows=500, threads=1, clock=lambda: EPOCH, encode_texts=encode
    )
    row = builds.run(NAME, "build-1", scratch=tmp_path)
    assert row.state is BuildState.DONE, row.error
    return lake


def _described(lake: Lake) -> ManifestSpace:
    pointer = lake.catalog.pointer(UID)
    assert pointer is not None
    return decode_manifest(lake.store.objects[pointer.manifest_key]).spaces[0]


def test_a_space_that_is_asked_by_text_has_a_second_curve(tmp_path: Path) -> None:
    described = _described(_built(tmp_path, _texts_encoded))

    assert {point.queries for point in described.curve} == {Queries.ITEMS, Queries.TEXT}
    assert {point.queries for point in described.bands} == {Queries.ITEMS, Queries.TEXT}


def _reads_no_text(encoder: str, texts: list[str]) -> Float32Array:
    raise InvalidInput("pictures only", kind=ErrorKind.UNKNOWN_MODALITY)


@pytest.mark.parametrize(
    ("encode", "more"),
    [(None, {}), (_reads_no_text, {}), (_texts_encoded, {"encoder": None}), (_texts_encoded, {"titles": 20})],
    ids=["nobody encodes", "no texts are read", "vectors are brought", "few different texts"],
)
def test_a_space_that_is_not_asked_by_text_has_one_curve(tmp_path: Path, encode: Any, more: dict[str, Any]) -> None:
    described = _described(_built(tmp_path, encode, **more))

    assert {point.queries for point in described.curve} == {Queries.ITEMS}


def test_an_encoder_that_is_down_is_waited_for_and_not_left_out(tmp_path: Path) -> None:
    def down(encoder: str, texts: list[str]) -> Float32Array:
        raise Unavailable("not now", kind=ErrorKind.FUNCTION_UNAVAILABLE)

    with pytest.raises(Unavailable):
        _built(tmp_path, down)


def test_texts_go_to_the_encode_function_in_messages_that_it_takes(tmp_path: Path) -> None:
    lake = Lake(schema(space(4, encoder="clip")), tmp_path)
    lake.invoker.functions["encode"] = lambda payload: b'{"error":{"kind":"unknown-modality","message":"no"}}'
    encoder = TextEncoder(invoker=lake.invoker, function="encode", clock=lake.clock)

    with pytest.raises(ShardlakeError) as caught:
        encoder("clip", ["a"] * (MAX_INPUTS_PER_ENCODE + 1))
    assert caught.value.kind is ErrorKind.UNKNOWN_MODALITY
