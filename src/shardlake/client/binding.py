"""Binds a flow to the two kinds of client: one declaration, `Operation(flow)`, is a method of both, typed for each.

class CollectionOperations:
    search = Operation(operations.search)      # on Collection: returns SearchAnswer
                                               # on AsyncCollection: returns Awaitable[SearchAnswer]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from shardlake.client.flows import Flow

P = ParamSpec("P")
T = TypeVar("T")


class Runner(Protocol):
    """Performs a flow and returns its result."""

    def run(self, flow: Flow[T]) -> T:
        """Performs the flow to its end."""


class AsyncRunner(Protocol):
    """Performs a flow and returns its result, when awaited."""

    async def run(self, flow: Flow[T]) -> T:
        """Performs the flow to its end."""


class Bound:
    """Something whose operations run at once: `base` is the path that they stand under."""

    def __init__(self, runner: Runner, base: str) -> None:
        self._runner = runner
        self._base = base


class AsyncBound:
    """Something whose operations are awaited."""

    def __init__(self, runner: AsyncRunner, base: str) -> None:
        self._runner = runner
        self._base = base


class Operation(Generic[P, T]):
    """A method made from a flow whose first parameter is the base path of what it is called on."""

    def __init__(self, flow: Callable[Concatenate[str, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__
        self.__name__ = flow.__name__
        # What help() shows: the flow's parameters, without the base path that the object itself stands for.
        own = inspect.signature(flow)
        self._bound_signature = own.replace(parameters=list(own.parameters.values())[1:])
        itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        self.__signature__ = own.replace(parameters=[itself, *self._bound_signature.parameters.values()])

    @overload
    def __get__(self, instance: None, owner: type) -> Operation[P, T]: ...
    @overload
    def __get__(self, instance: Bound, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AsyncBound, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, instance: Bound | AsyncBound | None, owner: type) -> Any:
        if instance is None:
            return self

        @functools.wraps(self._flow)
        def call(*args: P.args, **kwargs: P.kwargs) -> T | Awaitable[T]:
            return instance._runner.run(self._flow(instance._base, *args, **kwargs))

        call.__signature__ = self._bound_signature  # type: ignore[attr-defined]  # inspect's own protocol
        return call

    def __call__(self, instance: Bound | AsyncBound, *args: P.args, **kwargs: P.kwargs) -> T | Awaitable[T]:
        """Calls the operation on `instance`, as any method can be called through its class."""
        result: T | Awaitable[T] = self.__get__(instance, type(instance))(*args, **kwargs)
        return result
