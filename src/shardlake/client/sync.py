"""The client whose calls return when they are done."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from types import TracebackType
from typing import Self, TypeVar

import httpx

from shardlake.client import wire
from shardlake.client.binding import Bound
from shardlake.client.failures import network_errors
from shardlake.client.flows import Exchange, Flow, Outcome, Pause, Reply, Step, Together
from shardlake.client.operations import collection_path
from shardlake.client.surface import ClientOperations, CollectionOperations, CollectionsOperations
from shardlake.errors import ShardlakeError

T = TypeVar("T")


class SyncRunner:
    """Performs flows with httpx.Client; side by side means threads."""

    def __init__(self, base_url: str, http: httpx.Client, sleep: Callable[[float], None]) -> None:
        self._base_url = base_url
        self._http = http
        self._sleep = sleep

    def run(self, flow: Flow[T]) -> T:
        """Performs the flow to its end and returns its result."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._perform(step)
                except ShardlakeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result

    def _perform(self, step: Step) -> Outcome:
        if isinstance(step, Exchange):
            return self._exchange(step)
        if isinstance(step, Pause):
            return self._sleep(step.seconds)
        return self._together(step)

    def _exchange(self, step: Exchange) -> Reply:
        url = wire.absolute(self._base_url, step)
        with network_errors(url, timeout_s=step.timeout_s):
            request = self._http.build_request(step.method, url, **wire.arguments(step, asynchronous=False))
            return wire.to_reply(self._http.send(wire.prepared(request, step)))

    def _together(self, step: Together) -> list[object]:
        with ThreadPoolExecutor(max_workers=step.limit) as pool:
            futures: list[Future[object]] = [pool.submit(self.run, flow) for flow in step.flows]
            try:
                for future in as_completed(futures):
                    future.result()
                    if step.on_done is not None:
                        step.on_done()
            except BaseException:  # an interrupt too: what has not begun never does
                pool.shutdown(cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()


class Collection(CollectionOperations, Bound):
    """One collection by name; asking for it asks nothing of the API."""


class Collections(CollectionsOperations, Bound):
    """The collections of a deployment."""


class Client(ClientOperations, Bound):
    """A Shardlake API. Close it, or use it in a `with`.

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
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        http = httpx.Client(**wire.client_options(url, token), transport=transport)
        self._own = SyncRunner(url, http, sleep)
        super().__init__(self._own, "/v1")

    @property
    def collections(self) -> Collections:
        """The collections: create, list, get, drop."""
        return Collections(self._own, "/v1")

    def collection(self, name: str) -> Collection:
        """Returns the collection of that name, whether or not there is one."""
        return Collection(self._own, collection_path(name))

    def close(self) -> None:
        """Lets the connections go."""
        self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
