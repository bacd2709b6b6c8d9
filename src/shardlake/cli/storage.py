"""The deployment's own bucket and catalog, for the commands that read what no route of the API answers.

On the local cloud they are found by its record and reached through its emulator. On AWS they are named by variables
that the functions have too (outputs of the stack: Bucket, CatalogTable, ShardTable); credentials are the environment's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.errors import InvalidInput

if TYPE_CHECKING:
    from shardlake.catalog.base import Catalog
    from shardlake.cli.session import Session
    from shardlake.store.base import ObjectStore

BUCKET, CATALOG_TABLE, SHARD_TABLE = "SHARDLAKE_BUCKET", "SHARDLAKE_CATALOG_TABLE", "SHARDLAKE_SHARD_TABLE"


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
