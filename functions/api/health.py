"""Liveness: the API answers, and says what it is."""

from __future__ import annotations

from functions.api.world import World
from shardlake.contracts.http import Request, Response, json_response
from shardlake.format.container import FORMAT_VERSION


def health(world: World, request: Request) -> Response:
    """Answers without asking anything else, so that it says only that the API itself is alive."""
    body = {"status": "ok", "code_version": world.settings.code_version, "format_version": FORMAT_VERSION}
    return json_response(200, body)
