"""Settings: every environment variable a function reads, with its default beside it.

`Settings.from_env(os.environ)` is called once a process, in each `handler.py` (or `cli`).
Nothing else reads the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from shardlake.errors import InvalidInput

PREFIX = "SHARDLAKE_"
GIVEN_BY_LAMBDA = {"memory_mb": "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "function_name": "AWS_LAMBDA_FUNCTION_NAME"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Field `x_y` is read from SHARDLAKE_X_Y. An empty variable counts as absent.

    `memory_mb` and `function_name` are what Lambda says of the function, and are read from Lambda's own variables.
    """

    bucket: str = ""
    catalog_table: str = ""
    shard_table: str = ""
    shard_search_function: str = ""
    encode_function: str = ""
    build_function: str = ""
    router_function: str = ""
    inbox_queue_url: str = ""
    code_version: str = "0.3.0"
    shard_cache_mb: int = 1024  # bytes of shards that one container of shard_search keeps open
    block_cache_mb: int = 2048  # bytes of blocks that it keeps on its disk; 0: none
    warm_up_mb: int = 512  # read of a shard in the background, after it answered cold; 0: no warm-ups
    encoders: str = "clip"  # comma separated; what the encode function loads
    models_dir: str = ""  # a folder of models beside the embedded one; empty: none
    build_part_rows: int = 100_000  # rows that one stage of a build holds at a time
    memory_mb: int = 0
    function_name: str = ""
    build_threads: int = 1  # of faiss in a build; more only where the cores are its own
    build_machine: str = ""  # the state machine for builds on many machines; empty: every build is one run
    distributed_rows: int = 0  # taken in, from which on builds go there by themselves; 0: only those asked to
    recall_sample_rate: float = 0.01  # of answered searches, that are repeated exactly to check their recall; 0: none

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads the settings. Raises InvalidInput when a number is not one."""
        values: dict[str, str | float] = {}
        for spec in fields(cls):
            text = env.get(_variable(spec.name), "")
            if not text:
                continue
            values[spec.name] = _READ[str(spec.type)](spec.name, text)
        return cls(**values)  # type: ignore[arg-type]  # each value has its field's type by the line above

    @classmethod
    def env_names(cls) -> tuple[str, ...]:
        """Returns the names of all variables that a deployment sets, for `infra` and its tests."""
        return tuple(_variable(spec.name) for spec in fields(cls) if spec.name not in GIVEN_BY_LAMBDA)


def _variable(name: str) -> str:
    return GIVEN_BY_LAMBDA.get(name, PREFIX + name.upper())


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise InvalidInput(f"the setting {name} must be a whole number", value=text) from exc


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError as exc:
        raise InvalidInput(f"the setting {name} must be a number from 0 to 1", value=text) from exc
    if not 0 <= share <= 1:
        raise InvalidInput(f"the setting {name} must be a number from 0 to 1", value=text)
    return share


_READ: dict[str, Callable[[str, str], str | float]] = {"int": _number, "float": _share, "str": lambda _, text: text}
