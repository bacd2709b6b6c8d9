"""The command line on the embedded cloud: S3 events, the queue, functions, the gateway; nothing is stood in for."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shardlake import AsyncClient, Client
from shardlake.cli.session import Session
from shardlake.demo.pictures import Picture, generate
from shardlake.local import CloudStatus
from shardlake.local.stack import emulator_client
from tests.e2e.cloud_shell import CloudShell, RunningCloud

VECTORS = {
    "spaces": {"own": {"dimension": 16, "metric": "cosine"}},
    "attributes": {"group": {"type": "keyword"}, "price": {"type": "float"}},
}
PICTURES = {
    "spaces": {"visual": {"encoder": "clip"}},
    "attributes": {
        "split": {"type": "keyword"},
        "colour": {"type": "keyword"},
        "shape": {"type": "keyword"},
        "price": {"type": "float"},
    },
}


@pytest.fixture
def shell(cloud: CloudStatus, capsys: pytest.CaptureFixture[str]) -> CloudShell:
    return CloudShell(Session(env={}, cloud=RunningCloud(cloud)), capsys)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Picture]]:
    folder = tmp_path_factory.mktemp("pictures")
    pictures = list(generate(24, seed=99))
    for number, picture in enumerate(pictures):
        path = folder / ("train", "test")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.png())
        facts = picture.attributes()
        sidecar = {"colour": facts["colour"], "shape": facts["shape"], "price": number / 2}
        path.with_name(path.name + ".json").write_text(json.dumps(sidecar))
    return folder, pictures


def write_vectors(path: Path, vectors: np.ndarray) -> None:  # type: ignore[type-arg]
    with path.open("w") as stream:
        for number, vector in enumerate(vectors.tolist()):
            attributes = {"group": "even" if number % 2 == 0 else "odd", "price": float(number)}
            item = {"id": f"row-{number:03d}", "attributes": attributes, "vectors": {"own": vector}}
            stream.write(json.dumps(item) + "\n")
        stream.write("this line is none\n")


def test_lines_go_in_and_come_out_by_vector_and_filter(shell: CloudShell, tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).standard_normal((200, 16)).astype(np.float32)
    write_vectors(tmp_path / "rows.jsonl", vectors)
    (tmp_path / "asked.json").write_text(json.dumps(vectors[7].tolist()))
    c = ("--collection", "cli-vectors")

    shell("collections", "create", "cli-vectors", "--schema", json.dumps(VECTORS))
    taken = shell("ingest", tmp_path / "rows.jsonl", *c, "--build")
    found = shell("search", *c, "--vector", tmp_path / "asked.json", "--k", 5, "--recall", 1)
    odd = shell("search", *c, "--vector", tmp_path / "asked.json", "--filter", '{"group": "even"}', "--k", 5)

    assert (taken["accepted"], taken["rejected"], taken["failed"]) == (200, 1, [])
    assert found["hits"][0]["id"] == "row-007"
    exact = np.argsort(-(vectors @ vectors[7]) / np.linalg.norm(vectors, axis=1))[:5]
    assert [hit["id"] for hit in found["hits"]] == [f"row-{i:03d}" for i in exact]
    assert {hit["attributes"]["group"] for hit in odd["hits"]} == {"even"}
    assert found["shards"]["requested"] == found["shards"]["searched"] >= 1
    shown = shell("collections", "show", "cli-vectors")
    assert (shown["rows"], shown["rejected"], shown["pending"]["items"]) == (200, 1, 0)
    (first,) = shell("versions", *c)["versions"]
    assert first["is_current"]
    assert shell("ingest", tmp_path / "rows.jsonl", *c)["unchanged"] == 1
    assert shell("bench", *c, "--queries", 5)["partial"] == 0

    (tmp_path / "late.jsonl").write_text(json.dumps({"id": "late", "vectors": {"own": vectors[7].tolist()}}))
    shell("ingest", tmp_path / "late.jsonl", *c, "--build")
    ask = ("search", *c, "--vector", tmp_path / "asked.json", "--k", 2)
    assert [hit["id"] for hit in shell(*ask)["hits"]] == ["late", "row-007"]
    assert shell("rollback", first["version"], *c)["rows"] == 200
    after = shell(*ask)
    assert (after["version"], [hit["id"] for hit in after["hits"]][:1]) == (first["version"], ["row-007"])
    assert [one["is_current"] for one in shell("versions", *c)["versions"]] == [False, True]

    traced = shell("items", "trace", "row-007", *c)
    assert {(one["holds"], one["kept_by"]) for one in traced["holders"]} >= {("item", "log"), ("item", "current")}
    assert (traced["is_gone"], traced["past"]["steps"]) == (False, [])
    assert shell("items", "trace", "never", *c)["is_gone"]

    (second, _) = shell("versions", *c)["versions"]
    shell("aliases", "set", "next", second["version"], *c)
    named = shell("search", "-c", "cli-vectors@next", "--vector", tmp_path / "asked.json", "--k", 1)
    assert (named["version"], named["hits"][0]["id"]) == (second["version"], "late")
    assert shell("aliases", "drop", "next", *c) == {"dropped": "next"}


def test_a_folder_of_pictures_is_searched_by_words_by_a_picture_and_by_both(
    shell: CloudShell, drawn: tuple[Path, list[Picture]]
) -> None:
    folder, pictures = drawn
    c = ("--collection", "cli-pictures")
    own = folder / "train" / "04.png"

    shell("collections", "create", "cli-pictures", "--schema", json.dumps(PICTURES))
    taken = shell("ingest", folder, *c, "--path-attributes", "split", "--build")
    by_picture = shell("search", *c, "--image", own, "--k", 3)
    by_words = shell("search", *c, "--text", pictures[4].caption, "--k", 24)
    both = shell(
        *("search", *c, "--image", own, "--text", "anything red"),
        *("--filter", '{"split": "test", "price": {"$gte": 6}}', "--k", 24),
    )

    assert (taken["accepted"], taken["rejected"], taken["skipped"]) == (24, 0, [])
    assert by_picture["hits"][0]["id"] == "train/04.png"
    assert by_picture["hits"][0]["score"] == pytest.approx(1.0, abs=0.02)  # encoded twice: as dropped, as asked
    assert "train/04.png" in [hit["id"] for hit in by_words["hits"][:6]]
    assert {hit["id"] for hit in both["hits"]} == {f"test/{i:02d}.png" for i in range(13, 24, 2)}


def test_a_sidecar_that_changed_changes_the_picture_s_attributes(
    shell: CloudShell, drawn: tuple[Path, list[Picture]], tmp_path: Path
) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes(drawn[1][0].png())
    c = ("--collection", "cli-sidecars")
    shell("collections", "create", "cli-sidecars", "--schema", json.dumps(PICTURES))

    for price in (1.0, 2.0):
        (tmp_path / "one.png.json").write_text(json.dumps({"price": price}))
        assert shell("ingest", tmp_path, *c, "--build")["accepted"] == 1

        hits = shell("search", *c, "--filter", "{}")["hits"]
        assert [(hit["id"], hit["attributes"]) for hit in hits] == [("one.png", {"price": price})]


def test_both_clients_and_the_command_line_find_the_same(shell: CloudShell, cloud: CloudStatus, tmp_path: Path) -> None:
    items = [{"id": f"i{n}", "vectors": {"own": [float(n == axis) for axis in range(16)]}} for n in range(16)]
    asked = [1.0, 0.5, 0.25] + [0.0] * 13
    (tmp_path / "asked.json").write_text(json.dumps({"own": asked}))
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    shell("collections", "create", "cli-same", "--schema", json.dumps(VECTORS))
    shell("ingest", tmp_path / "items.jsonl", "--collection", "cli-same", "--build")

    async def awaited() -> list[str]:
        async with AsyncClient(cloud.url) as client:
            return [hit.id for hit in await client.collection("cli-same").search(vector={"own": asked}, k=3)]

    with Client(cloud.url) as client:
        answers = client.collection("cli-same").search_batch([{"vector": {"own": asked}, "k": 3}] * 2)

    shown = shell("search", "-c", "cli-same", "--vector", tmp_path / "asked.json", "--k", 3)
    assert asyncio.run(awaited()) == ["i0", "i1", "i2"] == [hit["id"] for hit in shown["hits"]]
    assert [[hit["id"] for hit in one.raw["hits"]] for one in answers] == [["i0", "i1", "i2"]] * 2  # type: ignore[union-attr]


def test_failures_of_the_real_api_are_told_by_kind(shell: CloudShell) -> None:
    shell("collections", "create", "cli-empty", "--schema", json.dumps(VECTORS))

    for arguments, kind in (
        (["collections", "show", "nowhere"], "collection-not-found"),
        (["collections", "create", "cli-empty", "--schema", json.dumps(PICTURES)], "name-taken"),
        (["build", "-c", "cli-empty"], "nothing-to-build"),
        (["search", "-c", "cli-empty", "--filter", '{"nope": 1}'], "invalid-filter"),
        (["search", "-c", "cli-empty", "--match", '{"group": "a"}'], "invalid-match"),
    ):
        code, out, err = shell.run(*arguments, "--json")
        assert (code, out, json.loads(err)["error"]["kind"]) == (1, "", kind)


def test_the_installed_command_finds_the_cloud_of_its_folder(cloud: CloudStatus) -> None:
    command = [sys.executable, "-m", "shardlake.cli.main", "status", "--json", "--data-dir", str(cloud.data_dir)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHARDLAKE_")}

    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)

    assert json.loads(done.stdout) == {"url": cloud.url, "console": cloud.console, "endpoint": cloud.endpoint}
    assert done.stderr == ""


def test_what_was_given_up_is_taken_in_when_it_is_redriven(shell: CloudShell, cloud: CloudStatus) -> None:
    key = "inbox/cli-redriven/late.jsonl"
    body = json.dumps({"id": "a", "vectors": {"own": [1.0] * 16}})
    s3, sqs = emulator_client("s3", cloud.endpoint), emulator_client("sqs", cloud.endpoint)
    s3.put_object(Bucket=cloud.bucket, Key=key, Body=body.encode())  # no collection: told of, and never tried again
    refused = f"rejected/cli-redriven/{key.rpartition('/')[2]}"
    until(lambda: s3.list_objects_v2(Bucket=cloud.bucket, Prefix=refused)["KeyCount"])
    shell("collections", "create", "cli-redriven", "--schema", json.dumps(VECTORS))
    wrote = {"object": {"key": key, "sequencer": "0055AED6DCD90281E5"}, "bucket": {"name": cloud.bucket}}
    record = {"eventName": "ObjectCreated:Put", "eventTime": datetime.now(UTC).isoformat(), "s3": wrote}
    dead = cloud.outputs["InboxDeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"Records": [record]}))

    assert shell("redrive") == {"redriven": 1, "left": 0}

    until(lambda: shell("search", "--collection", "cli-redriven", "--k", 5)["hits"])
    assert shell("redrive") == {"redriven": 0, "left": 0}


def until(met: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Waits for what comes by itself."""
    give_up_at = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
