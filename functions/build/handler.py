"""The build function: builds and steps of them, compaction, garbage, traces. Composes once a process and translates."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from functions.build import tracing, work
from functions.build.world import World, composed
from shardlake.contracts.build import step_of
from shardlake.contracts.trace import TRACE
from shardlake.errors import InvalidInput
from shardlake.settings import Settings
from shardlake.types import LambdaContext


@cache
def world() -> World:
    """Returns what this process works with."""
    return composed(Settings.from_env(os.environ))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Does what the event says:

        {"collection", "build_id"}         runs that build, or hands it over to the state machine, where it is large or
                                           `distributed` says so; its outcome stands in the catalog
        {"collection", "build_id", "step"} a step of it, for the state machine
        {"collection", "compact": true}    merges its pending segments
        {"collect": true}                  removes garbage, that of one collection where the event names one
        {"collection", "trace": id}        tells where that item lies, a page of objects behind the key "after"

    A transient failure of a job is raised, so that Lambda's asynchronous retry, or the machine's, starts it again: it
    finds what stands.
    """
    name, build_id, request_id = event.get("collection"), event.get("build_id"), context.aws_request_id
    if "step" in event:
        return work.step(world(), step_of(event), request_id)
    if isinstance(name, str) and isinstance(build_id, str):
        return work.build(world(), name, build_id, event, request_id)
    if isinstance(name, str) and event.get("compact") is True:
        return work.compact(world(), name, request_id)
    if isinstance(name, str) and TRACE in event:
        return tracing.respond(event, lambda: world().builds, observer=work.observer, request_id=request_id)
    if event.get("collect") is True and (name is None or isinstance(name, str)):
        return work.collect(world(), name, request_id)
    raise InvalidInput("the event names no build, no step, no compaction, no collection of garbage and no trace")
