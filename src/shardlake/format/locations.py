"""Every key in the bucket, named in one place.

inbox/{collection}/…                           files a user drops (docs: ingest-path)
rejected/{collection}/{source}-{etag}.jsonl    items that were refused, with line, kind and message
data/{uid}/segments/{segment_id}.seg           ingested items, immutable
data/{uid}/segments/{segment_id}.shard         the same as a small shard, for searches before the next build, immutable
data/{uid}/segments/{segment_id}.ids           the ids it overwrites, immutable
data/{uid}/versions/{version}/manifest.json    immutable
data/{uid}/versions/{version}/{space}.router   centroids and calibration for the router, immutable
data/{uid}/versions/{version}/{shard}.shard    immutable
data/{uid}/versions/{version}/texts.terms      frequencies of the terms of all shards, for the router, immutable
data/{uid}/builds/{build_id}/…                 artefacts of a running build; removable once it is done
data/{uid}/waiting.json                        segments that wait for their removal, and since when
data/{uid}/erasures/{time}-{digest}.erasure    what was replaced or removed, and the ids that were in it, immutable
models/{encoder}/…                             an encoder's files
"""

from __future__ import annotations

import re
from datetime import date

INBOX_PREFIX = "inbox/"
DATA_PREFIX = "data/"
API_FOLDER = ".api"  # inbox/{collection}/.api/{batch_id}.jsonl: what POST items wrote
DELETES_FOLDER = "deletes/"  # below a collection's inbox: files of ids to be deleted
DELETES_SUFFIX = ".deletes.jsonl"  # of such a file that the API wrote
PATCHES_SUFFIX = ".patches.jsonl"  # of a file of changes that the API wrote
_SEEN = re.compile(r"\.at-([0-9]{1,15})\.deletes\.jsonl$")


def inbox(collection: str, name: str) -> str:
    """Returns where a user drops the file `name` for a collection."""
    return f"{INBOX_PREFIX}{collection}/{name}"


def batch_id(uid: str, day: date, digest: str) -> str:
    """Returns the name of a batch of that content, accepted for that incarnation of a collection.

    The same content on the same day is the same batch. On a later day it is another one: so what is removed when it is
    weeks old cannot be one that is being accepted now.
    """
    return f"{_mark(uid)}{day:%Y%m%d}-{digest}"


def batches(collection: str) -> str:
    """Returns the prefix of all batches that the API has accepted for collections of that name."""
    return inbox(collection, f"{API_FOLDER}/")


def is_for_another(uid: str, name: str) -> bool:
    """Returns whether a file of the inbox is a batch that a collection of the same name, dropped since, accepted."""
    folder, _, batch = name.partition("/")
    return folder == API_FOLDER and not batch.startswith(_mark(uid))


def is_batch_of(uid: str, key: str) -> bool:
    """Returns whether an object of the inbox is a batch that this incarnation of a collection accepted."""
    parsed = parse_inbox(key)
    return parsed is not None and parsed[1].startswith(f"{API_FOLDER}/{_mark(uid)}")


def _mark(uid: str) -> str:
    return f"{uid[-12:]}-"


def api_batch(collection: str, batch_id: str) -> str:
    """Returns where POST items puts a batch that it has accepted."""
    return inbox(collection, f"{API_FOLDER}/{batch_id}.jsonl")


def api_deletes(collection: str, batch_id: str, seen: int | None = None) -> str:
    """Returns where the API puts ids to be deleted.

    Args:
        seen: the position of the log at which they were found to be what shall go; None where they were named.
    """
    at = "" if seen is None else f".at-{seen}"
    return inbox(collection, f"{API_FOLDER}/{batch_id}{at}{DELETES_SUFFIX}")


def api_patches(collection: str, batch_id: str) -> str:
    """Returns where the API puts changes of attributes."""
    return inbox(collection, f"{API_FOLDER}/{batch_id}{PATCHES_SUFFIX}")


def is_patches(name: str) -> bool:
    """Returns whether a file of the inbox has changes of attributes."""
    return name.startswith(f"{API_FOLDER}/") and name.endswith(PATCHES_SUFFIX)


def is_deletes(name: str) -> bool:
    """Returns whether a file of the inbox names ids to be deleted."""
    return name.startswith(DELETES_FOLDER) or (name.startswith(f"{API_FOLDER}/") and name.endswith(DELETES_SUFFIX))


def seen_by(name: str) -> int | None:
    """Returns the position of the log that ids to be deleted were found at; None where they were named."""
    found = _SEEN.search(name) if name.startswith(f"{API_FOLDER}/") else None
    return None if found is None else int(found[1])


def parse_inbox(key: str) -> tuple[str, str] | None:
    """Returns (collection, name below it) of an inbox key, or None for any other key."""
    if not key.startswith(INBOX_PREFIX):
        return None
    collection, slash, name = key.removeprefix(INBOX_PREFIX).partition("/")
    return (collection, name) if slash and collection and name else None


def rejected(collection: str, name: str, etag: str) -> str:
    """Returns where the refused lines of the inbox file `name` go."""
    return f"rejected/{collection}/{name}-{etag}.jsonl"


def collection_root(uid: str) -> str:
    """Returns the prefix of everything that one incarnation of a collection owns."""
    return f"{DATA_PREFIX}{uid}/"


def uid_of(key: str) -> str | None:
    """Returns the incarnation of a collection that owns an object, or None for any other key."""
    uid, slash, _ = key.removeprefix(DATA_PREFIX).partition("/")
    return uid if key.startswith(DATA_PREFIX) and slash and uid else None


def part_of(uid: str, key: str) -> tuple[str, str] | None:
    """Returns what an object of a collection belongs to, as (versions, segments or builds; which one); else None."""
    steps = key.removeprefix(collection_root(uid)).split("/")
    if not key.startswith(collection_root(uid)) or len(steps) < 2 or steps[0] not in {"versions", "segments", "builds"}:
        return None
    return steps[0], steps[1]


def segment(uid: str, segment_id: str) -> str:
    """Returns the key of a segment."""
    return f"{collection_root(uid)}segments/{segment_id}.seg"


def delta(segment_key: str) -> str:
    """Returns the key of a segment's delta: its live items as a small shard."""
    return f"{segment_key.removesuffix('.seg')}.shard"


def overwrites(segment_key: str) -> str:
    """Returns the key of the ids that a segment overwrites."""
    return f"{segment_key.removesuffix('.seg')}.ids"


def version_root(uid: str, version: str) -> str:
    """Returns the prefix of one version."""
    return f"{collection_root(uid)}versions/{version}/"


def manifest(uid: str, version: str) -> str:
    """Returns the key of a version's manifest."""
    return f"{version_root(uid, version)}manifest.json"


def routing(uid: str, version: str, space: str) -> str:
    """Returns the key of what the router needs of one space: centroids."""
    return f"{version_root(uid, version)}{space}.router"


def shard(uid: str, version: str, shard_id: int) -> str:
    """Returns the key of a shard."""
    return f"{version_root(uid, version)}{shard_id:05d}.shard"


def term_statistics(uid: str, version: str) -> str:
    """Returns the key of what the router needs of a version's texts: how many have each term."""
    return f"{version_root(uid, version)}texts.terms"


def build_artefact(uid: str, build_id: str, name: str) -> str:
    """Returns the key of a build stage's artefact."""
    return f"{collection_root(uid)}builds/{build_id}/{name}"


def waiting(uid: str) -> str:
    """Returns the key of the memory of what waits for its removal."""
    return f"{collection_root(uid)}waiting.json"


def erasures_root(uid: str) -> str:
    """Returns the prefix of a collection's records of erasure."""
    return f"{collection_root(uid)}erasures/"


def erasure(uid: str, name: str) -> str:
    """Returns the key of a record of erasure. Names begin with a time, so that they sort by it."""
    return f"{erasures_root(uid)}{name}.erasure"


def model_root(encoder: str) -> str:
    """Returns the prefix of an encoder's files."""
    return f"models/{encoder}/"
