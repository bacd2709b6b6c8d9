"""What the build function does for each kind of event; each is one line of its log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from builder.stages import Stage
from functions.build.world import World, scratch
from shardlake.catalog.base import BuildState
from shardlake.contracts.build import Step
from shardlake.observability import Observer

observer = Observer("build")


def build(world: World, name: str, build_id: str, event: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Runs a build, or hands it over to the state machine: `distributed` and `attempt` of the event are about that."""
    with observer.invocation("build", request_id=request_id) as line:
        line.add(collection=name, build_id=build_id)
        asked, attempt = event.get("distributed"), str(event.get("attempt", ""))
        if world.steps.hand_over(name, build_id, distributed=asked, attempt=attempt):
            line.add(handed_over=True)
            return {"build_id": build_id, "handed_over": True}
        with scratch() as folder:
            row = world.builds.run(name, build_id, scratch=folder)
        line.add(state=row.state, version=row.version)
        if row.state is BuildState.DONE:
            line.add(objects_removed=world.builds.tidy())
        return {"build_id": build_id, "state": row.state, "version": row.version}


def step(world: World, asked: Step, request_id: str) -> dict[str, Any]:
    """Runs a step of a build; returns what the state machine goes on with."""
    with observer.invocation("step", request_id=request_id) as line:
        line.add(collection=asked.collection, build_id=asked.build_id, step=asked.step, number=asked.number)
        with scratch() as folder:
            outcome = dict(world.steps.run(asked, scratch=folder))
        if asked.step == Stage.COMMIT and not outcome["again"]:
            line.add(objects_removed=world.builds.tidy())
        return outcome


def compact(world: World, name: str, request_id: str) -> dict[str, Any]:
    """Merges pending segments of a collection."""
    with observer.invocation("compact", request_id=request_id) as line:
        fewer = world.builds.compact(name)
        line.add(collection=name, segments_fewer=fewer)
        return {"segments_fewer": fewer}


def collect(world: World, name: str | None, request_id: str) -> dict[str, Any]:
    """Removes garbage, that of one collection or of all."""
    with observer.invocation("collect", request_id=request_id) as line:
        collected = world.builds.collect(name)
        line.add(collection=name, objects_removed=collected.objects, bytes_removed=collected.bytes)
        return asdict(collected)
