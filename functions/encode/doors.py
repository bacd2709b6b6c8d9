"""What both doors share: the service made from settings, and any outcome as (status, body)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from functions.encode.models import fetch_model
from functions.encode.service import Answer, EncodeService
from shardlake.encoders.registry import EncoderRegistry, parse_encoders
from shardlake.errors import ErrorKind, InternalError, InvalidInput, ShardlakeError
from shardlake.observability import Line, Observer
from shardlake.settings import Settings
from shardlake.store.s3 import S3Store


def make_service(settings: Settings) -> EncodeService:
    """Returns the service of a deployment. Loads no model: each is loaded when it is first used."""
    store = S3Store(settings.bucket)
    # The code's version is in the path, since the local cloud's functions share one /tmp.
    cache = Path(tempfile.gettempdir()) / f"shardlake-models-{settings.code_version}"
    fetch = partial(fetch_model, store, cache=cache) if settings.bucket else None
    return EncodeService(
        registry=EncoderRegistry(parse_encoders(settings.encoders, settings.models_dir), fetch=fetch),
        store=store,
        bucket=settings.bucket,
        clock=time.monotonic,
    )


def respond(service: EncodeService, request: object, *, observer: Observer, request_id: str) -> tuple[int, Answer]:
    """Returns the HTTP status and the body of an answer or of an error, and logs one line; never raises."""
    try:
        with observer.invocation("encode", request_id=request_id) as line:
            return 200, _answer(service, request, line)
    except ShardlakeError as error:
        # Through JSON once, so that a door never meets a field it cannot write.
        body: Answer = orjson.loads(orjson.dumps(error.to_body(), default=str))
        return error.http_status, body
    except Exception:  # noqa: BLE001 - the outermost line: our bug becomes an answer; the observer has logged it
        return 500, InternalError("something broke on our side", kind=ErrorKind.INTERNAL).to_body()


def _answer(service: EncodeService, request: object, line: Line) -> Answer:
    if not isinstance(request, Mapping):
        raise InvalidInput("the request must be a JSON object")
    answer = service.answer(request)
    line.add(**_facts(answer))
    return answer


def _facts(answer: Answer) -> dict[str, Any]:
    if "encoders" in answer:
        return {"encoders": len(answer["encoders"]), "unavailable": len(answer.get("unavailable", []))}
    return {"encoder": answer["model"]["encoder"], "count": answer["count"], "dimension": answer["dimension"]}
