"""Foreign errors die in their adapter: each table is walked, and so is what the SDK says may come."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from urllib3.exceptions import NewConnectionError, ProtocolError
from urllib3.exceptions import ReadTimeoutError as UrllibReadTimeoutError

from shardlake.catalog import dynamodb
from shardlake.errors import (
    DeadlineExceeded,
    ErrorKind,
    Forbidden,
    InternalError,
    Overloaded,
    ShardlakeError,
    Unavailable,
)
from shardlake.foreign import ErrorTable
from shardlake.rpc import lambda_
from shardlake.store import s3

TABLES = {"s3": s3.ERRORS, "dynamodb": dynamodb.ERRORS, "lambda": lambda_.ERRORS}

# The operations that our adapters use.
OPERATIONS = {
    "s3": [
        "GetObject",
        "PutObject",
        "HeadObject",
        "DeleteObject",
        "ListObjectsV2",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
    ],
    "dynamodb": [
        "GetItem",
        "PutItem",
        "DeleteItem",
        "Query",
        "BatchGetItem",
        "BatchWriteItem",
        "TransactWriteItems",
    ],
    "lambda": ["Invoke"],
}

# Refusals that only a request which we built wrongly, or a deployment set up wrongly, can meet: InternalError.
OUR_BUGS = {
    "s3": {"EncryptionTypeMismatch", "InvalidObjectState", "InvalidRequest", "InvalidWriteOffset", "TooManyParts"},
    "dynamodb": {"IdempotentParameterMismatchException", "ItemCollectionSizeLimitExceededException"},
    "lambda": {
        "CodeArtifactUserDeletedException",
        "CodeArtifactUserFailedException",
        "CodeArtifactUserPendingException",
        "DurableExecutionAlreadyStartedException",
        "EFSIOException",
        "EFSMountConnectivityException",
        "EFSMountFailureException",
        "EFSMountTimeoutException",
        "InvalidParameterValueException",
        "InvalidRequestContentException",
        "ModeNotSupportedException",
        "NoPublishedVersionException",
        "S3FilesMountConnectivityException",
        "S3FilesMountFailureException",
        "S3FilesMountTimeoutException",
        "ServiceQuotaExceededException",
        "SnapStartRegenerationFailureException",
        "UnsupportedMediaTypeException",
    },
}


def client_error(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")  # type: ignore[arg-type]


@pytest.mark.parametrize(("service", "code"), [(name, code) for name, table in TABLES.items() for code in table.codes])
def test_every_code_in_a_table_becomes_its_error(service: str, code: str) -> None:
    table = TABLES[service]
    error = table.translate(client_error(code), key="k")

    assert type(error) is table.codes[code].error
    assert error.kind is table.codes[code].kind
    assert error.context["key"] == "k"
    assert error.context["service"] == table.service
    assert_well_said(error)


@pytest.mark.parametrize(
    ("service", "cls"), [(name, cls) for name, table in TABLES.items() for cls in table.types], ids=str
)
def test_every_type_in_a_table_becomes_its_error(service: str, cls: type[Exception]) -> None:
    table = TABLES[service]
    error = table.translate(cls.__new__(cls))

    assert type(error) is table.types[cls].error
    assert_well_said(error)


def assert_well_said(error: ShardlakeError) -> None:
    assert error.message[0].islower()
    assert not error.message.endswith(".")


@pytest.mark.parametrize("service", TABLES)
def test_every_error_that_the_sdk_models_has_a_meaning(service: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    shapes = {
        shape.error_code: shape.metadata.get("error", {}).get("httpStatusCode", 400)
        for operation in OPERATIONS[service]
        for shape in model.operation_model(operation).error_shapes
    }
    unsaid = {code for code, status in shapes.items() if code not in TABLES[service].codes and status < 500}

    assert unsaid <= OUR_BUGS[service], "say in the table, or here, what this means"


@pytest.mark.parametrize("service", TABLES)
@pytest.mark.parametrize(
    ("status", "expected"), [(400, InternalError), (429, Overloaded), (500, Unavailable), (503, Unavailable)]
)
def test_an_unknown_code_is_read_by_its_status(service: str, status: int, expected: type[ShardlakeError]) -> None:
    error = TABLES[service].translate(client_error("SomethingNew", status))

    assert type(error) is expected
    if expected is Unavailable:
        assert error.kind is TABLES[service].unavailable


@pytest.mark.parametrize("table", [s3.ERRORS, dynamodb.ERRORS], ids=["s3", "dynamodb"])
@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (ReadTimeoutError(endpoint_url="e"), Unavailable),
        (ConnectTimeoutError(endpoint_url="e"), Unavailable),
        (EndpointConnectionError(endpoint_url="e"), Unavailable),
        (NoCredentialsError(), Forbidden),
        (ParamValidationError(report="r"), InternalError),
        (BotoCoreError(), InternalError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_boto_raises_by_itself_is_ours_too(table: ErrorTable, exc: Exception, expected: type) -> None:
    assert type(table.translate(exc)) is expected


def test_what_urllib3_raises_under_the_invoker_is_ours_too() -> None:
    pool = object()
    late = UrllibReadTimeoutError(pool, "/", "late")  # type: ignore[arg-type]
    absent = NewConnectionError(pool, "nobody")  # type: ignore[arg-type]

    assert type(lambda_.ERRORS.translate(late)) is DeadlineExceeded
    assert type(lambda_.ERRORS.translate(absent)) is Unavailable
    assert type(lambda_.ERRORS.translate(ProtocolError("broken"))) is Unavailable


def test_a_long_foreign_message_is_cut() -> None:
    error = s3.ERRORS.translate(NoCredentialsError(), key="k")
    long = s3.ERRORS.translate(ValueError("x" * 10_000))

    assert error.kind is ErrorKind.FORBIDDEN
    assert len(str(long.context["cause"])) == 512
