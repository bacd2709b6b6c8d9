"""What every message from outside shares: JSON with bounds, strict models, errors that name the place.

Nothing is believed before it is bounded: size, then syntax, then depth, then shape.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import Json

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Collections and spaces: they are parts of object keys and of paths."""

ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
"""Aliases of versions: behind the `@` of a reference, where the name of a snapshot begins with a digit."""

ATTRIBUTE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
"""Attributes: columns of files are often in camel case. No dot and no `$`: both mean something in filters."""

MAX_ERRORS_LISTED = 20
MAX_PLACE_CHARS = 64  # of one step of a place: keys come from the client

Name = Annotated[str, Field(pattern=NAME_PATTERN)]

ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """A message: unknown fields are refused, and nothing is converted from another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def is_name(text: str) -> bool:
    """Returns whether a text may name a collection or a space."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), text) is not None


def is_alias(text: str) -> bool:
    """Returns whether a text may be the alias of a version."""
    return re.fullmatch(ALIAS_PATTERN.removesuffix("$"), text) is not None


def parse_json(
    body: bytes, *, max_bytes: int = limits.MAX_REQUEST_BYTES, kind: ErrorKind = ErrorKind.INVALID_JSON
) -> Json:
    """Returns the value of a JSON text: UTF-8, finite numbers, at most MAX_JSON_DEPTH deep.

    A key that stands twice in one object counts once, the last one; see `refuse_duplicates`.

    Raises:
        InvalidInput: payload-too-large, or `kind`.
    """
    if len(body) > max_bytes:
        raise InvalidInput(
            f"the body is larger than {max_bytes} bytes",
            kind=ErrorKind.PAYLOAD_TOO_LARGE,
            size_bytes=len(body),
            max_bytes=max_bytes,
        )
    if not body.strip():
        raise InvalidInput("the body is empty where JSON is expected", kind=kind)
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidInput(f"the body is not JSON: {exc.msg}", kind=kind, line=exc.lineno, column=exc.colno) from exc
    # Fewer brackets than levels cannot nest too deep: one line of a file is never walked.
    if body.count(b"[") + body.count(b"{") > limits.MAX_JSON_DEPTH:
        _check_depth(value, kind)
    return value


def parse_object(body: bytes, *, max_bytes: int = limits.MAX_REQUEST_BYTES) -> dict[str, Any]:
    """Returns the JSON object in a body. Raises InvalidInput as `parse_json` does, and for any other JSON value."""
    value = parse_json(body, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    return value


def refuse_duplicates(body: bytes, *, kind: ErrorKind) -> None:
    """Raises InvalidInput when a key stands twice in one object: for definitions, where one would silently be lost.

    Requires: `body` went through `parse_json`. Cost: the slow parser, so not for items.
    """

    def pairs(found: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in found:
            if name in seen:
                raise InvalidInput(f"the key {name[:MAX_PLACE_CHARS]!r} stands twice in one object", kind=kind)
            seen.add(name)

    # Numbers are kept as text: this parser refuses longer integers than the one that has accepted the body.
    json.loads(body, object_pairs_hook=pairs, parse_int=str, parse_float=str)


def validated(model: type[ModelT], value: object, *, kind: ErrorKind = ErrorKind.INVALID_REQUEST) -> ModelT:
    """Returns the model of a parsed value.

    Raises:
        InvalidInput: `kind`, with details.errors = [{"at", "message"}], at most MAX_ERRORS_LISTED; the values
            themselves are never repeated.
    """
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise invalid(exc, kind=kind) from exc


def invalid(exc: ValidationError, *, kind: ErrorKind) -> InvalidInput:
    """Returns our error for pydantic's."""
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    errors = [{"at": _place(error["loc"]), "message": _sentence(error["msg"])} for error in found[:MAX_ERRORS_LISTED]]
    first = errors[0]
    message = f"{first['at']}: {first['message']}" if first["at"] else first["message"]
    return InvalidInput(message, kind=kind, errors=errors)


def _check_depth(value: Json, kind: ErrorKind) -> None:
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(limits.MAX_JSON_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise InvalidInput(f"the JSON is nested deeper than {limits.MAX_JSON_DEPTH} levels", kind=kind)


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(step)[:MAX_PLACE_CHARS] for step in loc)


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").replace("Input should", "should")
    return text[:1].lower() + text[1:]
