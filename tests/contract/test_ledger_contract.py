"""The laws of ledgers of large files, for every adapter of the catalog."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from shardlake import limits
from shardlake.catalog.base import Catalog
from shardlake.catalog.ledger import Ledger
from shardlake.errors import Conflict, ErrorKind, Unavailable
from shardlake.testing import LostReplyCatalog

SOURCE = "inbox/films/" + "ü" * 400 + ".jsonl"
FRESH = Ledger(source=SOURCE, etag="e", order="2026-11-25T10:00:00.000Z#00", part_bytes=64, part_lines=20)


def test_a_ledger_is_read_as_it_was_written(catalog: Catalog) -> None:
    assert catalog.ledger("u", SOURCE) is None

    catalog.put_ledger("u", FRESH)
    assert catalog.ledger("u", SOURCE) == FRESH

    full = replace(
        FRESH.with_cut(cut=3, start=2**40, line=10**9).with_part(1, accepted=7, rejected=2, error="invalid-file: no"),
        revision=2,
    )
    closed = replace(full.with_part(0, accepted=1, rejected=0, error=None).ended("why"), revision=3, closed_at="now")
    for ledger in (full, closed):
        catalog.put_ledger("u", ledger)
        assert catalog.ledger("u", SOURCE) == ledger
    assert catalog.ledger("u", "another") is None
    assert catalog.ledger("another", SOURCE) is None


def test_as_many_parts_as_a_file_may_have_fit(catalog: Catalog) -> None:
    parts = tuple((number, 20_000, 20_000, True) for number in range(limits.MAX_FILE_PARTS))
    full = replace(FRESH, parts=parts, error="x" * 1_000)

    catalog.put_ledger("u", full)

    assert catalog.ledger("u", SOURCE) == full


@pytest.mark.parametrize("revision", [1, 2, 4, 9])
def test_only_the_next_revision_is_written(catalog: Catalog, revision: int) -> None:
    for standing in (1, 2):
        catalog.put_ledger("u", replace(FRESH, revision=standing))

    with pytest.raises(Conflict) as caught:
        catalog.put_ledger("u", replace(FRESH, revision=revision, cut=5))

    assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    assert catalog.ledger("u", SOURCE) == replace(FRESH, revision=2)


def test_there_is_no_next_revision_of_nothing(catalog: Catalog) -> None:
    with pytest.raises(Conflict):
        catalog.put_ledger("u", replace(FRESH, revision=2))

    assert catalog.ledger("u", SOURCE) is None


def test_of_writers_at_once_one_wins(catalog: Catalog) -> None:
    catalog.put_ledger("u", FRESH)

    def write(number: int) -> bool:
        try:
            catalog.put_ledger("u", replace(FRESH, revision=2, cut=number))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))

    assert sum(won) == 1
    assert catalog.ledger("u", SOURCE) == replace(FRESH, revision=2, cut=won.index(True))


def test_a_write_whose_reply_was_lost_has_landed_and_cannot_be_repeated(catalog: Catalog) -> None:
    losing = LostReplyCatalog(catalog, operations=frozenset({"put_ledger"}))

    with pytest.raises(Unavailable):
        losing.put_ledger("u", FRESH)

    assert catalog.ledger("u", SOURCE) == FRESH
    with pytest.raises(Conflict):
        catalog.put_ledger("u", FRESH)


def test_a_collection_that_is_forgotten_takes_its_ledgers_along(catalog: Catalog) -> None:
    catalog.put_ledger("u", FRESH)

    catalog.forget_collection("u")

    assert catalog.ledger("u", SOURCE) is None
