"""A file too large for one run, on the embedded cloud: it goes through the queue by parts and has one receipt."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from shardlake import limits
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.cli.session import Session
from shardlake.local import CloudStatus
from shardlake.local.stack import emulator_client
from tests.e2e.cloud_shell import CloudShell, RunningCloud

NAME = "large"
SCHEMA = {"spaces": {"own": {"dimension": 4}}, "attributes": {"number": {"type": "int"}}}
LINES = 2 * limits.PART_LINES + 500
REFUSED = {limits.PART_LINES, limits.PART_LINES + 1, LINES}  # on both sides of a seam, and at the end
BLANKS = b" " * (limits.WHOLE_FILE_BYTES // LINES)


@pytest.fixture
def shell(cloud: CloudStatus, capsys: pytest.CaptureFixture[str]) -> CloudShell:
    return CloudShell(Session(env={}, cloud=RunningCloud(cloud)), capsys)


def line(number: int) -> bytes:
    item: dict[str, Any] = {"id": f"i{number}", "attributes": {"number": number}, "vectors": {"own": [1, number, 0, 2]}}
    return orjson.dumps({} if number in REFUSED else item) + BLANKS + b"\n"


def test_a_large_file_comes_in_parts_and_is_found_whole(shell: CloudShell, cloud: CloudStatus, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(map(line, range(1, LINES + 1))))
    shell("collections", "create", NAME, "--schema", json.dumps(SCHEMA))

    taken = shell("ingest", path, "--collection", NAME)

    assert (taken["accepted"], taken["rejected"], taken["failed"]) == (LINES - 3, 3, [])
    shown = shell("collections", "show", NAME)
    assert (shown["rows"], shown["rejected"]) == (LINES - 3, 3)
    for number in (1, limits.PART_LINES - 1, limits.PART_LINES + 2, LINES - 1):
        wanted = json.dumps({"number": number})
        assert [hit["id"] for hit in shell("search", "--collection", NAME, "--filter", wanted)["hits"]] == [
            f"i{number}"
        ]
    assert refused(cloud) == Counter(REFUSED)
    catalog = DynamoCatalog(
        cloud.outputs["CatalogTable"],
        cloud.outputs["ShardTable"],
        client=emulator_client("dynamodb", cloud.endpoint),
    )
    ledger = catalog.ledger(catalog.get_collection(NAME).uid, f"inbox/{NAME}/rows.jsonl")
    assert ledger is not None
    assert [part[:3] for part in ledger.parts] == [(0, 19_999, 1), (1, 19_999, 1), (2, 499, 1)]


def refused(cloud: CloudStatus) -> Counter[int]:
    """Returns the numbers of the lines that were refused."""
    s3 = emulator_client("s3", cloud.endpoint)
    listed = s3.list_objects_v2(Bucket=cloud.bucket, Prefix=f"rejected/{NAME}/")["Contents"]
    bodies = (s3.get_object(Bucket=cloud.bucket, Key=one["Key"])["Body"].read() for one in listed)
    return Counter(json.loads(each)["line"] for body in bodies for each in body.splitlines())
