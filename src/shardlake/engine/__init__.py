"""The leaf search as a library: an opened shard, a way to read ranges of it, and searches of it.

Knows core, query and format; knows no store, no clock, no AWS. `functions/shard_search` is a shell around it, the
builder calibrates with it, benchmarks time it.
"""
