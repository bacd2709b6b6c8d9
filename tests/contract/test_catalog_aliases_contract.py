"""The laws of aliases, for every adapter of the catalog."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shardlake.catalog.base import Alias, Catalog
from shardlake.errors import Conflict, ErrorKind, NotFound, Unavailable
from shardlake.testing import LostReplyCatalog
from tests.contract.test_catalog_contract import pointer_to

A, B, C = "000001-a", "000002-b", "000003-c"


def alias(name: str, version: str, changed_at: str = "2026-11-25T10:00:00Z") -> Alias:
    return Alias(alias=name, version=version, changed_at=changed_at)


@pytest.fixture
def built(catalog: Catalog) -> Catalog:
    """Three versions, the last of them current."""
    for expected, version in ((None, A), (A, B), (B, C)):
        catalog.commit("u", expected=expected, pointer=pointer_to(version), shards=[])
    return catalog


def test_an_alias_names_a_version_and_then_another(built: Catalog) -> None:
    assert built.aliases("u") == []

    built.set_alias("u", alias("live", A), expected=None)
    built.set_alias("u", alias("best", B), expected=None)
    built.set_alias("u", alias("live", B, "2026-11-25T11:00:00Z"), expected=A)

    assert built.aliases("u") == [alias("best", B), alias("live", B, "2026-11-25T11:00:00Z")]
    assert built.aliases("another") == []


def test_a_version_that_an_alias_names_is_not_forgotten(built: Catalog) -> None:
    built.set_alias("u", alias("live", A), expected=None)
    built.set_alias("u", alias("also", A), expected=None)
    built.set_alias("u", alias("also", A, "later"), expected=A)

    built.drop_alias("u", "also", expected=A)
    with pytest.raises(Conflict) as caught:
        built.forget_version("u", A)
    assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    assert [one.version for one in built.versions("u")] == [A, B, C]

    built.set_alias("u", alias("live", B), expected=A)
    built.forget_version("u", A)
    assert built.versions("u") == [pointer_to(B), pointer_to(C)]
    with pytest.raises(Conflict):
        built.forget_version("u", B)


def test_what_was_never_built_or_is_forgotten_has_no_alias(built: Catalog) -> None:
    built.forget_version("u", A)

    for version in (A, "000009-z"):
        with pytest.raises(NotFound) as caught:
            built.set_alias("u", alias("live", version), expected=None)
        assert caught.value.kind is ErrorKind.VERSION_NOT_FOUND
    assert built.aliases("u") == []
    assert built.versions("u") == [pointer_to(B), pointer_to(C)]


def test_an_alias_that_was_changed_meanwhile_is_left_alone(built: Catalog) -> None:
    built.set_alias("u", alias("live", A), expected=None)

    for expected in (None, B):
        with pytest.raises(Conflict) as caught:
            built.set_alias("u", alias("live", C), expected=expected)
        assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    with pytest.raises(Conflict):
        built.drop_alias("u", "live", expected=B)

    assert built.aliases("u") == [alias("live", A)]


def test_an_alias_that_is_gone_is_dropped_without_a_word(built: Catalog) -> None:
    built.set_alias("u", alias("live", A), expected=None)

    built.drop_alias("u", "live", expected=A)
    built.drop_alias("u", "live", expected=A)

    assert built.aliases("u") == []
    built.forget_version("u", A)


def test_of_many_writers_at_once_one_sets_the_alias(built: Catalog) -> None:
    def writes(number: int) -> bool:
        try:
            built.set_alias("u", alias("live", (A, B, C)[number % 3], str(number)), expected=None)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(writes, range(12)))

    assert won.count(True) == 1
    (standing,) = built.aliases("u")
    assert int(standing.changed_at) == won.index(True)
    for version in {A, B} - {standing.version}:
        built.forget_version("u", version)


def test_a_change_whose_reply_was_lost_is_repeated(built: Catalog) -> None:
    lossy = LostReplyCatalog(built, operations=frozenset({"set_alias", "drop_alias"}))
    with pytest.raises(Unavailable):
        lossy.set_alias("u", alias("live", A), expected=None)
    lossy.set_alias("u", alias("live", A), expected=None)

    assert built.aliases("u") == [alias("live", A)]
