"""The invoke port on AWS Lambda, by its HTTP API: SigV4 from botocore, connections from urllib3, no service model.

Why not a boto3 client: docs/decisions/0010-fan-out-client.md. Nothing is retried here but a request whose connection
broke before an answer came, once, for a kept connection may have been closed by the other side: so a function may be
called twice, and ours may. What else to repeat, and whether there is time, is known to the caller alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import orjson
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError, CredentialRetrievalError, NoCredentialsError, PartialCredentialsError
from botocore.session import Session
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from shardlake.deadline import Deadline
from shardlake.errors import (
    DeadlineExceeded,
    ErrorKind,
    Forbidden,
    InvalidInput,
    Overloaded,
    ShardlakeError,
    Unavailable,
)
from shardlake.foreign import ErrorTable, Meaning
from shardlake.limits import MAX_ASYNC_PAYLOAD_BYTES, MAX_SHARDS_PER_QUERY, MAX_SYNC_PAYLOAD_BYTES

CONNECT_TIMEOUT_S: Final = 2.0
MIN_TIMEOUT_S: Final = 0.001  # of a socket: zero would mean "do not block"
START_TIMEOUT_MS: Final = 10_000  # of a call that only queues an event

_DOWN = Meaning(Unavailable, ErrorKind.FUNCTION_UNAVAILABLE, "the function could not be called")
_BUSY = Meaning(Overloaded, ErrorKind.THROTTLED, "the function has no room for another call")
_REFUSED = Meaning(Forbidden, ErrorKind.FORBIDDEN, "the function refused our credentials")
_LATE = Meaning(DeadlineExceeded, ErrorKind.DEADLINE_EXCEEDED, "the function did not answer in time")
_LARGE = Meaning(InvalidInput, ErrorKind.PAYLOAD_TOO_LARGE, "the payload is larger than an invocation carries")

ERRORS = ErrorTable(
    service="lambda",
    unavailable=ErrorKind.FUNCTION_UNAVAILABLE,
    # AWS Lambda API reference, Invoke, Errors (2026-11).
    codes={
        **dict.fromkeys(("TooManyRequestsException", "ThrottlingException", "EC2ThrottledException"), _BUSY),
        **dict.fromkeys(("RequestTooLargeException", "SerializedRequestEntityTooLargeException"), _LARGE),
        **dict.fromkeys(("ServiceException", "ResourceNotReadyException", "ResourceConflictException"), _DOWN),
        **dict.fromkeys(("ResourceNotFoundException", "RecursiveInvocationException"), _DOWN),
        **dict.fromkeys(("EC2UnexpectedException", "EC2AccessDeniedException", "InvalidRuntimeException"), _DOWN),
        **dict.fromkeys(("InvalidZipFileException", "ENILimitReachedException", "KMSAccessDeniedException"), _DOWN),
        **dict.fromkeys(("SnapStartException", "SnapStartNotReadyException", "SnapStartTimeoutException"), _DOWN),
        **dict.fromkeys(("AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException"), _REFUSED),
        **dict.fromkeys(("UnrecognizedClientException", "MissingAuthenticationTokenException"), _REFUSED),
    },
    types={
        ReadTimeoutError: _LATE,
        HTTPError: _DOWN,
        **dict.fromkeys((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _REFUSED),
    },
)


class LambdaInvoker:
    """Calls functions of one account and region.

    Args:
        max_parallel: calls in flight at once; so many connections are kept.
        endpoint_url: instead of the environment's endpoint.
        trace_id: returns the X-Ray header to hand on, if there is one.
    """

    def __init__(
        self,
        *,
        max_parallel: int = MAX_SHARDS_PER_QUERY,
        endpoint_url: str | None = None,
        trace_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        session = Session()
        self._region = str(session.get_config_variable("region"))
        self._credentials = session.get_credentials()
        self._endpoint = endpoint_url or _endpoint(session, self._region)
        self._trace_id = trace_id
        self._pool = ThreadPoolExecutor(max_parallel, thread_name_prefix="invoke")
        self._http = urllib3.PoolManager(num_pools=1, maxsize=max_parallel)

    def close(self) -> None:
        """Ends the connections, and the threads as soon as they can; the invoker is of no use afterwards."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def invoke(self, function: str, payload: bytes, *, deadline: Deadline) -> bytes:
        """Calls one function and returns its answer."""
        (answer,) = self.invoke_many(function, [payload], deadline=deadline)
        if isinstance(answer, ShardlakeError):
            raise answer
        return answer

    def invoke_many(
        self, function: str, payloads: Sequence[bytes], *, deadline: Deadline
    ) -> list[bytes | ShardlakeError]:
        """Calls one function once a payload, in parallel; failures are data; returns by the deadline."""
        calls = [self._pool.submit(self._outcome, function, payload, deadline) for payload in payloads]
        wait(calls, timeout=deadline.remaining_ms() / 1000)
        return [_settled(call, function) for call in calls]

    def start(self, function: str, payload: bytes) -> None:
        """Queues a call of the function and does not wait for it."""
        _check_size(payload, MAX_ASYNC_PAYLOAD_BYTES)
        self._call(function, payload, _EVENT, Deadline.after(START_TIMEOUT_MS, clock=time.monotonic))

    def _outcome(self, function: str, payload: bytes, deadline: Deadline) -> bytes | ShardlakeError:
        try:
            deadline.check(f"call {function}")
            _check_size(payload, MAX_SYNC_PAYLOAD_BYTES)
            return self._call(function, payload, _WAIT, deadline)
        except ShardlakeError as error:
            return _late(function) if deadline.expired() else error

    def _call(self, function: str, payload: bytes, mode: Mapping[str, str], deadline: Deadline) -> bytes:
        url = f"{self._endpoint}/2015-03-31/functions/{quote(function, safe='')}/invocations"
        with _ours(function):
            try:
                answer = self._post(url, payload, mode, deadline)
            except ProtocolError:
                answer = self._post(url, payload, mode, deadline)
        if answer.status >= 300:
            raise _refused(function, answer)
        # An answer over the limit is an error on AWS already; an emulator may let it pass.
        if "x-amz-function-error" in answer.headers or len(answer.data) > MAX_SYNC_PAYLOAD_BYTES:
            raise _raised(function, answer)
        return answer.data

    def _post(self, url: str, payload: bytes, mode: Mapping[str, str], deadline: Deadline) -> BaseHTTPResponse:
        left_s = max(MIN_TIMEOUT_S, deadline.remaining_ms() / 1000)
        return self._http.request(
            "POST",
            url,
            body=payload,
            headers=self._signed(url, payload, mode),
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, left_s), read=left_s),
            retries=False,
        )

    def _signed(self, url: str, payload: bytes, mode: Mapping[str, str]) -> Mapping[str, str]:
        headers = {"Content-Type": "application/json", **mode}
        trace_id = self._trace_id()
        if trace_id:
            headers["X-Amzn-Trace-Id"] = trace_id
        request = AWSRequest(method="POST", url=url, data=payload, headers=headers)
        if self._credentials is None:
            raise NoCredentialsError
        SigV4Auth(self._credentials.get_frozen_credentials(), "lambda", self._region).add_auth(request)
        return dict(request.headers.items())


_WAIT: Final = {"X-Amz-Invocation-Type": "RequestResponse"}
_EVENT: Final = {"X-Amz-Invocation-Type": "Event"}


def _endpoint(session: Session, region: str) -> str:
    """Returns the endpoint that the environment or the profile names (AWS_ENDPOINT_URL…), else AWS's own."""
    named = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="lambda"
    ).provide()
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return str(named).rstrip("/") if named else f"https://lambda.{region}.{suffix}"


@contextmanager
def _ours(function: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, BotoCoreError) as exc:
        raise ERRORS.translate(exc, function=function) from exc


def _settled(call: Future[bytes | ShardlakeError], function: str) -> bytes | ShardlakeError:
    if call.done():
        return call.result()
    call.cancel()
    return _late(function)


def _late(function: str) -> DeadlineExceeded:
    return DeadlineExceeded(_LATE.message, kind=_LATE.kind, function=function)


def _refused(function: str, answer: BaseHTTPResponse) -> ShardlakeError:
    """Returns the error that Lambda's answer stands for, which no SDK has made an exception of."""
    code = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    return ERRORS.meaning_of(code, answer.status).as_error(service=ERRORS.service, code=code, function=function)


def _raised(function: str, answer: BaseHTTPResponse) -> Unavailable:
    """Returns the error of a callee that raised or ran out of time; its message may quote a user, its type does not."""
    try:
        error_type = str(orjson.loads(answer.data)["errorType"])
    except (ValueError, KeyError, TypeError):
        error_type = "unknown"
    return Unavailable(
        "the function raised, or ran out of time or memory",
        kind=ErrorKind.FUNCTION_UNAVAILABLE,
        function=function,
        error=error_type,
    )


def _check_size(payload: bytes, max_bytes: int) -> None:
    if len(payload) > max_bytes:
        raise InvalidInput(_LARGE.message, kind=_LARGE.kind, size_bytes=len(payload), max_bytes=max_bytes)
