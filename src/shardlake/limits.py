"""The bounds of everything that comes from outside, with their sources.

A limit is checked before the thing it bounds is allocated. `docs/limits.md` is generated from this file.
"""

from __future__ import annotations

MIB = 1024 * 1024

# API Gateway HTTP API: 10 MB and 30 s; Lambda synchronous payload: 6 MB (AWS quotas, 2026-11).
MAX_SYNC_PAYLOAD_BYTES = 6 * MIB
MAX_REQUEST_BYTES = 5 * MIB  # the contract's bound on POST items, kept for every body
MAX_ANSWER_BYTES = 5 * MIB + 512 * 1024  # what a function may answer, with room for its envelope
MAX_TIMEOUT_MS = 29_000  # one second under the gateway's 30 s
DEFAULT_TIMEOUT_MS = 10_000

MAX_ITEMS_PER_REQUEST = 1_000
MAX_DELETES_PER_REQUEST = 10_000
MAX_SEARCHES_PER_BATCH = 64
MAX_K = 1_000
DEFAULT_K = 10
MAX_SCAN_ITEMS = 1_000  # of one page of all items
DEFAULT_SCAN_ITEMS = 100
DEFAULT_RECALL = 0.95

MAX_NAME_LENGTH = 64  # collections, spaces, attributes
MAX_SPACES = 8
MAX_ALIASES = 64  # of one collection
MAX_ATTRIBUTES = 64
MAX_ID_BYTES = 1_024  # as an S3 key
MAX_ATTRIBUTES_BYTES = 64 * 1024  # one item's attributes as JSON
MAX_KEYWORD_BYTES = 1_024
MAX_KEYWORD_VALUES = 1_000  # values of one multi attribute of one item
MAX_DIMENSION = 4_096
MAX_BINARY_BITS = 1_024  # of one code of a binary_mih space
MAX_RABITQ_BITS = 8  # of one dimension's code of an ivf_rabitq space
MAX_COMPONENT = 1e15  # magnitude of a vector's component for dot and l2: sums of squares must stay within float32
MAX_JSON_DEPTH = 32

MAX_FILTER_DEPTH = 16
MAX_FILTER_NODES = 1_024
MAX_FILTER_VALUES = 10_000  # values of one $in or $nin

MAX_RANK_CHARS = 2_048
MAX_RANK_DEPTH = 32
MAX_RANK_NODES = 256
MAX_FACETS = 32
MAX_FACET_VALUES = 10_000  # distinct values of one facet over all shards
MAX_FACET_BINS = 1_000
DEFAULT_FACET_LIMIT = 100
DEFAULT_FACET_BINS = 10
MAX_GROUP_SIZE = 100
MAX_LIKE = 100  # ids of `like`, and of `unlike`
MAX_CURSOR_CHARS = 8_192
MAX_TERM_CHARS = 64  # of one word of a text attribute; what is longer is cut, when it is built and when it is searched
MAX_TOKENS_PER_TEXT = 32_768  # words of one text attribute of one item that `match` finds: the first ones
MAX_MATCH_CHARS = 4_096  # of one text of `match`
MAX_MATCH_TERMS = 128  # words of all texts of one `match`, those of phrases as often as they stand there

MAX_TEXT_CHARS = 32_768  # one text to encode
MAX_IMAGE_BYTES = 4 * MIB
MAX_IMAGE_PIXELS = 40_000_000
MAX_INPUTS_PER_ENCODE = 256

MAX_LINE_BYTES = 8 * MIB  # one line of a jsonl file
MAX_SHARDS_PER_QUERY = 64

# Bounds on what a reader believes of a stored file before it allocates (docs/format.md).
MAX_DIRECTORY_BYTES = 64 * MIB
MAX_BLOCK_BYTES = 1024 * MIB
MAX_ROWS_PER_SHARD = 16_000_000
MAX_LISTS_PER_SHARD = 262_144
MAX_SHARDING_VALUES = 1_000_000  # of the attribute that decides the shards
MAX_MANIFEST_BYTES = 64 * MIB

EVENTUAL_MAX_AGE_S = 5.0  # of what a search with `consistency: eventual` may go by
WARM_UP_MS = 20_000  # of one warm-up: well under the 30 s that shard_search has
MAX_ZONE_MAPS_BYTES = 256 * 1024  # of one shard row: DynamoDB bounds an item at 400 KB (AWS quotas, 2026-11)
MAX_SUMMARY_VALUES_BYTES = 4 * 1024  # the distinct values of one keyword in a shard row, as JSON
MAX_ASYNC_PAYLOAD_BYTES = (
    256 * 1024
)  # Lambda asynchronous payload: the older of AWS's bounds, which every region honours

# Dropped files. S3: a key is at most 1,024 bytes, one PUT at most 5 GiB (AWS quotas, 2026-11).
MAX_FILE_NAME_BYTES = 800  # below the collection's inbox; the rest of the key is for prefixes and suffixes of ours
MAX_FILE_BYTES = 5 * 1024 * MIB
MAX_UNPACKED_FILE_BYTES = 64 * 1024 * MIB  # of a compressed file: a bomb ends here
MAX_FILES_PER_REQUEST = 500
MAX_SIDECAR_BYTES = 128 * 1024
UPLOAD_EXPIRES_S = 3_600

# A larger dropped file is taken in by parts, each a message of its own. A part ends with the line that reaches one of
# its two bounds: that takes some ten seconds (docs/ingest.md), and fits an invocation's 15 minutes even where an
# encoder makes but 25 items a second.
WHOLE_FILE_BYTES = 16 * MIB
WHOLE_PACKED_FILE_BYTES = 2 * MIB  # of a .gz, which unpacks to some ten times as much
PART_BYTES = 64 * MIB
PART_LINES = 20_000
MAX_FILE_PARTS = 4_096  # of one file: 80 million lines, or 256 GiB; their ledger is one row of DynamoDB, 400 KB at most
MAX_MESSAGE_BYTES = 256 * 1024  # of one message of the queue: the older of AWS's bounds

MAX_SEGMENT_ROWS = 10_000
MAX_SEGMENT_BYTES = 64 * MIB
MAX_PENDING_SEGMENTS = 10_000  # behind a version, that searches look through beside its shards
MAX_OVERWRITES_BYTES = 16 * MIB  # of the ids of one segment: MAX_SEGMENT_ROWS of MAX_ID_BYTES, and a little
MAX_ENCODE_BATCH_BYTES = 5 * MIB  # of inputs in one message: base64 of one picture of MAX_IMAGE_BYTES travels alone
