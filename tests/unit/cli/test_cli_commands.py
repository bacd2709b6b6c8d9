from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shardlake.cli import showing
from tests.unit.cli.conftest import FakeCloud, Shell
from tests.unit.fake_api import BASE, SCHEMA, FakeApi, answer, error, hit


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("test/hat/1.jpg", "test/hat/2.jpg", "train/boot/3.PNG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "test/hat/1.jpg.json").write_text('{"attributes": {"price": 3, "category": "cap"}}')
    (folder / "notes.txt").write_text("no item")
    (folder / ".hidden.jpg").write_text("no item")
    return folder


def test_the_url_of_the_environment_wins_and_its_token_goes_along(shell: Shell) -> None:
    shell.env["SHARDLAKE_TOKEN"] = "secret"

    assert shell("collections", "list", "--data-dir", "elsewhere").code == 0
    assert shell.asked == [(BASE, "secret")]


@pytest.mark.parametrize("how", ["option", "variable", "default"])
def test_without_a_url_the_local_cloud_of_the_data_folder_is_asked(shell: Shell, cloud: FakeCloud, how: str) -> None:
    folder = Path(".shardlake" if how == "default" else "data")
    cloud.up(folder, None, progress=lambda _text: None, models_dir=None)
    shell.env = {"SHARDLAKE_DATA_DIR": "data"} if how == "variable" else {}

    assert shell("collections", "list", *(["--data-dir", "data"] if how == "option" else [])).code == 0


def test_without_a_url_and_a_local_cloud_the_failure_says_what_to_do(shell: Shell) -> None:
    shell.env = {}

    result = shell("search", "--text", "a")

    assert result.code == 1
    assert result.err.startswith("error: api-unreachable: ")
    assert "shardlake up" in result.err
    assert result.out == ""


def test_up_status_and_down_agree(shell: Shell, tmp_path: Path) -> None:
    addresses = {"url": BASE, "console": f"{BASE}/", "endpoint": BASE}
    at = ("--data-dir", tmp_path, "--json")

    assert shell("up", *at, "--port", 0).json == addresses
    assert shell("status", *at).json == addresses
    assert shell("down", *at).json == {"stopped": True}
    assert shell("down", *at).json == {"stopped": False}
    assert shell("status", *at).error["kind"] == "api-unreachable"


def test_open_prints_the_console_of_whatever_is_talked_to(shell: Shell, cloud: FakeCloud) -> None:
    assert shell("open").out.strip() == f"{BASE}/"
    shell.env = {}
    cloud.up(Path(".shardlake"), None, progress=lambda _text: None, models_dir=None)
    assert shell("open", "--json").json == {"console": f"{BASE}/"}


def test_a_collection_is_created_listed_shown_and_dropped(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))

    assert "created" in shell("collections", "create", "new", "--file", file).out
    assert "stood already" in shell("collections", "create", "new", "--schema", json.dumps(SCHEMA)).out
    assert [one["name"] for one in shell("collections", "list", "--json").json["collections"]] == ["c", "new"]
    assert shell("collections", "show", "new", "--json").json["schema"] == SCHEMA
    assert "clip" in shell("collections", "show", "new").out
    timed = {**SCHEMA, "attributes": {"ends": {"type": "datetime"}}, "ttl": "ends"}
    assert shell("collections", "create", "timed", "--schema", json.dumps(timed)).code == 0
    assert '"ttl": "ends"' in shell("collections", "show", "timed").out
    assert shell("collections", "drop", "new").code == 0
    assert shell("collections", "show", "new", "--json").error["kind"] == "collection-not-found"


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ([], "invalid-request"),
        (["--schema", "{}", "--file", "x.json"], "invalid-request"),
        (["--file", "absent.json"], "invalid-file"),
        (["--schema", "{"], "invalid-json"),
        (["--schema", "[]"], "invalid-collection"),
    ],
)
def test_a_schema_that_cannot_be_read_is_refused_here(shell: Shell, options: list[str], kind: str) -> None:
    result = shell("collections", "create", "new", *options, "--json")

    assert (result.code, result.error["kind"]) == (1, kind)


def test_a_search_shows_hits_and_what_they_cost(shell: Shell, api: FakeApi) -> None:
    api.hits = [hit("boot-1", 0.93, colour="red", tags=["a", "b"], note="[bold]x[/bold]"), hit("boot-2", 0.5)]

    out = shell("search", "--text", "red boots").out

    for shown in ("boot-1", "0.9300", "red", "a, b", "[bold]x[/bold]", "2 hits in 21 ms", "2 of 2 shards"):
        assert shown in out


def test_a_search_says_everything_that_it_was_told(shell: Shell, api: FakeApi, tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(b"p")

    shell(
        *("search", "-c", "c", "--text", "a", "--image", picture, "--filter", '{"price": {"$lte": 3}}', "--k", 4),
        *("--recall", 1, "--timeout-ms", 900, "--require-complete", "--explain", "--match", '{"title": "b"}'),
    )

    assert api.body() == {
        "query": {"text": "a", "image": {"base64": "cA=="}},
        "filter": {"price": {"$lte": 3}},
        "match": {"title": "b"},
        "k": 4,
        "recall": 1.0,
        "timeout_ms": 900,
        "require_complete": True,
        "explain": True,
    }


def test_a_search_says_how_its_hits_shall_be_shaped(shell: Shell, api: FakeApi) -> None:
    shell(
        *("search", "--match", 'title=red "leather boots"', "--match", '{"note": "a=b"}', "--fusion", "rrf"),
        *("--rank", "score + stock", "--group-by", "brand:2", "--facet", "brand", "--facet", "price:5"),
        *("--like", "a", "--like", "b", "--unlike", "c", "--cursor", "xyz", "--diversity", 0.5),
    )

    assert api.body() == {
        "query": {"like": ["a", "b"], "unlike": ["c"]},
        "match": {"title": 'red "leather boots"', "note": "a=b"},
        "fusion": "rrf",
        "rank": "score + stock",
        "group_by": {"attribute": "brand", "size": 2},
        "facets": ["brand", {"attribute": "price", "bins": 5}],
        "cursor": "xyz",
        "diversity": 0.5,
    }
    shell("search", "--group-by", "brand")
    assert api.body() == {"group_by": {"attribute": "brand"}}


@pytest.mark.parametrize("option", ["--group-by", "--facet"])
def test_behind_a_colon_stands_a_number(shell: Shell, api: FakeApi, option: str) -> None:
    assert shell("search", option, "brand:many", "--json").error["kind"] == "invalid-request"
    assert api.seen == []


def test_facets_scores_and_groups_are_shown(shell: Shell, api: FakeApi) -> None:
    hits = [{**hit("boot-1", 0.7, colour="red"), "scores": {"visual": 0.6, "match": 7.25}, "group": "acme"}]
    bins = [{"from": 0.5, "to": 10.0, "count": 1}, {"from": 10.0, "to": 20.0, "count": 1234}]
    stats = {"price": {"count": 1235, "min": 0.5, "max": 20.0, "avg": 11.5}}
    shaped = {"facets": {"[b]": {"acme": 3, "bolt": 1}, "price": bins, "none": {}}, "facet_stats": stats}
    plain = api._search()
    api.before = lambda request: (
        answer(200, plain | shaped | {"hits": hits, "cursor": "xyz"}) if "search" in request.url.path else None
    )

    out = shell("search", "--text", "a").out

    for shown in ("visual", "7.2500", "group", "acme", "[b]", "0.5 to 10", "1,234", "avg 11.5", "none: no values"):
        assert shown in out
    assert "--cursor xyz" in out


@pytest.mark.parametrize("form", ["bare", "by-space", "npy"])
def test_a_vector_comes_from_a_file(shell: Shell, api: FakeApi, tmp_path: Path, form: str) -> None:
    path = tmp_path / ("v.npy" if form == "npy" else "v.json")
    if form == "npy":
        np.save(path, np.array([1.0, 2.0], dtype=np.float32))
    else:
        path.write_text("[1.0, 2.0]" if form == "bare" else '{"visual": [1.0, 2.0]}')

    assert shell("search", "--vector", path).code == 0
    assert api.body() == {"query": {"vector": {"visual": [1.0, 2.0]}}}


@pytest.mark.parametrize("content", ["{", '"text"', "3"])
def test_a_file_without_a_vector_is_refused(shell: Shell, tmp_path: Path, content: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(content)

    assert shell("search", "--vector", path, "--json").error["kind"] == "invalid-vector"


def test_a_partial_answer_names_the_shard_that_failed(shell: Shell, api: FakeApi) -> None:
    failed = [{"shard": 3, "kind": "function-unavailable", "retryable": True}]
    shards = {"requested": 2, "searched": 1, "failed": failed}
    api.before = lambda request: (
        answer(200, {"hits": [], "partial": True, "version": "1", "shards": shards})
        if "search" in request.url.path
        else None
    )

    out = shell("search", "--text", "a").out

    assert "no item passes" in out
    assert "shard 3 did not answer (function-unavailable" in out


def test_json_of_a_search_is_the_answer_of_the_api(shell: Shell, api: FakeApi) -> None:
    api.hits = [hit("a", 0.9)]

    result = shell("search", "--text", "a", "--json")

    assert result.json["hits"] == api.hits
    assert result.json["shards"] == {"requested": 2, "searched": 2, "failed": []}
    assert result.err == ""


def test_the_collection_may_be_left_out_only_where_there_is_one(shell: Shell, api: FakeApi) -> None:
    api.collections["d"] = {"name": "d"}
    assert shell("search", "--text", "a", "--json").error["details"] == {"collections": ["c", "d"]}
    api.collections.clear()
    assert shell("search", "--text", "a", "--json").error["kind"] == "collection-not-found"


def test_a_folder_of_pictures_goes_in_with_what_its_folders_say(shell: Shell, api: FakeApi, pictures: Path) -> None:
    result = shell("ingest", pictures, "--path-attributes", "split,category", "--json")

    assert result.json["accepted"] == 3
    assert result.json["skipped"] == ["notes.txt"]
    sidecars = {key: json.loads(body)["attributes"] for key, body in api.objects.items() if key.endswith(".json")}
    assert sidecars == {
        "inbox/c/test/hat/1.jpg.json": {"split": "test", "category": "cap", "price": 3},
        "inbox/c/test/hat/2.jpg.json": {"split": "test", "category": "hat"},
        "inbox/c/train/boot/3.PNG.json": {"split": "train", "category": "boot"},
    }


@pytest.mark.parametrize(
    "sidecar", ['{"price": 3}', '{"attributes": {"price": 3}}', '{"vectors": {"visual": [1]}}', "{}"]
)
def test_a_sidecar_is_attributes_or_an_item_and_what_it_says_stays(
    shell: Shell, api: FakeApi, pictures: Path, sidecar: str
) -> None:
    (pictures / "test/hat/1.jpg.json").write_text(sidecar)

    shell("ingest", pictures, "--path-attributes", "split")

    sent = json.loads(api.objects["inbox/c/test/hat/1.jpg.json"])
    said = json.loads(sidecar)
    assert sent["attributes"] == {"split": "test"} | said.get("attributes", {"price": 3} if "price" in said else {})
    assert sent.get("vectors") == said.get("vectors")


@pytest.mark.parametrize("sidecar", ["{", "[]", '{"attributes": 3}', " " * 200_000])
def test_a_sidecar_that_is_none_is_refused_by_name(shell: Shell, pictures: Path, sidecar: str) -> None:
    (pictures / "test/hat/1.jpg.json").write_text(sidecar)

    error = shell("ingest", pictures, "--path-attributes", "split", "--json").error

    assert error["kind"] == "invalid-file"
    assert error["details"]["path"].endswith("test/hat/1.jpg.json")


def test_without_path_attributes_only_sidecars_that_stand_go_along(shell: Shell, api: FakeApi, pictures: Path) -> None:
    shell("ingest", pictures)

    assert [key for key in api.objects if key.endswith(".json")] == ["inbox/c/test/hat/1.jpg.json"]


def test_ingest_says_what_was_refused_and_where_it_lies(shell: Shell, api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "films.jsonl").write_text("{}\n")
    api.ingest = lambda _key, _body: {"accepted": 5, "rejected": 2}

    result = shell("ingest", tmp_path / "films.jsonl")

    assert result.code == 0
    assert "5 items taken in, 2 refused" in result.out
    assert "rejected/c/films.jsonl-" in result.err


def test_a_file_that_cannot_be_taken_in_fails_the_command_after_the_others_are_in(
    shell: Shell, api: FakeApi, tmp_path: Path
) -> None:
    for name in ("a.parquet", "b.jsonl"):
        (tmp_path / name).write_text("x")
    bad = {"state": "failed", "accepted": 0, "error": "not a parquet file"}
    api.ingest = lambda key, _body: bad if "parquet" in key else {"accepted": 1, "rejected": 0}

    result = shell("ingest", tmp_path, "--json")

    assert (result.code, result.json["accepted"]) == (1, 1)
    assert result.error["details"]["files"] == [{"file": "a.parquet", "error": "not a parquet file"}]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("absent.jsonl", "invalid-file"), ("a.txt", "invalid-file"), ("a.mp3", "not-implemented"), (".", "invalid-file")],
)
def test_what_cannot_be_taken_in_is_refused_by_name(shell: Shell, tmp_path: Path, name: str, kind: str) -> None:
    if name not in {"absent.jsonl", "."}:
        (tmp_path / name).write_text("x")

    result = shell("ingest", tmp_path / name, "--json")

    assert (result.code, result.error["kind"]) == (1, kind)


def test_a_picture_in_too_few_folders_is_refused(shell: Shell, pictures: Path) -> None:
    result = shell("ingest", pictures / "test", "--path-attributes", "split,category", "--json")

    assert result.error["details"] == {"name": "hat/1.jpg"}


def test_two_files_of_one_name_are_refused(shell: Shell, pictures: Path) -> None:
    result = shell("ingest", pictures / "test/hat", pictures / "test/hat/1.jpg", "--json")

    assert result.error["details"]["name"] == "1.jpg"


def test_a_build_is_followed_and_ingest_can_build_afterwards(shell: Shell, api: FakeApi, tmp_path: Path) -> None:
    api.builds["build-1"] = [{"build_id": "build-1", "state": "done", "progress": 1.0, "version": "000002-bb"}]
    (tmp_path / "a.jsonl").write_text("{}\n")

    assert "000002-bb" in shell("build").out
    assert shell("build", "--json").json["version"] == "000002-bb"
    assert shell("ingest", tmp_path, "--build", "--json").json["build"]["version"] == "000002-bb"
    assert shell("build", "--no-wait", "--json").json["state"] == "queued"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], {}),
        (["--distributed"], {"distributed": True}),
        (["--in-one-run"], {"distributed": False}),
        (["--retry", "build-1"], {"retry": "build-1"}),
    ],
)
def test_a_build_is_asked_for_where_and_what_was_said(
    shell: Shell, api: FakeApi, words: list[str], asked: dict[str, object]
) -> None:
    shell("build", "--no-wait", *words)

    assert json.loads(api.seen[-1].content) == asked


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_build_that_failed_fails_the_command_with_its_own_kind(shell: Shell, api: FakeApi, wrapped: bool) -> None:
    why = {"kind": "store-unavailable", "message": "gone", "details": {"key": "k"}}
    state = {"build_id": "build-1", "state": "failed", "progress": 0.5}
    api.builds["build-1"] = [state | {"error": {"error": why} if wrapped else why}]

    assert shell("build", "--json").error == why


def test_versions_are_listed_with_the_current_one(shell: Shell) -> None:
    assert "← current" in shell("versions").out
    assert shell("versions", "--json").json["versions"] == [{"version": "000001-aa", "rows": 3, "is_current": True}]


def test_a_rollback_says_what_is_current_now(shell: Shell) -> None:
    assert shell("rollback", "000001-aa").out == "version 000001-aa is current: 3 items\n"
    assert shell("rollback", "000001-aa", "--json").json == {"version": "000001-aa", "rows": 3}
    refused = shell("rollback", "000009-aa", "--json")
    assert (refused.code, refused.error["kind"]) == (1, "version-not-found")


def test_aliases_are_set_listed_and_dropped(shell: Shell) -> None:
    assert "no aliases yet" in shell("aliases", "list").out

    assert shell("aliases", "set", "live", "000001-aa", "-c", "c").out == "c@live is version 000001-aa\n"
    assert shell("aliases", "set", "best", "--json").json["version"] == "000001-aa"

    assert [one["alias"] for one in shell("aliases", "list", "--json").json["aliases"]] == ["best", "live"]
    assert "000001-aa" in shell("aliases", "list").out
    assert shell("aliases", "drop", "live", "--json").json == {"dropped": "live"}
    refused = shell("aliases", "drop", "live", "--json")
    assert (refused.code, refused.error["kind"]) == (1, "alias-not-found")


def test_bench_reports_percentiles_and_what_they_are_of(shell: Shell) -> None:
    result = shell("bench", "--queries", 7, "--json").json

    assert result["queries"] == 7
    assert result["took_ms"] == {"p50": 21, "p90": 21, "p99": 21, "max": 21}
    assert "recall is not measured" in result["note"]
    assert "p90" in shell("bench", "--queries", 1).out


def test_a_collection_never_built_says_so_and_is_not_timed(shell: Shell, api: FakeApi) -> None:
    api.version = None

    assert "shardlake ingest" in shell("search", "--text", "a").out
    assert shell("bench", "--json").error["kind"] == "version-not-found"


@pytest.mark.parametrize(
    "command",
    [
        ["cost"],
        ["deploy"],
        ["destroy"],
        ["token", "--claims", "{}"],
        ["up", "--require-token"],
    ],
)
def test_what_this_release_does_not_serve_says_so(shell: Shell, command: list[str]) -> None:
    result = shell(*command, "--json")

    assert (result.code, result.error["kind"]) == (1, "not-implemented")
    assert shell(*command).err.startswith("error: not-implemented: ")


def test_an_error_of_the_api_is_told_with_its_details(shell: Shell, api: FakeApi) -> None:
    api.before = lambda request: (
        error(400, "invalid-filter", "no such operator", place="filter.price.$lt3")
        if "search" in str(request.url)
        else None
    )

    assert shell("search", "--filter", "{}").err == (
        "error: invalid-filter: no such operator\n"
        "  place: filter.price.$lt3\n"
        """  → filters are JSON such as '{"price": {"$lte": 100}}'\n"""
    )
    assert shell("search", "--filter", "{}", "--json").error == {
        "kind": "invalid-filter",
        "message": "no such operator",
        "details": {"place": "filter.price.$lt3"},
    }


def test_a_kind_of_a_newer_server_is_told_by_its_own_name(shell: Shell, api: FakeApi) -> None:
    api.before = lambda _request: error(403, "quota-spent", "no more", left=0)

    assert shell("collections", "list", "--json").error == {
        "kind": "quota-spent",
        "message": "no more",
        "details": {"left": 0},
    }
    assert shell("collections", "list").err.startswith("error: quota-spent: no more")


@pytest.mark.parametrize("option", ["--filter", "--match"])
@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_json_options_are_json_objects(shell: Shell, api: FakeApi, option: str, text: str) -> None:
    assert shell("search", option, text).code == 1
    assert api.seen == []


@pytest.mark.parametrize("arguments", [["nonsense"], ["search", "--nonsense"], ["search", "--k", "many"], ["ingest"]])
def test_what_is_not_understood_is_exit_code_two(shell: Shell, arguments: list[str]) -> None:
    plain, machine = shell(*arguments), shell(*arguments, "--json")

    assert (plain.code, machine.code) == (2, 2)
    assert plain.err.startswith("error: invalid-request: ")
    assert machine.error["kind"] == "invalid-request"
    assert plain.out == machine.out == ""


def test_a_bug_of_ours_is_one_sentence_and_no_trace(shell: Shell, api: FakeApi) -> None:
    def broken(_request: object) -> None:
        raise ZeroDivisionError("by nothing")

    api.before = broken  # type: ignore[assignment]

    result = shell("collections", "list")

    assert result.code == 1
    assert result.err.startswith("error: internal: ZeroDivisionError")
    assert "Traceback" not in result.err
    shell.env["SHARDLAKE_TRACE"] = "1"
    assert "Traceback" in shell("collections", "list").err


def test_nothing_moves_where_nobody_watches(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")

    assert "\x1b" not in shell("ingest", tmp_path).err
    assert shell("ingest", tmp_path).err == ""


def test_the_demo_names_a_command_that_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    script = tmp_path / ".venv" / "bin" / "shardlake"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(script.with_name("python")))

    assert showing.program() == ".venv/bin/shardlake"

    monkeypatch.setenv("PATH", str(script.parent))
    assert showing.program() == "shardlake"
