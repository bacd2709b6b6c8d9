"""The OpenAPI document: committed as generated, and of one mind with the routes that the public contract promises."""

from __future__ import annotations

from pathlib import Path

from openapi_spec_validator import validate

from functions.api.service import OPERATIONS
from shardlake.contracts.openapi import ANSWERS, document, text
from shardlake.contracts.routes import ROUTES

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"

C = "/v1/collections/{name}"
PROMISED = {
    ("PUT", C), ("GET", "/v1/collections"), ("GET", C), ("DELETE", C),
    ("POST", f"{C}/items"), ("PATCH", f"{C}/items"), ("POST", f"{C}/items:delete"),
    ("GET", f"{C}/items/{{id}}"), ("GET", f"{C}/items"),
    ("POST", f"{C}/search"), ("POST", f"{C}/search:batch"), ("POST", "/v1/encode"),
    ("POST", f"{C}/builds"), ("GET", f"{C}/builds/{{id}}"),
    ("GET", f"{C}/versions"), ("POST", f"{C}/rollback"), ("GET", "/v1/health"), ("GET", "/"),
}  # fmt: skip
EXTENSIONS = {
    ("POST", f"{C}/uploads"), ("POST", f"{C}/uploads:status"),
    ("POST", f"{C}/items:trace"),
    ("GET", f"{C}/aliases"), ("PUT", f"{C}/aliases/{{alias}}"), ("DELETE", f"{C}/aliases/{{alias}}"),
}  # fmt: skip
STATUSES = {
    "put_collection": {200, 201}, "list_collections": {200}, "get_collection": {200}, "drop_collection": {202},
    "post_items": {200, 202}, "patch_items": {200, 202}, "delete_items": {200, 202},
    "search": {200}, "search_batch": {200}, "encode": {200}, "post_build": {202},
    "get_build": {200}, "list_versions": {200}, "rollback": {200}, "get_item": {200},
    "scan_items": {200}, "health": {200}, "console": {200},
    "post_uploads": {200}, "upload_status": {200},
    "trace_item": {200}, "list_aliases": {200}, "put_alias": {200}, "drop_alias": {200},
}  # fmt: skip


def test_the_committed_document_is_the_generated_one() -> None:
    # make it again: python -m shardlake.contracts.openapi > docs/openapi.json
    assert COMMITTED.read_text(encoding="utf-8") == text()


def test_the_document_is_valid_openapi() -> None:
    validate(document())


def test_the_document_has_the_promised_routes_and_the_listed_extensions() -> None:
    documented = {(method.upper(), path) for path, operations in document()["paths"].items() for method in operations}

    assert documented == PROMISED | EXTENSIONS


def test_each_route_answers_the_promised_statuses() -> None:
    assert {operation: set(found) for operation, found in ANSWERS.items()} == STATUSES


def test_every_served_route_of_the_api_has_its_operation_and_no_other_has() -> None:
    assert set(OPERATIONS) == {route.operation for route in ROUTES if route.served and route.owner == "api"}


def test_routes_that_are_not_served_say_501() -> None:
    operations = {
        operation["operationId"]: operation
        for methods in document()["paths"].values()
        for operation in methods.values()
    }
    unserved = {name for name, operation in operations.items() if "501" in operation["responses"]}

    assert unserved == set()
