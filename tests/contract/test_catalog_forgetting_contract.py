"""The laws of leaving the history, for every adapter of the catalog: condemned first, and perhaps spared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shardlake.catalog.base import Alias, Catalog
from shardlake.errors import Conflict, ErrorKind
from tests.contract.test_catalog_contract import FILMS, pointer_to, shard_row

A, B, C = "000001-a", "000002-b", "000003-c"
LIVE = Alias(alias="live", version=A, changed_at="t")


@pytest.fixture
def built(catalog: Catalog) -> Catalog:
    """Three versions, the last of them current."""
    for expected, version in ((None, A), (A, B), (B, C)):
        catalog.commit("u", expected=expected, pointer=pointer_to(version), shards=[shard_row(0)])
    return catalog


def condemned(catalog: Catalog) -> list[str | None]:
    return [version.condemned_at for version in catalog.versions("u")]


def test_a_condemned_version_knows_since_when_and_can_be_forgotten(built: Catalog) -> None:
    assert condemned(built) == [None, None, None]

    built.condemn_version("u", A, "t1")
    built.condemn_version("u", A, "t2")

    assert condemned(built) == ["t1", None, None]
    assert built.shard_rows("u", A) == [shard_row(0)]
    built.forget_version("u", A)
    assert built.versions("u") == [pointer_to(B), pointer_to(C)]


def test_what_is_current_or_has_an_alias_or_is_none_is_not_condemned(built: Catalog) -> None:
    built.set_alias("u", LIVE, expected=None)
    for version in (A, C, "000009-x"):
        with pytest.raises(Conflict) as caught:
            built.condemn_version("u", version, "t1")
        assert caught.value.kind is ErrorKind.COMMIT_CONFLICT

    assert condemned(built) == [None, None, None]
    assert [version.version for version in built.versions("u")] == [A, B, C]


def test_an_alias_spares_a_version_and_when_it_lets_go_the_time_begins_anew(built: Catalog) -> None:
    built.condemn_version("u", A, "t1")
    built.condemn_version("u", B, "t1")

    built.set_alias("u", LIVE, expected=None)
    assert condemned(built) == [None, "t1", None]
    built.set_alias("u", replace(LIVE, version=B), expected=A)
    assert condemned(built) == [None, None, None]

    built.condemn_version("u", A, "t2")
    built.drop_alias("u", "live", expected=B)
    assert condemned(built) == ["t2", None, None]


def test_a_rollback_spares_a_version(built: Catalog) -> None:
    built.condemn_version("u", A, "t1")

    assert built.roll_back("u", expected=C, version=A) == pointer_to(A)

    assert built.pointer("u") == pointer_to(A)
    assert condemned(built) == [None, None, None]
    built.roll_back("u", expected=A, version=B)
    assert condemned(built) == [None, None, None]
    built.condemn_version("u", A, "t2")
    assert condemned(built) == ["t2", None, None]


def test_a_dropped_collection_is_known_until_it_is_forgotten(catalog: Catalog) -> None:
    catalog.create_collection(FILMS)
    assert catalog.dropped_collections() == []

    catalog.drop_collection(FILMS.name)
    again = replace(FILMS, uid="another")
    catalog.create_collection(again)
    catalog.drop_collection(FILMS.name)
    catalog.create_collection(FILMS)

    assert sorted(catalog.dropped_collections(), key=lambda row: row.uid) == [again, FILMS]
    catalog.forget_collection("another")
    assert catalog.dropped_collections() == [FILMS]
    assert catalog.list_collections() == [FILMS]
