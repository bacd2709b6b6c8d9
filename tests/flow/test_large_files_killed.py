"""Work on a large file that is killed between any two of its effects, or whose reply is lost, and delivered again."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import replace

import orjson
import pytest

from functions.ingest import service as ingest_service
from shardlake import limits
from shardlake.catalog.base import ReceiptState
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, ShardlakeError, Unavailable
from shardlake.rpc.base import WorkQueue
from tests.fuses import Fuse, FusedCatalog, FusedStore, Killed
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
LINES = 14
EXPECTED = {f"i{n:02d}": n for n in range(LINES)}
BODY = b"".join(
    orjson.dumps(
        {"id": f"i{n:02d}", "attributes": {"price": n}, "vectors": {"v": [n + 1, 1, 0, 0]}},
        option=orjson.OPT_APPEND_NEWLINE,
    )
    for n in range(LINES)
)


class _FusedQueue:
    """A queue that breaks before or after a message is sent."""

    def __init__(self, inner: WorkQueue, before: Fuse, after: Fuse) -> None:
        self._inner, self._before, self._after = inner, before, after

    def send(self, bodies: Sequence[str]) -> None:
        self._before.tick("send")
        self._inner.send(bodies)
        self._after.tick("send")


def _lost() -> ShardlakeError:
    return Unavailable("the reply was lost", kind=ErrorKind.CATALOG_UNAVAILABLE)


def _run(kind: str, before: Fuse, after: Fuse) -> SmallWorld:
    """Takes a file in with workers of which one breaks; what was not done is delivered again, until nothing waits."""
    world = SmallWorld()
    world.create(NAME, VECTORS)
    body = gzip.compress(BODY) if kind.endswith("gz") else BODY
    (record,) = world.drop(f"inbox/{NAME}/a.{kind}", body)["Records"]
    waiting = [record["body"]]
    while waiting:
        message = waiting.pop(0)
        fused = replace(
            world.ingest,
            store=FusedStore(world.objects, before, after),
            catalog=FusedCatalog(world.catalog, before, after),
            queue=_FusedQueue(world.queue, before, after),
            _logs=[],
        )
        try:
            reply = ingest_service.take_batch(
                world.message(message),
                lambda fused=fused: fused,
                observer=world.observer,
                request_id="r",
                deadline=Deadline.after(60_000, clock=world.clock),
            )
            again = bool(reply["batchItemFailures"])
        except Killed:
            again = True
        # Where a worker was killed, others are first.
        sent, world.queue.waiting = world.queue.waiting, []
        waiting = [*waiting, *sent, *([message] if again else [])]
    return world


def _fuses(calls: int, error: type[BaseException] | object) -> Iterator[tuple[Fuse, Fuse]]:
    for at in range(calls):
        yield Fuse(at, error), Fuse(None, error)  # type: ignore[arg-type]  # a class of errors makes one, as a function does
        yield Fuse(None, error), Fuse(at, error)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [Killed, _lost], ids=["killed", "failed"])
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz"])
def test_a_large_file_stands_once_whoever_is_killed_at_whatever_point(
    kind: str, error: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, bound in {
        "WHOLE_FILE_BYTES": 50,
        "WHOLE_PACKED_FILE_BYTES": 50,
        "PART_LINES": 5,
        "MAX_SEGMENT_ROWS": 3,
    }.items():
        monkeypatch.setattr(limits, name, bound)
    monkeypatch.setattr("functions.ingest.parts.PARTS_AT_ONCE", 2)
    counter = Fuse(None, Killed)
    whole = _run(kind, counter, Fuse(None, Killed))
    segments = len(whole.catalog.segments(whole.catalog.get_collection(NAME).uid))
    assert segments == 6
    assert counter.calls >= 40

    for before, after in _fuses(counter.calls, error):
        world = _run(kind, before, after)

        uid = world.catalog.get_collection(NAME).uid
        answer = world.call("POST", f"/v1/collections/{NAME}/search", {"k": 100})
        found = {hit["id"]: hit["attributes"]["price"] for hit in answer.json["hits"]}
        assert found == EXPECTED
        assert sum(row.rows for row in world.catalog.segments(uid)) == LINES, "an item is doubled"
        key = f"inbox/{NAME}/a.{kind}"
        receipt = world.catalog.receipts(uid, [key])[key]
        assert (receipt.state, receipt.accepted, receipt.rejected) == (ReceiptState.DONE, LINES, 0)
