"""Fakes and faults behind the ports, for our tests and for anybody's who builds on Shardlake.

Every fake is held to the laws of its port by the contract suite that the real adapter passes too. Shipped code never
imports this room.
"""

from shardlake.testing.catalog_faults import FlakyCatalog, LostReplyCatalog, WrappedCatalog
from shardlake.testing.clock import ManualClock
from shardlake.testing.in_process import InProcessInvoker
from shardlake.testing.memory_blocks import MemoryBlocks
from shardlake.testing.memory_catalog import MemoryCatalog, add_segment
from shardlake.testing.memory_machine import MemoryMachine
from shardlake.testing.memory_queue import MemoryQueue
from shardlake.testing.memory_store import MemoryStore
from shardlake.testing.store_faults import (
    CorruptStore,
    CountingStore,
    FlakyStore,
    LostReplyStore,
    MissingStore,
    SlowStore,
    WrappedStore,
)

__all__ = [
    "CorruptStore",
    "CountingStore",
    "FlakyCatalog",
    "FlakyStore",
    "InProcessInvoker",
    "LostReplyCatalog",
    "LostReplyStore",
    "ManualClock",
    "MemoryBlocks",
    "MemoryCatalog",
    "MemoryMachine",
    "MemoryQueue",
    "MemoryStore",
    "MissingStore",
    "SlowStore",
    "WrappedCatalog",
    "WrappedStore",
    "add_segment",
]
