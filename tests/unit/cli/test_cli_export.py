"""`export-faiss`, over a lake in memory."""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import pytest

from shardlake.cli.main import run
from shardlake.cli.session import Session
from shardlake.cli.storage import Storage, open_storage
from shardlake.errors import InvalidInput, Unavailable
from tests.lake import NAME, Lake, items_of, schema, space, unit_rows
from tests.unit.cli.conftest import FakeCloud, Result


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two shards of one space."""
    return Lake(schema(space(4), target_rows=700), tmp_path_factory.mktemp("cli")).built(items_of(unit_rows(1400, 4)))


def _run(lake: Lake, capture: pytest.CaptureFixture[str], *arguments: object) -> Result:
    storage = Storage(store=lake.store, catalog=lake.catalog)
    session = Session(env={}, cloud=FakeCloud(), open_storage=lambda _session, _data_dir: storage)
    code = run(["export-faiss", *map(str, arguments)], session)
    seen = capture.readouterr()
    return Result(code, seen.out, seen.err)


@pytest.mark.parametrize("shard", [0, 1])
def test_a_file_is_written_that_faiss_opens_and_beside_it_the_ids(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path, shard: int
) -> None:
    told = _run(lake, capsys, "--json", "-c", NAME, "--space", "v", "--shard", shard, tmp_path / "out.faiss")
    index = faiss.read_index(str(tmp_path / "out.faiss"))
    ids = json.loads((tmp_path / "out.json").read_text())

    assert told.code == 0, told.err
    assert told.json["rows"] == index.ntotal == len(ids["ids"]) == lake.shards[shard].rows
    assert ids["key"] == lake.shards[shard].key
    assert (ids["space"], ids["metric"], ids["dimension"]) == ("v", "cosine", 4)


def test_the_only_collection_and_its_first_space_need_no_name(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = _run(lake, capsys, tmp_path / "out.faiss")

    assert told.code == 0
    assert "rows of v" in told.out


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["-c", "nope"], "collection-not-found"),
        (["--space", "nope"], "unknown-space"),
        (["--shard", "2"], "invalid-request"),
        (["--shard", "-1"], "invalid-request"),
    ],
)
def test_what_is_not_there_is_said_with_its_kind(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], kind: str
) -> None:
    told = _run(lake, capsys, "--json", *arguments, tmp_path / "out.faiss")

    assert told.code == 1
    assert told.error["kind"] == kind
    assert not (tmp_path / "out.faiss").exists()


@pytest.mark.parametrize("name", ["no/such/folder/out.faiss", "out.json"])
def test_a_file_that_cannot_be_written_is_said_so(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    told = _run(lake, capsys, "--json", tmp_path / name)

    assert told.code == 1
    assert told.error["kind"] in {"invalid-file", "invalid-request"}


def test_a_collection_that_was_never_built_has_nothing_to_export(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = _run(Lake(schema(space(4)), tmp_path), capsys, "--json", tmp_path / "out.faiss")

    assert told.error["kind"] == "version-not-found"


def test_without_a_bucket_named_and_without_a_local_cloud_there_is_no_storage(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_storage(Session(env={}, cloud=FakeCloud()), tmp_path)


def test_half_of_the_names_of_a_deployment_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        open_storage(Session(env={"SHARDLAKE_BUCKET": "b"}, cloud=FakeCloud()), tmp_path)
