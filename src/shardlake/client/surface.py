"""What a client, its collections and one collection can do: the one list that both kinds of client share."""

from __future__ import annotations

from shardlake.client import operations, uploads
from shardlake.client.binding import Operation


class ClientOperations:
    """What a deployment as a whole can do."""

    health = Operation(operations.health)
    encode = Operation(operations.encode)


class CollectionsOperations:
    """What can be done with collections by name."""

    create = Operation(operations.create_collection)
    list = Operation(operations.list_collections)
    get = Operation(operations.get_collection)
    drop = Operation(operations.drop_collection)


class CollectionOperations:
    """What one collection can do."""

    describe = Operation(operations.describe)
    search = Operation(operations.search)
    search_batch = Operation(operations.search_batch)
    upsert = Operation(operations.upsert)
    patch_items = Operation(operations.patch_items)
    delete_items = Operation(operations.delete_items)
    get_item = Operation(operations.get_item)
    trace_item = Operation(operations.trace_item)
    scan_items = Operation(operations.scan_items)
    upload = Operation(uploads.upload)
    start_build = Operation(operations.start_build)
    get_build = Operation(operations.get_build)
    wait_for_build = Operation(operations.wait_for_build)
    versions = Operation(operations.versions)
    rollback = Operation(operations.rollback)
    aliases = Operation(operations.aliases)
    set_alias = Operation(operations.set_alias)
    drop_alias = Operation(operations.drop_alias)
