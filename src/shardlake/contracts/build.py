"""Builds: the request that starts one, and the steps of one that many machines do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from shardlake.contracts.common import StrictModel, validated
from shardlake.limits import MAX_NAME_LENGTH

MAX_BUILD_ID_CHARS = 64


class BuildModel(StrictModel):
    """The body of POST …/builds; none is as {}.

    `distributed`: its steps run on many machines, or in one run; absent, the deployment decides by how much was taken
    in. `retry`: the id of a build that has failed: it goes on where it stopped, under its own id.
    """

    distributed: bool | None = None
    retry: Annotated[str, Field(min_length=1, max_length=MAX_BUILD_ID_CHARS)] | None = None


class StepModel(StrictModel):
    """A step's event; see `Step`."""

    collection: Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
    build_id: Annotated[str, Field(max_length=MAX_BUILD_ID_CHARS)]
    step: Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
    number: int = 0
    again: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A piece of a build, as the state machine asks for it.

    Attributes:
        step: a stage of the build; `numbers` counts parts and shards; `failed` says that the machine gives up.
        number: of the part or shard, where the stage has any.
        again: whether this is the second time for a build that lost to another one.
        error: with `failed`, the machine's name for what happened.
    """

    collection: str
    build_id: str
    step: str
    number: int = 0
    again: bool = False
    error: str = ""


def step_of(event: dict[str, Any]) -> Step:
    """Returns the step that an event asks for. Raises InvalidInput where it asks for none."""
    return Step(**validated(StepModel, event).model_dump())
