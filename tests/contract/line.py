"""A boto3 client on a bad line: single calls fail before or after they are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ReadTimeoutError

Call = Callable[..., Any]
Fault = Callable[[Call, dict[str, Any]], Any]

LOST = ReadTimeoutError(endpoint_url="http://nowhere")


class Line:
    """A client that passes calls on, except for those that a test put a fault on, one fault a call."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.faults: dict[str, list[Fault]] = {}

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in self.faults:
            return call
        return lambda **arguments: self.faults[name].pop(0)(call, arguments) if self.faults[name] else call(**arguments)


def lose_request(call: Call, arguments: dict[str, Any]) -> Any:
    """It never arrived."""
    raise LOST


def lose_reply(call: Call, arguments: dict[str, Any]) -> Any:
    """It was done, and nobody heard of it."""
    call(**arguments)
    raise LOST
