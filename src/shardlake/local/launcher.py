"""The server process: MiniStack's application behind a front door of ours.

Started by `process.start` with an inherited socket and an environment of its own; never imported by anything else.
The front door gives the deployed HTTP API the plain address http://127.0.0.1:PORT/v1/… beside the AWS APIs of the
emulator, which share the port: an AWS call is signed, a call of a user is not.
"""

from __future__ import annotations

import asyncio
import os
import socketserver
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shardlake.local.bodies import BodyCache
from shardlake.local.folder import CloudFolder
from shardlake.local.snapshots import SERVICES, Snapshots

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[None]]

LOOPBACK = (b"localhost", b"127.0.0.1", b"::1")
NOT_DEPLOYED = b'{"error":{"kind":"api-unreachable","message":"the local cloud is still being deployed","details":{}}}'
FROM_ELSEWHERE = (
    b'{"error":{"kind":"forbidden","message":'
    b'"the local cloud answers this machine only, as localhost or 127.0.0.1, and pages of its own","details":{}}}'
)


class FrontDoor:
    """Sends unsigned requests for / and /v1/… to the deployed HTTP API, and everything else to the emulator."""

    def __init__(self, emulator: Asgi, folder: CloudFolder, snapshots: Snapshots) -> None:
        self._emulator = emulator
        self._snapshots = snapshots
        self._folder = folder
        self._read_at = -1
        self._api_id = ""

    async def __call__(
        self, scope: Scope, receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[Any]]
    ) -> None:
        """Serves one connection of the ASGI protocol."""
        if scope["type"] == "http" and _is_from_elsewhere(scope):
            await _answer(send, 403, FROM_ELSEWHERE)
            return
        if scope["type"] != "http" or not _is_for_the_api(scope):
            self._snapshots.note(scope)
            await self._emulator(scope, receive, send)
            return
        api_id = self._current_api_id()
        if not api_id:
            await _answer(send, 503, NOT_DEPLOYED)
            return
        prefix = f"/_aws/execute-api/{api_id}/$default"
        scope = {**scope, "path": prefix + scope["path"], "raw_path": prefix.encode() + scope["raw_path"]}
        await self._emulator(scope, receive, send)

    def _current_api_id(self) -> str:
        """Returns the id in the record, which is read again whenever it changed (one stat a request)."""
        try:
            changed_at = self._folder.record_file.stat().st_mtime_ns
        except OSError:
            return ""
        if changed_at != self._read_at:
            self._api_id = self._folder.read().outputs.get("ApiId", "")
            self._read_at = changed_at
        return self._api_id


def _is_for_the_api(scope: Scope) -> bool:
    path: str = scope["path"]
    if path not in {"/", "/v1"} and not path.startswith("/v1/"):
        return False
    authorization = dict(scope["headers"]).get(b"authorization", b"")
    is_aws_call = authorization.startswith(b"AWS4-") and b"/execute-api/" not in authorization
    return not is_aws_call


def _is_from_elsewhere(scope: Scope) -> bool:
    """Tells whether a page of another site asks, which any browser here would let it do: nobody logs in to this API.

    The page says where it is from (Origin); or its own name was made to lead here (Host: DNS rebinding).
    """
    headers = dict(scope["headers"])
    said = [b"//" + headers[b"host"]] if b"host" in headers else []
    said += [headers[b"origin"]] if b"origin" in headers else []
    try:
        names = [urlsplit(url).hostname or b"" for url in said]
    except ValueError:
        return True
    return not all(name in LOOPBACK or name.endswith(b".localhost") for name in names)


async def _answer(send: Callable[..., Awaitable[Any]], status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _raise_open_files() -> None:
    """Lifts the soft bound on open files to the hard one: 64 workers have three pipes each."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(socket_descriptor: int, root: Path) -> None:
    """Serves until SIGTERM; the emulator then writes its state."""
    os.setsid()  # it and its workers outlive the terminal, and can be ended as one group
    os.chdir(root)
    CloudFolder(root).note_server(os.getpid())
    # Without this the emulator's runtime API waits for Nagle's algorithm: 40 ms on each call of a custom runtime.
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    _raise_open_files()
    # The emulator reads its log level once, here; functions inherit the environment and must not see it.
    os.environ["LOG_LEVEL"] = "WARNING"
    from hypercorn.config import Config
    from ministack import app as emulator
    from ministack.services import s3

    del os.environ["LOG_LEVEL"]
    s3._read_body = BodyCache(s3._read_body, s3._object_disk_path)
    config = Config()
    config.bind = [f"fd://{socket_descriptor}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    asyncio.run(_serve(emulator, CloudFolder(root), config))


async def _serve(emulator: Any, folder: CloudFolder, config: Any) -> None:  # noqa: ANN401  # untyped libraries
    from hypercorn.asyncio import serve

    snapshots = Snapshots(lambda: _save(emulator))
    running = asyncio.create_task(snapshots.run())
    try:
        await serve(FrontDoor(emulator.app, folder, snapshots), config)  # type: ignore[arg-type]  # ASGI by shape
    finally:
        running.cancel()


def _save(emulator: Any) -> None:  # noqa: ANN401  # an untyped library
    """Does what the emulator does when it stops, for the services that matter; it has no public way."""
    everything = emulator._build_persistence_save_dict()
    emulator.save_all({name: read for name, read in everything.items() if name in SERVICES})


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
