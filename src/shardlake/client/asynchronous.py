"""The client whose calls are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import httpx

from shardlake.client import wire
from shardlake.client.binding import AsyncBound
from shardlake.client.failures import network_errors
from shardlake.client.flows import Exchange, Flow, Outcome, Pause, Reply, Step, Together
from shardlake.client.operations import collection_path
from shardlake.client.surface import ClientOperations, CollectionOperations, CollectionsOperations
from shardlake.errors import ShardlakeError

T = TypeVar("T")


class AsyncioRunner:
    """Performs flows with httpx.AsyncClient; side by side means tasks."""

    def __init__(self, base_url: str, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._base_url = base_url
        self._http = http
        self._sleep = sleep

    async def run(self, flow: Flow[T]) -> T:
        """Performs the flow to its end and returns its result."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._perform(step)
                except ShardlakeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _perform(self, step: Step) -> Outcome:
        if isinstance(step, Exchange):
            return await self._exchange(step)
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        return await self._together(step)

    async def _exchange(self, step: Exchange) -> Reply:
        url = wire.absolute(self._base_url, step)
        with network_errors(url, timeout_s=step.timeout_s):
            request = self._http.build_request(step.method, url, **wire.arguments(step, asynchronous=True))
            return wire.to_reply(await self._http.send(wire.prepared(request, step)))

    async def _together(self, step: Together) -> list[object]:
        places = asyncio.Semaphore(step.limit)

        async def one(flow: Flow[object]) -> object:
            async with places:
                result = await self.run(flow)
            if step.on_done is not None:
                step.on_done()
            return result

        tasks = [asyncio.ensure_future(one(flow)) for flow in step.flows]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            # After a failure the others must not go on unwatched.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Lets the connections go."""
        await self._http.aclose()


class AsyncCollection(CollectionOperations, AsyncBound):
    """One collection by name; asking for it asks nothing of the API."""


class AsyncCollections(CollectionsOperations, AsyncBound):
    """The collections of a deployment."""


class AsyncClient(ClientOperations, AsyncBound):
    """A Shardlake API, awaited. Close it, or use it in an `async with`.

    Args:
        url: the API's base, to which /v1/… is appended.
        token: sent as a bearer token.
        transport: how requests travel; the default is the network.
        sleep: how it waits between attempts and polls.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        http = httpx.AsyncClient(**wire.client_options(url, token), transport=transport)
        self._own = AsyncioRunner(url, http, sleep)
        super().__init__(self._own, "/v1")

    @property
    def collections(self) -> AsyncCollections:
        """The collections: create, list, get, drop."""
        return AsyncCollections(self._own, "/v1")

    def collection(self, name: str) -> AsyncCollection:
        """Returns the collection of that name, whether or not there is one."""
        return AsyncCollection(self._own, collection_path(name))

    async def close(self) -> None:
        """Lets the connections go."""
        await self._own.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
