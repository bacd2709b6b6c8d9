"""Dropping files: the requests for places to put them, and for what became of them; both extend the contract.

A file's name is its key below the collection's inbox, so it is checked as a path that leads nowhere else.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from shardlake import limits
from shardlake.contracts.common import StrictModel
from shardlake.errors import ErrorKind, InvalidInput, NotImplementedYet

TABLE_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
UNSERVED_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".mp4", ".mov", ".avi", ".mkv", ".webm")
SIDECAR_SUFFIX = ".json"
DELETES_FOLDER = "deletes/"
DELETES_SUFFIXES = (".jsonl", ".jsonl.gz")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class FileModel(StrictModel):
    """One file that the client wants to drop."""

    name: Annotated[str, Field(min_length=1, max_length=limits.MAX_FILE_NAME_BYTES)]
    bytes: Annotated[int, Field(ge=0, le=limits.MAX_FILE_BYTES)]


class UploadsModel(StrictModel):
    """The body of POST …/uploads."""

    files: Annotated[list[FileModel], Field(min_length=1, max_length=limits.MAX_FILES_PER_REQUEST)]


class UploadStatusModel(StrictModel):
    """The body of POST …/uploads:status: keys that POST …/uploads answered."""

    keys: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]],
        Field(min_length=1, max_length=limits.MAX_FILES_PER_REQUEST),
    ]


def is_image(name: str) -> bool:
    """Returns whether a file of that name is taken for a picture."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_sidecar(name: str) -> bool:
    """Returns whether a file of that name holds the attributes of a picture: picture.jpg.json."""
    return name.endswith(SIDECAR_SUFFIX) and is_image(name.removesuffix(SIDECAR_SUFFIX))


def check_kind(name: str) -> None:
    """Checks that files of that name are taken in.

    Raises:
        InvalidInput: invalid-file.
        NotImplementedYet: audio and video.
    """
    lowered = name.lower()
    if name.startswith(DELETES_FOLDER) and not lowered.endswith(DELETES_SUFFIXES):
        message = f"what shall be deleted is named in files that end in {' or '.join(DELETES_SUFFIXES)}"
        raise InvalidInput(message, kind=ErrorKind.INVALID_FILE, file=name)
    if lowered.endswith(UNSERVED_SUFFIXES):
        raise NotImplementedYet("audio and video are not served by this release", file=name)
    if not (lowered.endswith(TABLE_SUFFIXES) or is_image(name) or is_sidecar(name)):
        known = ", ".join((*TABLE_SUFFIXES, *IMAGE_SUFFIXES))
        raise InvalidInput(
            f"files are taken by their ending: {known}; and picture.jpg.json beside a picture",
            kind=ErrorKind.INVALID_FILE,
            file=name,
        )


def check_name(name: str, *, reserved: str) -> None:
    """Checks that a name leads to its own place below the inbox and nowhere else.

    Args:
        reserved: a folder that is not the client's to write to.

    Raises:
        InvalidInput: invalid-file.
    """
    steps = name.split("/")
    walks = any(step in {"", ".", ".."} for step in steps)
    if walks or steps[0] == reserved or _CONTROL.search(name) or "\\" in name:
        raise InvalidInput("not a file name below the inbox", kind=ErrorKind.INVALID_FILE, file=name)
    if len(name.encode()) > limits.MAX_FILE_NAME_BYTES:
        raise InvalidInput(
            f"the name is longer than {limits.MAX_FILE_NAME_BYTES} bytes", kind=ErrorKind.INVALID_FILE, file=name
        )
