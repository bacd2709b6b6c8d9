"""Sends files into a collection's inbox and follows what becomes of them.

Files go straight to the object store through presigned URLs, in windows: tickets, then sidecars, then files (whoever
takes a picture in reads its sidecar, so that must stand before). Take-in is polled while later windows are being sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from shardlake.client.answers import parsed
from shardlake.client.failures import malformed
from shardlake.client.flows import Exchange, FileBody, Flow, pause, persist, send, together
from shardlake.errors import DeadlineExceeded
from shardlake.format import locations

SIDECAR_SUFFIX = ".json"
WINDOW_FILES = 250  # with a sidecar each, the 500 names that one request may hold
STATUS_KEYS = 500
PARALLEL_PUTS = 8
PUT_TIMEOUT_S = 600.0
FIRST_POLL_S = 0.1
LONGEST_POLL_S = 1.0
DEFAULT_WAIT_S = 3600.0
HASH_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file to send. `name` is its key below the collection; `sidecar` the JSON bytes that stand beside a picture."""

    name: str
    source: Path | bytes
    sidecar: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of one file: `error` says why it failed as a whole."""

    name: str
    accepted: int
    rejected: int
    etag: str
    error: str | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReport:
    """What became of all files."""

    files: tuple[FileOutcome, ...]

    @property
    def accepted(self) -> int:
        """Items taken in."""
        return sum(one.accepted for one in self.files)

    @property
    def rejected(self) -> int:
        """Items refused; their lines are under rejected/ in the bucket."""
        return sum(one.rejected for one in self.files)

    @property
    def failed(self) -> tuple[FileOutcome, ...]:
        """Files that could not be read at all."""
        return tuple(one for one in self.files if one.error is not None)

    @property
    def unchanged(self) -> int:
        """Files that had been taken in before, byte for byte, and were not sent again."""
        return sum(one.unchanged for one in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """Told as an upload goes on: bytes that left (from any thread), files sent, files taken in."""

    on_bytes: Callable[[int], None] = field(default=lambda _count: None)
    on_sent: Callable[[int], None] = field(default=lambda _count: None)
    on_taken: Callable[[int], None] = field(default=lambda _count: None)


def upload(
    base: str,
    files: Sequence[LocalFile],
    *,
    progress: UploadProgress | None = None,
    parallel: int = PARALLEL_PUTS,
    wait_s: float = DEFAULT_WAIT_S,
) -> Flow[UploadReport]:
    """Sends files into the collection and waits until each has been taken in.

    A file that was taken in before, byte for byte, it and its sidecar, is not sent again.

    Args:
        files: names must differ; they become keys below the collection.
        progress: told how far it is.
        parallel: how many files travel at a time.
        wait_s: how long to wait after the last file was sent.

    Raises:
        DeadlineExceeded: some files were not taken in within `wait_s`; they will be, later.
    """
    told = progress or UploadProgress()
    following = _Following(base=base, told=told)
    for window in _windows(files):
        fresh = yield from _not_there_yet(following, window)
        yield from _send_window(following, fresh, parallel)
        yield from following.poll()
    yield from _wait(following, wait_s)
    return UploadReport(files=tuple(following.outcomes[one.name] for one in files))


@dataclass(slots=True, kw_only=True)
class _Awaited:
    """A file on its way: the etags whose receipts are still to come (its own, its sidecar's), and its own receipt."""

    name: str
    key: str
    etags: dict[str, str]
    receipt: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Following:
    """Which files are on their way, and what became of the others."""

    base: str
    told: UploadProgress
    pending: dict[str, _Awaited] = field(default_factory=dict)  # by key, in the order sent
    outcomes: dict[str, FileOutcome] = field(default_factory=dict)

    def expect(self, awaited: _Awaited) -> None:
        """Begins to wait for a file."""
        for key in awaited.etags:
            self.pending[key] = awaited

    def settle(self, name: str, receipt: dict[str, Any], *, unchanged: bool) -> None:
        """Notes what a receipt says of a file."""
        self.outcomes[name] = FileOutcome(
            name=name,
            accepted=receipt.get("accepted", 0),
            rejected=receipt.get("rejected", 0),
            etag=_bare(receipt["etag"]),
            error=str(receipt.get("error") or "no reason given") if receipt["state"] == "failed" else None,
            unchanged=unchanged,
        )
        self.told.on_taken(1)

    def poll(self) -> Flow[None]:
        """Asks once after the oldest files on their way: they were sent first, so they are done first."""
        keys = list(islice(self.pending, STATUS_KEYS))
        if not keys:
            return
        receipts = yield from _receipts(self.base, keys)
        for key, receipt in receipts.items():
            self._note(key, receipt)

    def _note(self, key: str, receipt: dict[str, Any]) -> None:
        awaited = self.pending[key]
        if _bare(receipt["etag"]) != awaited.etags[key]:
            return
        del self.pending[key], awaited.etags[key]
        if key == awaited.key:
            awaited.receipt = receipt
        if not awaited.etags:
            self.settle(awaited.name, awaited.receipt, unchanged=False)


def _windows(files: Sequence[LocalFile]) -> Iterator[Sequence[LocalFile]]:
    for start in range(0, len(files), WINDOW_FILES):
        yield files[start : start + WINDOW_FILES]


def _not_there_yet(following: _Following, window: Sequence[LocalFile]) -> Flow[list[LocalFile]]:
    keys = [_key(following.base, name) for one in window for name in _names(one)]
    receipts = yield from _receipts(following.base, keys)
    fresh = []
    for one in window:
        own = [receipts.get(_key(following.base, name)) for name in _names(one)]
        bodies = [one.source, *([one.sidecar] if one.sidecar is not None else [])]
        if all(_is_taken_in(receipt, body) for receipt, body in zip(own, bodies, strict=True)):
            following.settle(one.name, own[0] or {}, unchanged=True)
            following.told.on_bytes(FileBody(source=one.source).size())
            following.told.on_sent(1)
        else:
            fresh.append(one)
    return fresh


def _names(one: LocalFile) -> list[str]:
    return [one.name, *([one.name + SIDECAR_SUFFIX] if one.sidecar is not None else [])]


def _is_taken_in(receipt: dict[str, Any] | None, body: Path | bytes) -> bool:
    return receipt is not None and receipt["state"] == "done" and _bare(receipt["etag"]) == _md5(body)


def _send_window(following: _Following, window: Sequence[LocalFile], parallel: int) -> Flow[None]:
    told = following.told
    sidecars = [(one.name + SIDECAR_SUFFIX, FileBody(source=one.sidecar)) for one in window if one.sidecar is not None]
    files = [(one.name, FileBody(source=one.source, on_bytes=told.on_bytes)) for one in window]
    if not files:
        return
    tickets = yield from _tickets(following.base, [(name, body.size()) for name, body in sidecars + files])
    etags: dict[str, str] = {}
    for group, on_done in ((sidecars, None), (files, lambda: told.on_sent(1))):
        puts = [_put(tickets[name]["url"], body) for name, body in group]
        answered = yield from together(puts, limit=parallel, on_done=on_done)
        etags |= {name: etag for (name, _), etag in zip(group, answered, strict=True)}
    for one in window:
        awaited = {tickets[name]["key"]: etags[name] for name in _names(one)}
        following.expect(_Awaited(name=one.name, key=tickets[one.name]["key"], etags=awaited))


def _wait(following: _Following, wait_s: float) -> Flow[None]:
    waited, step_s = 0.0, FIRST_POLL_S
    while following.pending:
        before = len(following.pending)
        yield from following.poll()
        if len(following.pending) == before:
            if waited >= wait_s:
                raise DeadlineExceeded(
                    "files were sent and not yet taken in; they will be, later",
                    pending=before,
                    waited_s=round(waited, 1),
                )
            yield from pause(step_s)
            waited, step_s = waited + step_s, min(LONGEST_POLL_S, step_s * 1.5)
        else:
            step_s = FIRST_POLL_S


def _tickets(base: str, files: Sequence[tuple[str, int]]) -> Flow[dict[str, dict[str, str]]]:
    body = {"files": [{"name": name, "bytes": size} for name, size in files]}
    raw = yield from send(Exchange(method="POST", url=f"{base}/uploads", json=body, safe=True))  # type: ignore[arg-type]  # list is invariant
    places: dict[str, dict[str, str]] = parsed(
        raw,
        lambda answer: {one["name"]: {"key": one["key"], "url": one["url"]} for one in answer["uploads"]},
        doing="ask for upload URLs",
    )
    if any(name not in places for name, _ in files):
        raise malformed("ask for upload URLs")
    return places


def _receipts(base: str, keys: list[str]) -> Flow[dict[str, dict[str, Any]]]:
    raw = yield from send(Exchange(method="POST", url=f"{base}/uploads:status", json={"keys": keys}, safe=True))  # type: ignore[dict-item]  # list is invariant
    wanted = set(keys)
    return parsed(
        raw,
        lambda answer: {key: receipt for key, receipt in answer["receipts"].items() if key in wanted and receipt},
        doing="ask what became of uploads",
    )


def _put(url: str, body: FileBody) -> Flow[str]:
    reply = yield from persist(Exchange(method="PUT", url=url, file=body, timeout_s=PUT_TIMEOUT_S, safe=True))
    return _bare(reply.headers.get("etag", ""))


def _key(base: str, name: str) -> str:
    return locations.inbox(base.rsplit("/", 1)[-1], name)


def _bare(etag: str) -> str:
    return etag.strip('"')


def _md5(source: Path | bytes) -> str:
    # The store's ETag of a single PUT is its MD5; used to compare, not to protect.
    digest = hashlib.md5(usedforsecurity=False)
    if isinstance(source, bytes):
        digest.update(source)
    else:
        with source.open("rb") as stream:
            while chunk := stream.read(HASH_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
