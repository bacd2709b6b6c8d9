"""The OpenAPI document, generated from the route table and the models.

python -m shardlake.contracts.openapi > docs/openapi.json
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shardlake import __version__, limits
from shardlake.contracts import answers
from shardlake.contracts.alias import AliasModel
from shardlake.contracts.answers import ErrorAnswer
from shardlake.contracts.build import BuildModel
from shardlake.contracts.collection import CollectionModel
from shardlake.contracts.common import NAME_PATTERN
from shardlake.contracts.encode import EncodeModel
from shardlake.contracts.item import DeleteItemsModel, ItemModel, ItemsModel
from shardlake.contracts.patch import PatchItemsModel, PatchModel
from shardlake.contracts.rollback import RollbackModel
from shardlake.contracts.routes import ROUTES, Route
from shardlake.contracts.search import BatchRequest, SearchRequest
from shardlake.contracts.trace import TraceModel
from shardlake.contracts.uploads import UploadsModel, UploadStatusModel

OPENAPI = "3.1.0"
HTML = "text/html"

BODIES: dict[str, type[BaseModel]] = {
    "put_collection": CollectionModel,
    "post_items": ItemsModel,
    "patch_items": PatchItemsModel,
    "delete_items": DeleteItemsModel,
    "trace_item": TraceModel,
    "search": SearchRequest,
    "search_batch": BatchRequest,
    "post_uploads": UploadsModel,
    "upload_status": UploadStatusModel,
    "post_build": BuildModel,
    "rollback": RollbackModel,
    "put_alias": AliasModel,
    "encode": EncodeModel,
}

OPTIONAL_BODIES = frozenset({"post_build"})

ANSWERS: dict[str, dict[int, type[BaseModel] | None]] = {
    "console": {200: None},
    "health": {200: answers.HealthAnswer},
    "list_collections": {200: answers.CollectionsAnswer},
    "put_collection": {200: answers.CollectionAnswer, 201: answers.CollectionAnswer},
    "get_collection": {200: answers.CollectionAnswer},
    "drop_collection": {202: answers.DroppedAnswer},
    "post_items": {200: answers.AcceptedAnswer, 202: answers.AcceptedAnswer},
    "patch_items": {200: answers.AcceptedAnswer, 202: answers.AcceptedAnswer},
    "delete_items": {200: answers.AcceptedAnswer, 202: answers.AcceptedAnswer},
    "trace_item": {200: answers.TraceAnswer},
    "get_item": {200: answers.ItemAnswer},
    "scan_items": {200: answers.ItemsAnswer},
    "search": {200: answers.SearchAnswer},
    "search_batch": {200: answers.BatchAnswer},
    "post_uploads": {200: answers.UploadsAnswer},
    "upload_status": {200: answers.ReceiptsAnswer},
    "post_build": {202: answers.BuildAnswer},
    "get_build": {200: answers.BuildAnswer},
    "list_versions": {200: answers.VersionsAnswer},
    "rollback": {200: answers.VersionAnswer},
    "list_aliases": {200: answers.AliasesAnswer},
    "put_alias": {200: answers.AliasAnswer},
    "drop_alias": {200: answers.AliasAnswer},
    "encode": {200: answers.EncodeAnswerBody},
}
"""Successes by status; None is a page."""

_REF = "#/components/schemas/{model}"
_QUERY_SCHEMAS: dict[str, dict[str, Any]] = {
    "wait": {
        "type": "boolean",
        "description": "true answers 200 once every search sees it; 202 where that takes long",
    },
    "after": {"type": "string", "description": "the id behind which the page begins: `after` of the page before"},
    "limit": {"type": "integer", "minimum": 1, "maximum": limits.MAX_SCAN_ITEMS, "default": limits.DEFAULT_SCAN_ITEMS},
}


def document() -> dict[str, Any]:
    """Returns the OpenAPI document."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in _models()], ref_template=_REF, by_alias=True
    )
    schemas = definitions["$defs"]
    _name_members(schemas, "ItemsModel", "items", "ItemModel")
    _name_members(schemas, "PatchItemsModel", "items", "PatchModel")
    _name_members(schemas, "BatchRequest", "searches", "SearchRequest")
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route)
    whole = {
        "openapi": OPENAPI,
        "info": {
            "title": "Shardlake",
            "version": __version__,
            "summary": "Multimodal search on your own bucket",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }
    renamed: dict[str, Any] = json.loads(_without_suffix(json.dumps(whole)))
    return renamed


def text() -> str:
    """Returns the document as it is committed: two spaces, one newline at the end."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _models() -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = [ErrorAnswer, ItemModel, PatchModel]
    for route in ROUTES:
        used = (BODIES.get(route.operation), *ANSWERS.get(route.operation, {}).values())
        found += [model for model in used if model is not None]
    return list(dict.fromkeys(found))


def _operation(route: Route) -> dict[str, Any]:
    responses = {str(status): _success(model) for status, model in ANSWERS.get(route.operation, {}).items()}
    if not route.served:
        responses["501"] = _failure("Not served by this release")
    responses["4XX"] = _failure("The request is wrong; `error.kind` says how")
    responses["5XX"] = _failure("A failure on our side; `error.kind` says which")
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "parameters": [*map(_path_parameter, _names(route)), *map(_query_parameter, route.query)],
        "responses": responses,
    }
    body = BODIES.get(route.operation)
    if body is not None:
        required = route.operation not in OPTIONAL_BODIES
        operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _success(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {"description": "A page", "content": {HTML: {"schema": {"type": "string"}}}}
    summary = (model.__doc__ or "").strip().splitlines()[0]
    return {"description": summary, "content": {"application/json": {"schema": _ref(model)}}}


def _failure(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(ErrorAnswer)}}}


def _path(route: Route) -> str:
    return route.path.replace("+}", "}")


def _names(route: Route) -> list[str]:
    return re.findall(r"\{(\w+)\}", _path(route))


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": NAME_PATTERN} if name == "name" else {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": _QUERY_SCHEMAS[name]}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _name_members(schemas: dict[str, Any], model: str, field: str, member: str) -> None:
    """Says what a list holds whose members the API checks one by one, so that it can name the bad ones."""
    schemas[model]["properties"][field]["items"] = {"$ref": _REF.format(model=member)}


def _without_suffix(document_text: str) -> str:
    return re.sub(r'("#/components/schemas/|"title": "|")(\w+)Model"', r'\1\2"', document_text)


if __name__ == "__main__":
    sys.stdout.write(text())
