"""The adapters under the contract: each port, once in memory and once on every cloud there is.

A fixture of this folder starts an emulator once a session, and only when a test asks for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import boto3
import pytest

from shardlake.catalog import dynamodb
from shardlake.catalog.base import Catalog
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.store import s3
from shardlake.store.base import ObjectStore
from shardlake.store.s3 import S3Store
from shardlake.testing import MemoryCatalog, MemoryStore
from tests.contract import servers

CLOUDS = ["ministack", "moto", pytest.param("localstack", marks=pytest.mark.localstack)]


@pytest.fixture(scope="session", autouse=True)
def aws_environment() -> Iterator[None]:
    """Credentials that no cloud but an emulator takes, and no file or service that could give others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        yield


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a MiniStack."""
    with servers.ministack(tmp_path_factory.mktemp("ministack")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a moto server."""
    with servers.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of the real LocalStack."""
    reason = servers.missing_localstack()
    if reason:
        pytest.skip(reason)
    with servers.localstack(tmp_path_factory.mktemp("localstack")) as endpoint:
        yield endpoint


@pytest.fixture(params=["memory", *CLOUDS])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore()
        return
    endpoint = request.getfixturevalue(request.param)
    adapter = S3Store(_new_bucket(endpoint), client=s3.connect(endpoint_url=endpoint))
    yield adapter
    adapter.close()


@pytest.fixture(params=["memory", "ministack", "moto"])
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    """An empty catalog."""
    if request.param == "memory":
        yield MemoryCatalog()
        return
    endpoint = request.getfixturevalue(request.param)
    adapter = DynamoCatalog(*new_tables(endpoint), client=dynamodb.connect(endpoint_url=endpoint))
    yield adapter
    adapter.close()


def new_tables(endpoint: str) -> tuple[str, str]:
    """Returns the names of two fresh tables, keyed as infra/template.yaml does."""
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    names = tuple(f"{kind}-{uuid.uuid4().hex}" for kind in ("catalog", "shards"))
    for name, letter in zip(names, "SN", strict=True):
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": letter},
            ],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
    client.close()
    return names[0], names[1]


def _new_bucket(endpoint: str) -> str:
    client = boto3.client("s3", endpoint_url=endpoint)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    client.close()
    return name
