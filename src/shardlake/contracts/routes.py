"""The routes of the API, once: the api function dispatches by this table; the OpenAPI document is generated from it.

No models here: a cold start of the api function reads the table, and only `openapi.py` knows what each route carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One verb on one path.

    Attributes:
        path: with {parameters}; one parameter is one step of the path, the last may be the rest of it: {id+}.
        operation: unique; names the function that serves it.
        query: the query parameters it knows; any other is refused.
        owner: the function behind it.
        served: False answers 501.
    """

    method: str
    path: str
    operation: str
    summary: str
    query: tuple[str, ...] = ()
    owner: Literal["api", "router"] = "api"
    served: bool = True


_COLLECTION = "/v1/collections/{name}"
_ITEMS = f"{_COLLECTION}/items"

ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/", operation="console", summary="The page for people"),
    Route(
        method="GET",
        path="/v1/health",
        operation="health",
        summary="Liveness, versions of code and format",
    ),
    Route(
        method="GET",
        path="/v1/collections",
        operation="list_collections",
        summary="All collections",
    ),
    Route(
        method="PUT",
        path=_COLLECTION,
        operation="put_collection",
        summary="Create a collection; the same body again is no error",
    ),
    Route(
        method="GET",
        path=_COLLECTION,
        operation="get_collection",
        summary="A collection's schema and state",
    ),
    Route(
        method="DELETE",
        path=_COLLECTION,
        operation="drop_collection",
        summary="Drop a collection",
    ),
    Route(
        method="POST",
        path=_ITEMS,
        operation="post_items",
        summary="Insert or replace items, all or none",
        query=("wait",),
    ),
    Route(
        method="PATCH", path=_ITEMS, operation="patch_items", summary="Change attributes, keep vectors", query=("wait",)
    ),
    Route(
        method="GET",
        path=_ITEMS,
        operation="scan_items",
        summary="Items in order of ids",
        query=("after", "limit"),
        owner="router",
    ),
    Route(
        method="GET",
        path=f"{_ITEMS}/{{id+}}",
        operation="get_item",
        summary="One item as stored",
        owner="router",
    ),
    Route(
        method="POST",
        path=f"{_ITEMS}:delete",
        operation="delete_items",
        summary="Delete items by id or filter",
        query=("wait",),
    ),
    Route(
        method="POST",
        path=f"{_ITEMS}:trace",
        operation="trace_item",
        summary="Which objects still have something of an item, and what was done to remove it",
    ),
    Route(
        method="POST",
        path=f"{_COLLECTION}/search",
        operation="search",
        summary="One search",
        owner="router",
    ),
    Route(
        method="POST",
        path=f"{_COLLECTION}/search:batch",
        operation="search_batch",
        summary="Up to 64 searches, one fan-out for all",
        owner="router",
    ),
    Route(
        method="POST",
        path=f"{_COLLECTION}/uploads",
        operation="post_uploads",
        summary="Places to PUT files",
    ),
    Route(
        method="POST",
        path=f"{_COLLECTION}/uploads:status",
        operation="upload_status",
        summary="What became of files",
    ),
    Route(
        method="POST",
        path=f"{_COLLECTION}/builds",
        operation="post_build",
        summary="Build a version from everything taken in",
    ),
    Route(
        method="GET",
        path=f"{_COLLECTION}/builds/{{id}}",
        operation="get_build",
        summary="A build's state and progress",
    ),
    Route(
        method="GET",
        path=f"{_COLLECTION}/versions",
        operation="list_versions",
        summary="History",
    ),
    Route(
        method="POST",
        path=f"{_COLLECTION}/rollback",
        operation="rollback",
        summary="Move the pointer back",
    ),
    Route(
        method="GET",
        path=f"{_COLLECTION}/aliases",
        operation="list_aliases",
        summary="Names given to versions",
    ),
    Route(
        method="PUT",
        path=f"{_COLLECTION}/aliases/{{alias}}",
        operation="put_alias",
        summary="Give an alias to a version, the current one by default",
    ),
    Route(
        method="DELETE",
        path=f"{_COLLECTION}/aliases/{{alias}}",
        operation="drop_alias",
        summary="Remove an alias; its version stays",
    ),
    Route(
        method="POST",
        path="/v1/encode",
        operation="encode",
        summary="Media to vectors",
    ),
)
