"""Two runs of one build, two builds of one collection: what the first settled, the second neither undoes nor keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardlake.catalog.base import BuildState
from shardlake.errors import ErrorKind, Unavailable
from shardlake.format import locations
from shardlake.testing import WrappedCatalog, WrappedStore
from tests.lake import UID, Lake, item, schema, space, unit_rows

ITEMS = [item(f"i{number:04d}", {"v": vector}) for number, vector in enumerate(unit_rows(600, 4))]


def _lake(scratch: Path) -> Lake:
    lake = Lake(schema(space(4)), scratch)
    lake.add(ITEMS)
    return lake


def _artefacts(lake: Lake) -> list[str]:
    return [info.key for info in lake.store.list(f"data/{UID}/builds/")]


@pytest.mark.parametrize("nth", range(24))
def test_a_run_whose_artefacts_the_other_run_took_away_ends_done_as_that_did(tmp_path: Path, nth: int) -> None:
    lake = _lake(tmp_path)
    other = tmp_path / "other"
    other.mkdir()

    class Overtaken(WrappedStore):
        """Lets a second run finish before the first touches an artefact for the nth time."""

        touched = 0

        def before(self, operation: str, key: str) -> None:
            if "/builds/" not in key:
                return
            self.touched += 1
            if self.touched == nth + 1:
                lake.scratch = other
                assert lake.build("build-1").state is BuildState.DONE
                lake.scratch = tmp_path

    store = Overtaken(lake.store)
    try:
        lake.build("build-1", store=store)
    except Unavailable:  # Lambda runs it again
        lake.build("build-1")

    assert store.touched > nth
    assert lake.catalog.get_build(UID, "build-1").state is BuildState.DONE
    assert len(lake.catalog.versions(UID)) == 1
    assert _artefacts(lake) == []


def test_a_build_that_lost_leaves_no_artefacts(tmp_path: Path) -> None:
    lake = _lake(tmp_path)

    class Meanwhile(WrappedCatalog):
        """Lets another build commit just before this one does."""

        def before(self, operation: str) -> None:
            if operation == "commit":
                assert lake.build("build-2").state is BuildState.DONE

    loser = lake.build("auto-1", catalog=Meanwhile(lake.catalog))

    assert ErrorKind.COMMIT_CONFLICT in (loser.error or "")
    assert _artefacts(lake) == []
    assert lake.ids(k=1000) == [one.id for one in ITEMS]
    assert lake.store.head(locations.manifest(UID, lake.catalog.versions(UID)[0].version))
