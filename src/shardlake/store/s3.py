"""The object store on Amazon S3, and on whatever speaks its protocol.

One client and one thread pool a store, both reused: the connection pool is as large as the thread pool, retries and
timeouts are configured here and nowhere else. With a deadline a call runs in the pool and its caller stops waiting in
time; the thread ends by itself at the socket timeout.
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.response import StreamingBody
from s3transfer.exceptions import RetriesExceededError

from shardlake.deadline import Deadline
from shardlake.errors import (
    Conflict,
    ErrorKind,
    Forbidden,
    FormatError,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    Unavailable,
)
from shardlake.foreign import ErrorTable, Meaning
from shardlake.limits import MIB
from shardlake.store.base import ByteRange, ObjectInfo
from shardlake.store.parallel import in_time

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

DEFAULT_PARALLEL = 16  # GETs at once: more gained nothing on 2 cores, and a Lambda has at most 6
STREAM_BUFFER_BYTES = MIB
PART_BYTES = 16 * MIB  # of an upload or download in parts
CONDITIONAL_ATTEMPTS = 4  # of a conditional write that meets another one in flight


_DOWN = Meaning(Unavailable, ErrorKind.STORE_UNAVAILABLE, "the object store failed for the moment")
_BUSY = Meaning(Overloaded, ErrorKind.THROTTLED, "the object store asks to slow down")
_REFUSED = Meaning(Forbidden, ErrorKind.FORBIDDEN, "the object store refused our credentials")
_ABSENT = Meaning(NotFound, ErrorKind.OBJECT_NOT_FOUND, "there is no such object")
_STANDS = Meaning(Conflict, ErrorKind.OBJECT_EXISTS, "another object stands under this key")
_BEYOND = Meaning(FormatError, ErrorKind.MALFORMED_FILE, "a range lies beyond the end of the object")

ERRORS = ErrorTable(
    service="s3",
    unavailable=ErrorKind.STORE_UNAVAILABLE,
    # Amazon S3 API reference, Error responses (2026-11). A HEAD has no body, so its code is the bare status.
    codes={
        **dict.fromkeys(("NoSuchKey", "NotFound", "404"), _ABSENT),
        "NoSuchBucket": Meaning(InternalError, ErrorKind.INTERNAL, "the deployment's bucket does not exist"),
        **dict.fromkeys(("PreconditionFailed", "412", "ConditionalRequestConflict", "409"), _STANDS),
        **dict.fromkeys(("InvalidRange", "416"), _BEYOND),
        **dict.fromkeys(("AccessDenied", "Forbidden", "403", "ExpiredToken", "InvalidAccessKeyId"), _REFUSED),
        **dict.fromkeys(("SignatureDoesNotMatch", "InvalidToken", "AllAccessDisabled"), _REFUSED),
        **dict.fromkeys(("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"), _BUSY),
        **dict.fromkeys(("InternalError", "ServiceUnavailable", "RequestTimeout", "503", "500"), _DOWN),
        "NoSuchUpload": _DOWN,  # parts that were cleared away under a slow upload: it begins anew
        "EntityTooLarge": Meaning(InvalidInput, ErrorKind.PAYLOAD_TOO_LARGE, "the object is too large"),
        "KeyTooLongError": Meaning(InvalidInput, ErrorKind.INVALID_REQUEST, "the key is too long"),
    },
    types={
        **dict.fromkeys((ConnectionError, HTTPClientError, IncompleteReadError, RetriesExceededError), _DOWN),
        **dict.fromkeys((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _REFUSED),
    },
)


class S3Store:
    """Objects of one bucket.

    Args:
        bucket: its name.
        max_parallel: GETs in flight at once.
        client: an S3 client to use instead of one of our own.
        sleep: waits the seconds between attempts.
    """

    def __init__(
        self,
        bucket: str,
        *,
        max_parallel: int = DEFAULT_PARALLEL,
        client: S3Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bucket = bucket
        self._client = client or connect(max_parallel)
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(max_parallel, thread_name_prefix="s3")

    def close(self) -> None:
        """Ends the connections, and the threads as soon as they can; the store is of no use afterwards."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Returns a whole object of at most `max_bytes`; nothing larger is read. Cost: one GET."""
        return in_time(self._pool, [partial(self._whole, key, max_bytes)], doing="read an object", deadline=deadline)[0]

    def get_ranges(
        self, key: str, ranges: Sequence[ByteRange], *, etag: str | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        """Returns the bytes of each range, read in parallel. Cost: one GET a range that is not empty."""
        calls = [partial(self._range, key, span, etag) for span in ranges]
        return in_time(self._pool, calls, doing="read ranges", deadline=deadline)

    def get_suffix(self, key: str, length: int, *, deadline: Deadline | None = None) -> tuple[bytes, int]:
        """Returns the last `length` (≥ 1) bytes and the object's full size. Cost: one GET."""
        return in_time(self._pool, [partial(self._suffix, key, length)], doing="read an object", deadline=deadline)[0]

    def open(self, key: str) -> BinaryIO:
        """Returns a buffered stream of the object. Cost: one GET, held open while it is read."""
        with _ours(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        return io.BufferedReader(_Stream(key, body), STREAM_BUFFER_BYTES)

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object, replacing what was there."""
        with _ours(key):
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body)
        return ObjectInfo(key=key, size_bytes=len(body), etag=_etag(answer["ETag"]))

    def put_if_absent(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object only where none is.

        A conditional PUT whose reply was lost is repeated (by the SDK, or by the caller) and then meets its own object:
        so one that was refused, or never answered, compares contents before it speaks.
        """
        for attempt in range(CONDITIONAL_ATTEMPTS):
            try:
                with _ours(key):
                    answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
                return ObjectInfo(key=key, size_bytes=len(body), etag=_etag(answer["ETag"]))
            except (Conflict, Unavailable) as failure:
                standing = self._standing(key, body)
                if standing is not None:
                    return standing
                if isinstance(failure, Unavailable):
                    raise
            # Refused, and nothing stands yet: another write is in flight (409). Its outcome decides ours.
            self._sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter only
        raise Overloaded("another write of this object is under way, again and again", key=key)

    def upload_file(self, key: str, path: Path) -> ObjectInfo:
        """Writes an object from a local file, in parts when it is large."""
        with _ours(key), create_transfer_manager(self._client, _TRANSFER) as transfer:
            transfer.upload(str(path), self._bucket, key).result()
        return self.head(key)

    def download_file(self, key: str, path: Path) -> None:
        """Reads an object into a local file; a file that is there changes only when all has arrived."""
        with _ours(key), create_transfer_manager(self._client, _TRANSFER) as transfer:
            transfer.download(self._bucket, key, str(path)).result()

    def head(self, key: str) -> ObjectInfo:
        """Returns what is known of the object."""
        with _ours(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
        return ObjectInfo(key=key, size_bytes=answer["ContentLength"], etag=_etag(answer["ETag"]))

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects below a prefix in the order of their keys' UTF-8 bytes. Cost: one LIST a 1,000."""
        paginator = self._client.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=after)
        with _ours(prefix):
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield ObjectInfo(
                        key=entry["Key"],
                        size_bytes=entry["Size"],
                        etag=_etag(entry["ETag"]),
                        written_at=entry["LastModified"],
                    )

    def delete(self, key: str) -> None:
        """Deletes the object; no error where there is none."""
        with _ours(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def presign_put(self, key: str, *, expires_s: int) -> str:
        """Returns a URL to which one PUT of the object's bytes may be made until it expires. Cost: none."""
        with _ours(key):
            return self._client.generate_presigned_url(
                "put_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=expires_s
            )

    def _whole(self, key: str, max_bytes: int) -> bytes:
        with _ours(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            size_bytes = answer["ContentLength"]
            if size_bytes <= max_bytes:
                return answer["Body"].read()
        answer["Body"].close()
        raise InvalidInput(
            "the object is larger than may be read",
            kind=ErrorKind.PAYLOAD_TOO_LARGE,
            key=key,
            size_bytes=size_bytes,
            max_bytes=max_bytes,
        )

    def _range(self, key: str, span: ByteRange, etag: str | None) -> bytes:
        length = span.stop - span.start
        if length == 0 and span.start >= 0:
            return b""  # HTTP cannot ask for nothing
        if length < 0 or span.start < 0:
            raise _beyond(key, span)
        with _ours(key, start=span.start, stop=span.stop):
            wanted = f"bytes={span.start}-{span.stop - 1}"
            answer = self._get_range(key, wanted, etag)
            # Fewer bytes: the range crosses the end. More: the range was ignored, and the body must not be allocated.
            if answer["ContentLength"] == length:
                return answer["Body"].read()
        answer["Body"].close()
        raise _beyond(key, span)

    def _get_range(self, key: str, wanted: str, etag: str | None) -> GetObjectOutputTypeDef:
        if etag is None:
            return self._client.get_object(Bucket=self._bucket, Key=key, Range=wanted)
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key, Range=wanted, IfMatch=f'"{etag}"')
        except ClientError as exc:
            if exc.response.get("Error", {}).get("Code") not in {"PreconditionFailed", "412"}:
                raise
            raise NotFound("another object stands there", kind=ErrorKind.OBJECT_NOT_FOUND, key=key) from exc

    def _suffix(self, key: str, length: int) -> tuple[bytes, int]:
        try:
            with _ours(key):
                answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=-{length}")
                body = answer["Body"].read()
        except FormatError:
            return b"", 0  # only an empty object has no suffix
        _, _, total = answer.get("ContentRange", "").rpartition("/")
        return body[-length:], int(total) if total else len(body)

    def _standing(self, key: str, body: bytes) -> ObjectInfo | None:
        """Returns the object under the key when it is `body`, None when there is none; raises Conflict for another."""
        try:
            info = self.head(key)
            if info.size_bytes == len(body) and (info.etag == _md5(body) or self._whole(key, len(body)) == body):
                return info
        except NotFound:
            return None
        raise Conflict(_STANDS.message, kind=_STANDS.kind, key=key)


class _Stream(io.RawIOBase):
    """The body of one GET as a raw stream whose failures are ours."""

    def __init__(self, key: str, body: StreamingBody) -> None:
        super().__init__()
        self._key = key
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with _ours(self._key):
            data = self._body.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()


def connect(max_parallel: int = DEFAULT_PARALLEL, *, endpoint_url: str | None = None) -> S3Client:
    """Returns a client whose connections, retries and timeouts fit `max_parallel` calls at once.

    It speaks to the environment's endpoint unless another is given.
    """
    config = Config(
        max_pool_connections=max_parallel,
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=2,
        read_timeout=10,
        tcp_keepalive=True,
        signature_version="s3v4",
        # Our files carry checksums of their own; with these a presigned PUT would demand one of a plain HTTP client.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client: S3Client = boto3.client("s3", config=config, endpoint_url=endpoint_url)
    if ".amazonaws." not in client.meta.endpoint_url:
        client.close()  # an emulator: bucket.localhost resolves nowhere, so the bucket goes into the path
        config = config.merge(Config(s3={"addressing_style": "path"}))
        client = boto3.client("s3", config=config, endpoint_url=endpoint_url)
    return client


@contextmanager
def _ours(key: str, **context: object) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, RetriesExceededError) as exc:
        raise ERRORS.translate(exc, key=key, **context) from exc


def _beyond(key: str, span: ByteRange) -> FormatError:
    return FormatError(_BEYOND.message, kind=_BEYOND.kind, key=key, start=span.start, stop=span.stop)


def _etag(quoted: str) -> str:
    return quoted.strip('"')


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


_TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
