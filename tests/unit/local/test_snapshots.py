"""When the local cloud writes the emulator's state."""

from __future__ import annotations

import asyncio

import pytest

from shardlake.local.snapshots import Snapshots


def request(method: str, path: str = "/", target: bytes = b"") -> dict[str, object]:
    return {"type": "http", "method": method, "path": path, "headers": [(b"x-amz-target", target)]}


@pytest.mark.parametrize(
    ("scope", "saves"),
    [
        (request("POST", target=b"DynamoDB_20120810.PutItem"), 1),
        (request("PUT", "/bucket/key"), 1),
        (request("POST", target=b"DynamoDB_20120810.GetItem"), 0),
        (request("GET", "/bucket/key"), 0),
        (request("POST", "/2015-03-31/functions/router/invocations"), 0),
        ({"type": "lifespan"}, 0),
    ],
)
def test_only_what_may_change_the_state_is_followed_by_a_snapshot(scope: dict[str, object], saves: int) -> None:
    taken: list[int] = []
    snapshots = Snapshots(lambda: taken.append(1), period_s=0.001)
    snapshots.note(scope)

    asyncio.run(run_for_a_while(snapshots))

    assert len(taken) == saves


async def run_for_a_while(snapshots: Snapshots) -> None:
    running = asyncio.create_task(snapshots.run())
    for _ in range(20):
        await asyncio.sleep(0.001)
    running.cancel()
