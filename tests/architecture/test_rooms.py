"""Which room may know what. import-linter checks the ranks themselves; here stands that no room is without one."""

from __future__ import annotations

import ast

from tests.architecture.sources import EVERYTHING, ROOT, SHIPPED, imports, name_of, pyproject, python_files, tree

ADAPTERS = {
    "src/shardlake/store/s3.py",
    "src/shardlake/catalog/dynamo_errors.py",
    "src/shardlake/catalog/dynamodb.py",
    "src/shardlake/rpc/dead_letters.py",
    "src/shardlake/rpc/lambda_.py",
    "src/shardlake/rpc/step_functions.py",
    "src/shardlake/rpc/work_queue.py",
    "src/shardlake/foreign.py",
}
# Not rooms: the package itself, and the doubles, which stand beside the ranks.
WITHOUT_RANK = {"shardlake.testing"}


def _layers() -> list[str]:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    return next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def _ranked() -> set[str]:
    return {room.strip() for layer in _layers() for room in layer.replace("(", "").replace(")", "").split("|")}


def test_every_room_has_a_rank() -> None:
    inside = [
        path for path in (ROOT / "src/shardlake").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    rooms = {f"shardlake.{path.stem}" for path in inside if path.stem != "__init__"}
    rooms |= {
        folder for folder in SHIPPED if (ROOT / folder / "__init__.py").exists() and folder in {"functions", "builder"}
    }

    assert rooms - _ranked() == WITHOUT_RANK


def test_the_engine_stands_between_the_format_and_the_settings() -> None:
    layers = _layers()
    rank = {room.strip(): number for number, layer in enumerate(layers) for room in layer.split("|")}

    assert rank["shardlake.settings"] < rank["shardlake.engine"] < rank["shardlake.format"]


def test_aws_is_spoken_to_in_adapters_only() -> None:
    words = {"boto3", "botocore", "aioboto3", "aiobotocore"}
    speakers = {
        name_of(path)
        for path in python_files("src/shardlake", "functions", "builder")
        if words & {name.split(".")[0] for name in imports(path)}
    }

    assert {path for path in speakers - ADAPTERS if not path.startswith("src/shardlake/local/")} == set()


def test_the_environment_is_read_where_a_process_is_composed_and_nowhere_else() -> None:
    readers = {
        name_of(path)
        for path in python_files("src/shardlake", "functions", "builder")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }

    allowed = ("handler.py", "server.py", "functions/build/batch.py")
    assert {
        r
        for r in readers
        if not r.endswith(allowed) and not r.startswith(("src/shardlake/cli/", "src/shardlake/local/"))
    } == set()


def test_nothing_is_mocked() -> None:
    mockers = {
        name_of(p)
        for p in python_files(*EVERYTHING)
        if any(n.startswith(("unittest.mock", "mock.")) for n in imports(p))
    }

    assert mockers == set()


def test_a_function_is_composed_in_a_handler_of_few_lines() -> None:
    handlers = [path for path in python_files("functions") if path.name == "handler.py"]
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in handlers}

    assert {name: count for name, count in lines.items() if count > 80} == {}
