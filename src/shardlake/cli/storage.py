"""The deployment's own bucket, catalog and queue, for the commands that do what no route of the API does.

On the local cloud they are found by its record and reached through its emulator. On AWS they are named by variables,
from outputs of the stack: Bucket, CatalogTable, ShardTable, InboxQueueUrl; credentials are the environment's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.errors import InvalidInput

if TYPE_CHECKING:
    from shardlake.catalog.base import Catalog
    from shardlake.cli.session import Session
    from shardlake.rpc.base import DeadLetters
    from shardlake.store.base import ObjectStore

BUCKET, CATALOG_TABLE, SHARD_TABLE = "SHARDLAKE_BUCKET", "SHARDLAKE_CATALOG_TABLE", "SHARDLAKE_SHARD_TABLE"
INBOX_QUEUE = "SHARDLAKE_INBOX_QUEUE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What a deployment keeps its data in."""

    store: ObjectStore
    catalog: Catalog


def open_storage(session: Session, data_dir: Path | None) -> Storage:
    """Returns the storage of the deployment that a session talks to: AWS's where its bucket is named.

    Raises:
        InvalidInput: when some but not all of its variables are set. Unavailable: api-unreachable, when none is and no
            local cloud runs.
    """
    named = [session.env.get(name, "") for name in (BUCKET, CATALOG_TABLE, SHARD_TABLE)]
    if not any(named):
        return _local(session, data_dir)
    if not all(named):
        raise InvalidInput(f"{BUCKET}, {CATALOG_TABLE} and {SHARD_TABLE} are set together or not at all")
    from shardlake.catalog.dynamodb import DynamoCatalog
    from shardlake.store.s3 import S3Store

    bucket, catalog_table, shard_table = named
    return Storage(store=S3Store(bucket), catalog=DynamoCatalog(catalog_table, shard_table))


def open_dead_letters(session: Session, data_dir: Path | None) -> DeadLetters:
    """Returns the events given up of the deployment that a session talks to: AWS's where its queue is named.

    Raises:
        Unavailable: api-unreachable, when none is named and no local cloud runs.
    """
    from shardlake.rpc.dead_letters import SqsDeadLetters

    if url := session.env.get(INBOX_QUEUE):
        return SqsDeadLetters(url)
    from shardlake.local.stack import emulator_client

    cloud = session.running(data_dir)
    return SqsDeadLetters(cloud.outputs["InboxQueueUrl"], client=emulator_client("sqs", cloud.endpoint))


def _local(session: Session, data_dir: Path | None) -> Storage:
    from shardlake.catalog.dynamodb import DynamoCatalog
    from shardlake.local.stack import emulator_client
    from shardlake.store.s3 import S3Store

    cloud = session.running(data_dir)
    catalog = DynamoCatalog(
        cloud.outputs["CatalogTable"],
        cloud.outputs["ShardTable"],
        client=emulator_client("dynamodb", cloud.endpoint),
    )
    return Storage(store=S3Store(cloud.bucket, client=emulator_client("s3", cloud.endpoint)), catalog=catalog)
